"""What all tests share: one thread (two workers on two cores), no window, reproducible properties, an empty store, and
the ledger of the shipped records."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import matplotlib
import matplotlib.pyplot as plt
import pytest

if TYPE_CHECKING:
    from regrow_companion.claims import Entry

matplotlib.use("Agg")
hypothesis.settings.register_profile("regrow", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("regrow")


@pytest.fixture
def tmp_store(tmp_path: Path) -> Path:
    """The folder of a store that does not exist yet."""
    return tmp_path / "store"


@pytest.fixture(autouse=True)
def no_open_figures() -> Iterator[None]:
    """Figures that a test leaves open are not the next one's."""
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def shipped_ledger() -> list[Entry]:
    """Every claim judged on the records that are shipped; nobody's own store is looked at."""
    from regrow.store import Store  # imported here, as few tests need them
    from regrow_companion import claims, study

    return claims.evaluate(claims.Evidence(Store("/nowhere", read_also=(study.SHIPPED,))))
