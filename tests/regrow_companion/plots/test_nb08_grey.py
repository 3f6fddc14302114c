"""The table of other readings of the paper's grey runs, on records made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from regrow.config import RunConfig
from regrow.record import Record
from regrow.store import Store
from regrow_companion import study
from regrow_companion.plots import nb08_grey as grey

FASHION: dict[str, Any] = {"dataset": "fashion_mnist", "grow": "gradient"}
BROKEN: dict[str, Any] = FASHION | {"augment": "crop_flip", "normalise": "half"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Record:
    config = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, update_interval=2)
    return Store(tmp_path_factory.mktemp("store")).ensure(config)


def outcome(tiny: Record, config: RunConfig, loss: list[float], accuracy: list[float]) -> Record:
    return replace(tiny, config=config, train_loss=np.array(loss), val_accuracy=np.array(accuracy),
                   test_accuracy=np.array(accuracy) - 1)


def test_readings_stand_beside_table_4_and_the_paper(tiny: Record) -> None:
    records = [outcome(tiny, RunConfig(**FASHION, seed=seed), [1, 0.5], [80, 90 + seed]) for seed in (0, 1)]
    records += [outcome(tiny, RunConfig(**BROKEN), [1, np.nan], [70, 10]),
                outcome(tiny, RunConfig(**BROKEN, seed=1), [1, 0.9], [75, 79])]
    first, second = grey.table(records).to_dict("records")
    assert first == {"data set": "Fashion-MNIST", "rule": "gradient", "sparsity": "95 %", "reading": "as in Table 4",
                     "seeds": 2, "broken": "0", "test, last": "89.50 ± 0.71", "test, best validation": "89.50 ± 0.71",
                     "the paper": "79.50 ± 4.08"}
    assert second["reading"] == "crops and flips, constants .5 and .5" and second["broken"] == "1 (in epoch 2)"
    assert second["test, last"] == "43.50 ± 48.79" and second["test, best validation"] == "73.50 ± 6.36"
    assert grey.table(records[:1]).loc[0, "test, last"] == "89.00 (one seed)"


@pytest.mark.parametrize(("loss", "accuracy", "epoch"), [
    ([1, 1, 1, 1], [20, 30, 40, 50], None),
    ([1, 1, np.nan, np.nan], [20, 30, 10, 10], 3),
    ([1, 1, 1, 1], [20, 30, 10, 10], 3),  # at chance without a loss that says so
    ([1, 1, 1, 1], [20, 10, 30, 10], 4),  # it came back once
    ([np.nan] * 4, [10] * 4, 1),
    ([1, np.nan, np.nan, np.nan], [20, 30, 10, 10], 2),
])
def test_the_epoch_in_which_a_run_breaks(tiny: Record, loss: list[float], accuracy: list[float],
                                         epoch: int | None) -> None:
    assert grey.breaking_epoch(outcome(tiny, RunConfig(**FASHION), loss, accuracy)) == epoch


def test_several_breaks_are_listed(tiny: Record) -> None:
    runs = [outcome(tiny, RunConfig(**FASHION), [1, np.nan], [20, 10]),
            outcome(tiny, RunConfig(**FASHION, seed=1), [np.nan, np.nan], [10, 10])]
    assert grey.broken(runs) == "2 (in epochs 2 and 1)"


def test_every_reading_has_words_of_its_own() -> None:
    runs = dict.fromkeys(run.but(seed=0) for run in study.runs("grey", "paper"))
    said = [(run.dataset, run.grow, run.sparsity, grey.reading(run)) for run in runs]
    assert len(set(said)) == len(said) == 44 and grey.AS_TABLE_4 not in {words for *_, words in said}
