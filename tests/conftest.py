"""What all tests share: one thread (two workers on two cores), no window, reproducible properties, an empty store."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

from pathlib import Path

import hypothesis
import matplotlib
import pytest

matplotlib.use("Agg")
hypothesis.settings.register_profile("regrow", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("regrow")


@pytest.fixture
def tmp_store(tmp_path: Path) -> Path:
    """The folder of a store that does not exist yet."""
    return tmp_path / "store"
