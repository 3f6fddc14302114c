"""Watching changes nothing; what is seen is what the engine did; the experiment keeps and finds its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regrow import train
from regrow.config import RunConfig
from regrow.data import Dataset, load
from regrow.engines.sparse import SparseLinear
from regrow.errors import NotRecorded
from regrow.metrics import k_shells
from regrow_companion import study
from regrow_companion.cli import main
from regrow_companion.section8 import cases, watched
from regrow_companion.section8 import nb18_attachment as attachment
from regrow_companion.section8 import nb18_mechanism as mechanism

TINY = RunConfig(hidden=(40, 20), train_limit=640, epochs=3, batch_size=64, update_interval=3)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load("fashion_mnist_small", image_format="native", train_limit=640)


@pytest.mark.parametrize("config", [TINY, TINY.but(grow="random", prune="set"), TINY.but(grow="momentum"),
                                    TINY.but(prune="random", regrow_pruned=False)], ids=lambda c: f"{c.prune}-{c.grow}")
def test_watching_changes_no_bit_of_the_record(config: RunConfig, dataset: Dataset) -> None:
    plain = train.finish(train.start(config, dataset, engine="sparse"), dataset)
    noted, seen = watched.observe(config, dataset)
    expected, found = plain.arrays(), noted.arrays()
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        assert array.dtype == found[name].dtype and array.tobytes() == found[name].tobytes(), name
    for layer in ("fc1", "fc2"):
        for side, series in (("in", noted.in_degree[layer]), ("out", noted.out_degree[layer])):
            of = seen.of(layer, side)
            assert (of["degree"] == series[:-1]).all() and (of["kept"] + of["grown"] == series[1:]).all()


@pytest.mark.parametrize("grow", ["random", "gradient"])
def test_sees_what_the_engine_did(grow: str, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[dict[str, np.ndarray]] = []
    plain = SparseLinear.rewire

    def note(layer: SparseLinear, before: np.ndarray, rewiring: Any, **options: Any) -> None:
        if layer.n_out == 40:
            done.append({"before": before.copy(), "pruned": rewiring.pruned.numpy(), "grown": rewiring.grown.numpy()})
        plain(layer, before, rewiring, **options)

    monkeypatch.setattr(SparseLinear, "rewire", note)
    record, seen = watched.observe(TINY.but(grow=grow), dataset)
    of, young, outlived = seen.of("fc1", "in"), np.zeros((40, 784), bool), np.zeros((40, 784), bool)
    assert len(done) == len(seen.steps) == 10
    for u, step in enumerate(done):
        assert (of["degree"][u] - of["kept"][u] == step["pruned"].sum(1)).all()
        assert (of["grown"][u] == step["grown"].sum(1)).all()
        assert (of["regrown"][u] == (step["grown"] & step["pruned"]).sum(1)).all()
        assert (of["young"][u] == young.sum(1)).all()
        assert (of["young_lost"][u] == (young & step["pruned"]).sum(1)).all()
        assert seen.reliable["fc1"][u] == (outlived := outlived | (step["before"] & ~step["pruned"])).sum()
        young = step["grown"]
    for moment in range(len(record.moment_steps)):
        u, (below, hidden, _, _) = record.update_at(moment), k_shells(record.masks(moment).values())
        if u < len(seen.steps):
            assert (seen.shells["fc1/out"][u] == below).all() and (seen.shells["fc1/in"][u] == hidden).all()
            assert (seen.shells["fc2/out"][u] == hidden).all()
    assert seen.explored["fc1"].tolist() == record.explored["fc1"][1:].tolist()
    assert attachment.names(seen)["fc1", "out"] == "input" and attachment.names(seen)["fc2", "in"] == "hidden 2"


def test_what_connections_become_by_shell(dataset: Dataset) -> None:
    _, seen = watched.observe(TINY, dataset)
    table, of = attachment.by_shell(seen), seen.of("fc2", "in")
    sums = dict.fromkeys(("neurons", "degree", "kept", "young", "young_lost"), 0)
    for u in range(1, 10):  # without the first update, which is a phase of its own
        highest = max(shells[u].max() for shells in seen.shells.values())
        for neuron in np.flatnonzero(seen.shells["fc2/in"][u] == highest):
            sums["neurons"] += 1
            for name in list(sums)[1:]:
                sums[name] += int(of[name][u, neuron])
    core = table.query("layer == 'fc2' and side == 'in' and tenth == 10 and phase != 'first update'")
    assert core[list(sums)].sum().to_dict() == sums and sums["kept"] > 0
    every = table[table["layer"] == "fc1"].groupby("side")[["degree", "kept"]].sum()
    for side in watched.SIDES:
        assert every.loc[side].tolist() == [seen.of("fc1", side)[name].sum() for name in ("degree", "kept")]


def test_an_observation_survives_the_disk(dataset: Dataset, tmp_path: Path) -> None:
    record, seen = watched.observe(TINY, dataset, provenance={"engine": "sparse"})
    seen.save(tmp_path / "seen.npz")
    again = watched.load(tmp_path / "seen.npz")
    assert again.config == seen.config and again.shapes == seen.shapes and again.provenance == seen.provenance
    assert again.provenance["validation %"] == round(float(record.val_accuracy[-1]), 2)
    for part in watched.PARTS:
        before, after = getattr(seen, part), getattr(again, part)
        assert before.keys() == after.keys() and all(np.array_equal(before[name], after[name]) for name in before)
    assert again.connections == record.connections
    assert watched.MOMENTS[0] == 0 and seen.moment_steps[0] == 0 and seen.moment_steps[-1] == seen.steps[-1]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> tuple[RunConfig, ...]:
    configs = tuple(TINY.but(grow=grow, epochs=2) for grow in ("random", "gradient"))
    monkeypatch.setattr(mechanism, "configs", lambda profile: configs)
    return configs


def test_tables_are_made_once_and_read_again(small: tuple[RunConfig, ...], tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    first = mechanism.tables("quick", tmp_path, tmp_path / "none")
    monkeypatch.setattr(watched, "observe", lambda *_, **__: pytest.fail("trained again"))
    second = mechanism.tables("quick", tmp_path, tmp_path / "none")
    for name in mechanism.TABLES:
        frame = getattr(first, name)
        assert frame.equals(getattr(second, name)) and set(frame["strategy"]) == {"random", "gradient"}, name
    assert (second.moments.groupby(["strategy", "nodes"]).size() == len(set(second.moments["step"]))).all()
    assert [run.key for run in second.runs] == [config.key for config in small] and second.first == small[0]
    (tmp_path / "beyond" / "tables" / f"{small[0].key}.json").unlink()  # interrupted between training and tables
    assert len(mechanism.tables("quick", tmp_path, tmp_path / "none").runs) == 2
    about = json.loads((tmp_path / "beyond" / "tables" / f"{small[0].key}.json").read_text())
    assert about["provenance"]["engine"] == "sparse" and about["provenance"]["data_sha256"]


def test_replay_reads_what_is_shipped_and_never_trains(small: tuple[RunConfig, ...], tmp_path: Path) -> None:
    with pytest.raises(NotRecorded, match="beyond mechanism --profile paper"):
        mechanism.tables("replay", tmp_path / "a", tmp_path / "shipped")
    watching = mechanism.experiment(tmp_path / "b")
    cases.perform(watching, watching.cases("paper")[:1], tmp_path / "shipped" / "beyond")
    read = mechanism.tables("replay", tmp_path / "a", tmp_path / "shipped")
    assert [run.config.method for run in read.runs] == ["random"] and read.low >= 0


def test_a_users_own_watched_run_wins_over_the_shipped_one(small: tuple[RunConfig, ...], tmp_path: Path) -> None:
    watching, own = mechanism.experiment(tmp_path), cases.own_tables(tmp_path)
    for out in (own, tmp_path / "shipped" / "beyond"):
        about, *_ = cases.perform(watching, watching.cases("paper"), out)
    about.write_text(about.read_text().replace('"low": ', '"low": 99'))
    assert mechanism.tables("replay", tmp_path, tmp_path / "shipped").low < 99
    assert mechanism.tables("replay", tmp_path / "none", tmp_path / "shipped").low >= 99


def test_the_command(small: tuple[RunConfig, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["beyond", "mechanism", "--store", str(tmp_path / "s"), "--out", str(tmp_path / "t")]
    assert main([*words, "--runs", "1"]) == 0
    assert len(list((tmp_path / "t").glob("*.json"))) == 1
    assert main(words) == 0
    assert len(list((tmp_path / "t").glob("*.json"))) == 2 and "2 cases" in capsys.readouterr().out
    for wrong in (["beyond", "mechanisn"], [*words, "--runs", "0"], [*words, "--profile", "replay"]):
        assert main(wrong) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and ("mechanisn" not in wrong or "did you mean 'mechanism'" in said)


def test_definitions() -> None:
    assert set(mechanism.configs("paper")) == set(study.runs("fig05", "paper"))
    assert [config.seed for config in mechanism.configs("quick")] == [0, 0, 0, 1, 1, 1]


def test_neurons_are_measured_before_an_update_changes_them(dataset: Dataset) -> None:
    record, seen = watched.observe(TINY.but(grow="random"), dataset)
    assert (np.diff(seen.moment_steps) > 0).all() and len(seen.moment_steps) > 4
    for moment, step in enumerate(seen.moment_steps[1:], start=1):
        row = record.steps.tolist().index(step) - 1
        assert np.array_equal(seen.neurons["fc1/in_degree"][moment], record.in_degree["fc1"][row])
        assert np.array_equal(seen.neurons["fc1/out_degree"][moment], record.out_degree["fc2"][row])
