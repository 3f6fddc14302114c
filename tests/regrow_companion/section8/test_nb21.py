"""Series of runs under other schedules, what ships of them, rankings by other batches, and Figures B11 to B13."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from regrow import data, train
from regrow.config import RunConfig
from regrow.cost import total_steps
from regrow.errors import NotRecorded
from regrow.record import Record
from regrow.schedule import update_steps
from regrow.store import Store
from regrow_companion import session, study, style
from regrow_companion.section8 import cases
from regrow_companion.section8 import nb21_noise as noise
from regrow_companion.section8 import nb21_schedules as series

BASE = RunConfig(hidden=(30, 20), train_limit=512, epochs=4, update_interval=4)
OPTIONS = ({}, {"update_interval": 2}, {"update_interval": 8}, {"prune_rate": 0.2}, {"prune_rate": 0.8},
           {"prune_schedule": "linear"}, {"prune_schedule": "constant"})
RUNS = [BASE.but(grow=grow, seed=seed, **option) for seed in (0, 1) for option in OPTIONS
        for grow in ("random", "gradient")]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(tmp_path_factory.mktemp("store"))
    for run in RUNS:
        made.ensure(run)
    return made


@pytest.fixture(scope="module")
def records(store: Store) -> list[Record]:
    return [record for run in RUNS if (record := store.get(run)) is not None]


def measured(records: list[Record]) -> series.Series:
    """What a session shows that has these records and nothing else."""
    found = cases.together(cases.measured(series.KIND, records, RUNS[0]), {}, [])
    assert found is not None
    return series.Series(found[series.TABLE], found.runs)


def test_a_row_by_hand(records: list[Record]) -> None:
    record, update = records[1], 2
    row = series.series(record).iloc[update]
    degrees = np.sort(record.hidden_degrees()[update])
    limits = record.thresholds
    assert row["step"] == 8 and row["largest"] == degrees[-1]
    assert row["hubs"] == pytest.approx(100 * degrees[-1] / degrees.sum()), "one of 50 is the best hundredth"
    assert row["dormant low"] == pytest.approx(100 * np.mean(degrees <= limits.low))
    assert row["spread"] == pytest.approx(degrees.std())
    assert row["explored"] == pytest.approx(
        100 * sum(int(tried[update]) for tried in record.explored.values()) / record.total_weights)


def test_options_have_names() -> None:
    names = [series.option(BASE.but(**option), BASE) for option in OPTIONS]
    assert names == ["usual", "interval 2", "interval 8", "$p_0$ = 0.2", "$p_0$ = 0.8", "linear decay",
                     "constant decay"]
    assert series.option(BASE.but(batch_size=32, lr=0.025, update_interval=16), BASE) == "batch 32"
    assert series.options(RUNS) == {
        "update_interval": ["interval 2", "usual", "interval 8"], "prune_rate": ["$p_0$ = 0.2", "usual", "$p_0$ = 0.8"],
        "prune_schedule": ["linear decay", "usual", "constant decay"]}


def test_the_studies_change_one_thing_at_a_time() -> None:
    for profile in ("quick", "paper"):
        usual, *_ = runs = study.runs("schedules", profile)
        seeds = {run.seed for run in runs}
        assert len(runs) == 7 * 3 * len(seeds)
        default = usual.to_dict()
        changed = [{k for k, v in run.to_dict().items() if v != default[k]} - {"grow", "seed"} for run in runs]
        assert max(map(len, changed)) == 1
        for run in study.runs("batches", profile):
            assert run.lr / run.batch_size == pytest.approx(usual.lr / usual.batch_size)
            ratio = len(update_steps(run, total_steps(run))) / len(update_steps(usual, total_steps(usual)))
            assert 0.85 < ratio < 1.15, "as many updates whatever the batch"
    short, full = (study.runs(need, "paper") for need in ("schedules", "schedules300"))
    # The short runs were made with the black border, the long ones are planned with the mirrored one.
    assert {run.but(epochs=300, augment=full[0].augment) for run in short} < set(full)


def test_what_ships_is_read_as_what_was_measured(store: Store, records: list[Record], tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of several stores add up in one file, and a session without records draws from it."""
    monkeypatch.setattr(study, "runs", lambda need, profile: tuple(RUNS))
    monkeypatch.setattr(series, "SHIPPED", tmp_path / "results")
    with pytest.raises(NotRecorded, match="--only schedules trains them"):
        series.of(session.Session("21", "replay", Store(tmp_path / "none"), tmp_path), "schedules")
    some = Store(tmp_path / "some")
    for run in RUNS[5:]:
        some.ensure(run)
    assert cases.ship("schedules", series.KIND, some, tmp_path / "results") == len(RUNS) - 5
    assert cases.ship("schedules", series.KIND, store, tmp_path / "results") == len(RUNS)
    assert cases.ship("schedules", series.KIND, Store(tmp_path / "none"), tmp_path / "results") == 0
    read = series.of(session.Session("21", "replay", Store(tmp_path / "none"), tmp_path), "schedules")
    whole = measured(records)
    assert [run.config for run in read.runs] == RUNS
    pd.testing.assert_frame_equal(read.table, whole.table, rtol=1e-5, check_dtype=False)
    assert len(read.last()) == len(RUNS) and read.last()["step"].unique().tolist() == [16]


