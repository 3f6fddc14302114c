"""Settings of `pytest --nbval-lax notebooks/`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

STARTS = 3


def pytest_configure() -> None:
    """Start a kernel again that died at once. It gets numbers of free ports and binds them a little later; if another
    process was faster in between, it ends. With notebooks tested side by side that happens, if rarely."""
    if find_spec("nbval") is None:
        return
    from nbval import kernel

    start = kernel.start_new_kernel

    def patiently(*args: Any, **settings: Any) -> Any:
        for _ in range(STARTS - 1):
            try:
                return start(*args, **settings)
            except RuntimeError:
                continue
        return start(*args, **settings)

    kernel.start_new_kernel = patiently


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Compare text only: drawings and what libraries say on stderr differ between versions."""
    if hasattr(collector, "skip_compare"):  # nbval's notebook collector
        collector.skip_compare += ("image/svg+xml", "stderr")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Wait for a cell's outputs for two minutes; nbval's five seconds are too short for a busy machine."""
    if hasattr(item, "output_timeout"):  # nbval's cell
        item.output_timeout = 120
