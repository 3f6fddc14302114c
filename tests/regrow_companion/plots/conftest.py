"""What tests of pictures share: the house's look, and six runs that take a second each."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pytest

from regrow.config import RunConfig
from regrow.record import Record
from regrow.store import Store
from regrow_companion import study, style


@pytest.fixture(autouse=True)
def house_style() -> Iterator[None]:
    """As in a notebook. Functions that draw leave no figure open behind pyplot's back."""
    with plt.rc_context():
        style.use_style()
        yield


@pytest.fixture(scope="session")
def six_runs(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """A network of 20 and 10 hidden neurons with an update a step, two seeds of every growth rule."""
    store = Store(tmp_path_factory.mktemp("store"))
    config = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, update_interval=1, sparsity=0.8)
    return [store.ensure(config.but(grow=grow, seed=seed)) for grow in study.STRATEGIES for seed in (0, 1)]