def test_figures_of_schedules(records: list[Record]) -> None:
    every = measured(records)
    for fig, frame in (series.figure_b11(every.table, RUNS), series.figure_b12(every.last(), RUNS)):
        assert not style.unlabelled_axes(fig) and len(frame)
        plt.close(fig)


# ---- rankings by other batches --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared() -> tuple[noise.ComparingEngine, Record]:
    config = RunConfig(hidden=(30, 20), train_limit=600, epochs=8, update_interval=5, grow="gradient")
    dataset = data.load(config.dataset, image_format=config.image_format, train_limit=config.train_limit)
    engine = noise.ComparingEngine(config, dataset, total_steps(config))
    run = train.begin(train.Run(config, engine, config.key, engine.steps_per_epoch))
    return engine, train.finish(run, dataset)


def test_looking_changes_nothing(compared: tuple[noise.ComparingEngine, Record], tmp_path: Path) -> None:
    engine, record = compared
    assert Store(tmp_path).ensure(engine.config, engine="sparse").result_sha256 == record.result_sha256


def test_the_table(compared: tuple[noise.ComparingEngine, Record]) -> None:
    frame = pd.DataFrame(compared[0].rows)
    assert set(frame["layer"]) == set(compared[0].layers) and set(frame["size"]) == {32, *noise.BETAS}
    assert frame["with all"].between(0, 1).all() and (frame["chance"] < 0.2).all()
    assert frame.loc[frame["of"] == "batch", "with another"].between(0, 1).all()


def test_all_images_agree_with_themselves_and_gradients_are_right() -> None:
    """The dense gradient of all images, in any order, is that of autograd."""
    config = RunConfig(hidden=(30, 20), train_limit=600, epochs=2, update_interval=5, grow="gradient", dtype="float64")
    dataset = data.load(config.dataset, image_format=config.image_format, train_limit=config.train_limit)
    engine = noise.ComparingEngine(config, dataset, total_steps(config))
    n = len(dataset.train.labels)
    first, second = (engine._gradient(n, 5, number) for number in (0, 1))
    leaves = {name: layer.dense(layer.weight).clone().requires_grad_() for name, layer in engine.layers.items()}
    x = data.normalise(dataset.train.images, dataset, torch.float64).flatten(1)
    for name, leaf in leaves.items():
        x = torch.nn.functional.linear(x, leaf, torch.from_numpy(engine.layers[name].bias))
        x = x.relu() if name != list(leaves)[-1] else x
    torch.nn.functional.cross_entropy(x, dataset.train.labels).backward()
    for name, gradient in first.items():
        torch.testing.assert_close(gradient, second[name], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(gradient, leaves[name].grad, rtol=1e-7, atol=1e-10)
    mine, other = (engine._grown(gradients, 5) for gradients in (first, second))
    assert all(noise.shared(mine[name][0], other[name][0]) > 0.99 for name in mine)


def test_a_running_average_without_memory_is_the_batch(compared: tuple[noise.ComparingEngine, Record],
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "BETAS", (0.0,))
    config = compared[0].config
    engine = noise.ComparingEngine(config, compared[0].dataset, total_steps(config))
    images, labels = next(iter(engine.batches(0, 0)))
    engine.backward(images, labels, 5)
    for name, average in engine.running[0.0].items():
        torch.testing.assert_close(average.flush(), engine.gradients[name])


def test_cases_and_their_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: list[Record]) -> None:
    small = [noise.Noise(RunConfig(hidden=(30, 20), train_limit=600, epochs=8, update_interval=5, seed=seed))
             for seed in (0, 1)]
    experiment = cases.Experiment("noise", lambda profile: small, noise.perform,
                                  lambda case: total_steps(case.run), ("agreement",))
    with pytest.raises(NotRecorded, match="beyond noise --profile paper"):
        cases.tables(experiment, "replay", tmp_path / "a", tmp_path / "results")
    first = cases.tables(experiment, "quick", tmp_path / "a", tmp_path)
    written = {path.name: path.read_bytes() for path in (tmp_path / "a" / "beyond" / "tables").iterdir()}
    cases.perform(experiment, small[:1], tmp_path / "results" / "beyond")
    again = {path.name: path.read_bytes() for path in (tmp_path / "results" / "beyond").glob("*.gz")}
    assert again.items() <= written.items(), "the same bits"
    shipped = cases.tables(experiment, "replay", tmp_path / "b", tmp_path / "results")
    assert first["agreement"]["seed"].unique().tolist() == [0, 1] and len(shipped.runs) == 1
    ends = measured(records[:4] + records[14:18]).last()
    ends["option"] = ends["option"].replace({"interval 2": "batch 32"})
    fig, _ = series.figure_b13(first["agreement"].query("layer == 'fc1'"), ends, BASE)
    assert not style.unlabelled_axes(fig)
    plt.close(fig)


