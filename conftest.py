"""Settings of `pytest --nbval-lax notebooks/`; in the root, so that they hold for notebooks and tests alike."""

from __future__ import annotations

import pytest


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Compare text only: drawings and what libraries say on stderr differ between versions."""
    if hasattr(collector, "skip_compare"):  # nbval's notebook collector
        collector.skip_compare += ("image/svg+xml", "stderr")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Wait for a cell's outputs for two minutes; nbval's five seconds are too short for a busy machine."""
    if hasattr(item, "output_timeout"):  # nbval's cell
        item.output_timeout = 120
