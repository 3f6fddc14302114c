"""Which of two tables of the same case or run is read: the user's own, whatever is shipped; and how they are kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from regrow.config import RunConfig
from regrow.record import Record
from regrow.store import Store
from regrow_companion import session, study
from regrow_companion.section8 import cases

RUNS = tuple(RunConfig(hidden=(20, 10), train_limit=256, epochs=2, batch_size=64, update_interval=2, seed=seed)
             for seed in range(4))
SHIPPED, OWN = 1.5, 2.5  # what either table says of a case


@dataclass(frozen=True)
class Example(cases.Case):
    """Numbers by hand instead of a training."""


def saying(number: float) -> cases.Experiment:
    """An experiment with one table of a row per case, which says this number, and one that may have no rows."""
    def perform(case: Example, root: Path | None, tell: cases.Tell) -> tuple[cases.Tables, dict[str, Any]]:
        tell(1)
        rare = pd.DataFrame({"n": [7] if case.run.seed == 1 else []}, dtype=int)
        return {"often": pd.DataFrame({"number": [number]}), "rare": rare}, {"seconds": number}

    return cases.Experiment("example", lambda profile: [Example(run) for run in RUNS], perform, lambda case: 2,
                            ("often", "rare"))


def performed(number: float, seeds: list[int], out: Path) -> None:
    cases.perform(saying(number), [Example(RUNS[seed]) for seed in seeds], out)


def test_a_users_own_case_wins_over_the_shipped_one(tmp_path: Path) -> None:
    shipped, store = tmp_path / "results", tmp_path / "store"
    performed(SHIPPED, [0, 1, 2], shipped / "beyond")
    performed(OWN, [1, 3], cases.own_tables(store))
    for profile in ("replay", "paper"):
        found = cases.tables(saying(0.0), profile, store, shipped)
        assert found["often"].values.tolist() == [[0, SHIPPED], [1, OWN], [2, SHIPPED], [3, OWN]]
        assert [run.config.seed for run in found.runs] == [0, 1, 2, 3]
        assert [run.provenance["seconds"] for run in found.runs] == [SHIPPED, OWN, SHIPPED, OWN]
    assert found["rare"].values.tolist() == [[1, 7]]
    (cases.own_tables(store) / f"{Example(RUNS[1]).key}-rare.csv.gz").unlink()
    assert cases.tables(saying(0.0), "paper", store, shipped)["often"]["number"][1] == SHIPPED, "own is not complete"


def test_a_users_own_run_wins_over_the_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured of a record here says who read it; shipping carries the user's own into the files."""
    def kind(number: float) -> cases.Measuring:
        return cases.Measuring(("", "more"), lambda record, usual: {
            name: pd.DataFrame({"key": [record.key], "number": [number]}) for name in ("", "more")},
            whole=lambda record: record.config.seed != 3)

    monkeypatch.setattr(study, "runs", lambda need, profile: RUNS)
    made = Store(tmp_path / "made").ensure(RUNS[0])
    stores = {}
    for name, seeds in {"first": (2, 0, 1), "second": (1, 3)}.items():
        store = stores[name] = Store(tmp_path / name)
        (store.root / "records").mkdir(parents=True)
        for seed in seeds:
            record: Record = replace(made, config=RUNS[seed])
            record.save(store.record_path(record.key))
    shipped = tmp_path / "results"
    assert cases.ship("few", kind(SHIPPED), stores["first"], shipped) == 3
    book = session.Session("21", "replay", stores["second"], tmp_path)
    found = cases.of_need(book, "few", kind(OWN), shipped)
    assert [run.config for run in found.runs] == list(RUNS[:3]), "records that are not whole are left alone"
    for name in ("", "more"):
        assert found[name].values.tolist() == [[run.key, number]
                                               for run, number in zip(RUNS, (SHIPPED, OWN, SHIPPED), strict=False)]
    assert cases.ship("few", kind(OWN), stores["second"], shipped) == 3
    again = cases.of_need(replace(book, store=Store(tmp_path / "none")), "few", kind(0.0), shipped)
    assert again["more"].equals(found["more"]) and sorted(path.name for path in (shipped / "beyond").iterdir()) == [
        "few-more.csv.gz", "few.csv.gz", "few.json"]


def test_what_is_there_is_performed_again_only_when_asked_for(tmp_path: Path) -> None:
    performed(SHIPPED, [0], tmp_path)
    performed(OWN, [0], tmp_path)
    path = tmp_path / f"{Example(RUNS[0]).key}-often.csv.gz"
    assert pd.read_csv(path)["number"].tolist() == [SHIPPED]
    cases.perform(saying(OWN), [Example(RUNS[0])], tmp_path, anew=True)
    assert pd.read_csv(path)["number"].tolist() == [OWN]


def test_quick_makes_what_is_missing_and_then_only_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cases.tables(saying(OWN), "quick", tmp_path, tmp_path)
    assert made["often"]["number"].tolist() == [OWN] * len(RUNS)
    monkeypatch.setattr(cases, "perform", lambda *_: pytest.fail("a bar for nothing"))
    assert cases.tables(saying(0.0), "quick", tmp_path, tmp_path)["often"].equals(made["often"])