# ---- small cases by hand --------------------------------------------------------------------------------------------


def test_hubs_are_the_best_hundredth_of_many_neurons() -> None:
    degrees = np.array([[1] * 198 + [51, 151], [1] * 197 + [2, 0, 199]])
    run = SimpleNamespace(hidden_degrees=lambda: degrees, thresholds=SimpleNamespace(low=1, high=2),
                          explored={"a": np.array([5, 10]), "b": np.array([5, 15])}, total_weights=100,
                          steps=np.array([0, 4]), epochs_at=np.array([0.0, 1]))
    found = series.series(run)  # type: ignore[arg-type]
    assert found["hubs"].tolist() == pytest.approx([50.5, 100 * 201 / 398])
    assert found["dormant low"].tolist() == pytest.approx([99, 99]) and found["explored"].tolist() == [10, 25]
    assert found["dormant high"].tolist() == pytest.approx([99, 99.5]) and found["n_tail"].tolist() == [2, 2]


def test_labels_are_of_the_end_of_training(records: list[Record]) -> None:
    run = replace(records[0], val_accuracy=np.array([9.0, 1]), test_accuracy=np.array([9.0, 2]))
    table = measured([run]).table
    assert table["validation %"].eq(1).all() and table["test %"].eq(2).all()
    assert measured([run]).last()["step"].tolist() == [16]


def test_agreement_is_of_pairs_that_share_no_batch() -> None:
    """Rankings of four places: 1 and 2 have one of two in common, 3 and 4 both; with all images 1, 2, 0 and 0."""
    a, b, c = (torch.tensor(places, dtype=torch.bool) for places in ([1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1]))
    rankings = [{"fc1": (mask, 0.5)} for mask in (b, a, c, c)]
    engine = SimpleNamespace(rows=[], steps_per_epoch=4)
    noise.ComparingEngine._note(engine, 8, "batch", {32: rankings}, {"fc1": (a, 0.25)})  # type: ignore[arg-type]
    row, = engine.rows
    assert (row["with another"], row["with all"]) == (0.75, (0.5 + 1) / 4)
    assert (row["epoch"], row["grown"], row["chance"], row["size"]) == (2, 2, 0.25, 32)


def test_chance_is_the_share_of_the_places_that_are_free(compared: tuple[noise.ComparingEngine, Record]) -> None:
    config = compared[0].config
    engine = noise.ComparingEngine(config, compared[0].dataset, total_steps(config))
    engine.backward(*next(iter(engine.batches(0, 0))), 5)
    for name, (grown, chance) in engine._grown(engine.gradients, 5).items():
        n, mask = int(grown.sum()), engine.masks[name]
        assert n and chance == pytest.approx(n / (int((~mask).sum()) + n)), "what was just pruned is free as well"
