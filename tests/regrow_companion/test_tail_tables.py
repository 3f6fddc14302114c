"""The statistics along a run: what a row holds, that it is kept, and that processes change nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from regrow import files
from regrow.config import RunConfig
from regrow.record import Record
from regrow.store import Store
from regrow.tails.fit import fit_tail
from regrow.tails.goodness import goodness_of_fit
from regrow_companion import tail_tables
from regrow_companion.tail_tables import POOLED, Settings

FEW = Settings(xmin=8, n_sets=50, matched_n=20, every=3, layers_every=5)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    config = RunConfig(hidden=(60, 30), train_limit=512, epochs=3, update_interval=2)
    store = Store(tmp_path_factory.mktemp("store"))
    return [store.ensure(config.but(grow=grow)) for grow in ("random", "gradient")]


@pytest.fixture(scope="module")
def table(records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return tail_tables.tables(records, FEW, tmp_path_factory.mktemp("tails"))


def test_a_row_is_what_the_functions_say(records: list[Record], table: pd.DataFrame) -> None:
    record = records[1]
    degrees = record.hidden_degrees()[3]
    fit = fit_tail(degrees, FEW.xmin)
    test = goodness_of_fit(degrees, fit, FEW.n_sets, key=(record.key, POOLED, 3))
    row = table[(table["strategy"] == "gradient") & (table["layer"] == POOLED) & (table["update"] == 3)].iloc[0]
    assert row["n_tail"] == fit.n_tail == (degrees >= FEW.xmin).sum()
    assert row[["alpha", "D", "p"]].tolist() == pytest.approx([fit.alpha, fit.D, test.p], rel=1e-5)
    assert row["step"] == record.steps[3] and row["epoch"] == pytest.approx(record.epochs_at[3], rel=1e-5)
    layer = table[(table["strategy"] == "gradient") & (table["layer"] == "hidden 2") & (table["update"] == 5)].iloc[0]
    second = record.hidden_layer_degrees()[1][5]
    assert layer["n_tail"] == (second >= FEW.xmin).sum()


def test_times_and_layers(records: list[Record], table: pd.DataFrame) -> None:
    assert len(records[0].steps) == 7
    at = {layer: sorted(set(group["update"])) for layer, group in table.groupby("layer")}
    assert at == {POOLED: [0, 1, 2, 3, 6], "hidden 1": [0, 1, 2, 5, 6], "hidden 2": [0, 1, 2, 5, 6]}
    assert table.groupby(["strategy", "layer"]).size().eq(5).all()


def test_processes_change_nothing(records: list[Record], table: pd.DataFrame, tmp_path: Path) -> None:
    pd.testing.assert_frame_equal(tail_tables.tables(records, FEW, tmp_path, jobs=2), table)


def test_what_is_kept_is_read_again(records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tail_tables.tables(records[:1], FEW, tmp_path / "here")
    monkeypatch.setattr(tail_tables, "one_time_point", None)
    pd.testing.assert_frame_equal(tail_tables.tables(records[:1], FEW, tmp_path / "new", read_also=[tmp_path / "here"]),
                                  first)
    with pytest.raises(TypeError):  # other settings are another table
        tail_tables.tables(records[:1], Settings(xmin=9, n_sets=50), tmp_path / "here")


def test_a_tail_that_cannot_be_tested_is_a_row_of_nan() -> None:
    for degrees in (np.zeros(50, int), np.full(50, 9)):
        row = tail_tables.one_time_point(degrees, FEW, ("run", POOLED, 0))
        assert row == {"n_tail": int((degrees >= 8).sum())}


def test_quick_uses_the_scaled_threshold_and_paper_the_papers(records: list[Record]) -> None:
    quick = tail_tables.tail_settings(records[0], "quick")
    assert quick.xmin == records[0].thresholds.high and quick.n_sets < Settings().n_sets == 2500
    assert Settings().xmin == 110 and Settings().key != FEW.key


def test_tables_are_shipped_beside_the_records(records: list[Record], tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert tail_tables.ship(records, store, tmp_path / "results") == 0
    name = tail_tables.file_name(records[0], tail_tables.tail_settings(records[0], "paper"))
    (store.root / "tails").mkdir(parents=True)
    files.write_table(store.root / "tails" / name, pd.DataFrame({"n_tail": [1]}))
    assert tail_tables.ship(records, store, tmp_path / "results") == 1
    assert files.read_table(tmp_path / "results" / "tails" / name)["n_tail"].tolist() == [1]


def test_a_run_with_more_updates_is_looked_at_at_the_same_steps(records: list[Record]) -> None:
    def settings(interval: int) -> Settings:
        return tail_tables.tail_settings(replace(records[0], config=RunConfig(update_interval=interval)), "paper")

    assert (settings(400).every, settings(400).layers_every) == (1, 4)
    assert (settings(100).every, settings(100).layers_every) == (4, 16)
    assert settings(800) == settings(400)  # there are no more


@pytest.mark.parametrize("place", [0, 12, 200, -3])
def test_a_damaged_table_is_moved_aside_and_computed_again(records: list[Record], table: pd.DataFrame, tmp_path: Path,
                                                           place: int) -> None:
    here, shipped = tmp_path / "store" / "tails", tmp_path / "results" / "tails"
    whole = tail_tables.tables(records[:1], FEW, here)
    path = here / tail_tables.file_name(records[0], FEW)
    content = bytearray(path.read_bytes())
    content[place] ^= 16
    for damaged in (path, shipped / path.name):
        damaged.parent.mkdir(parents=True, exist_ok=True)
        damaged.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged or not a table of ours") as told:
        again = tail_tables.tables(records[:1], FEW, here, read_also=[shipped])
    pd.testing.assert_frame_equal(again, whole)
    assert [str(warning.message).endswith("It is not used.") for warning in told] == [False, True]
    assert [aside.read_bytes() for aside in (tmp_path / "store" / "damaged").iterdir()] == [bytes(content)]
    assert (shipped / path.name).read_bytes() == bytes(content)


def test_every_time_point_has_random_numbers_of_its_own(records: list[Record], tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[tuple[str, str, int]] = []

    def noted(degrees: np.ndarray, settings: Settings, key: tuple[str, str, int]) -> dict[str, int]:
        keys.append(key)
        return {"n_tail": 0}

    monkeypatch.setattr(tail_tables, "one_time_point", noted)
    tail_tables.tables(records, FEW, tmp_path)
    times = {POOLED: [0, 1, 2, 3, 6], "hidden 1": [0, 1, 2, 5, 6], "hidden 2": [0, 1, 2, 5, 6]}
    assert sorted(keys) == sorted((record.key, layer, u) for record in records for layer in times for u in times[layer])
