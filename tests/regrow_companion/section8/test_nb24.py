"""Degrees of channels and units, what chance gives, what ships of it, and Figures B19 and B20."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from math import prod
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from regrow import metrics
from regrow.config import RunConfig
from regrow.errors import NotRecorded
from regrow.record import Record
from regrow.store import Store
from regrow_companion import session, shipping, study, style
from regrow_companion.section8 import cases
from regrow_companion.section8 import nb24_channels as channels
from regrow_companion.section8.nb24_channels import INTO, OUT, UNITS

BASE = RunConfig(model="convnet", dataset="fashion_mnist_small", train_limit=384, epochs=2, update_interval=1,
                 grow="gradient")
RUNS = (BASE, BASE.but(grow="random"))


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return Store(tmp_path_factory.mktemp("store")).ensure(BASE)


@pytest.fixture(scope="module")
def records(record: Record) -> list[Record]:
    """One training under two names: tables and figures do not ask whether the numbers are true."""
    return [replace(record, config=config) for config in RUNS]


@pytest.fixture(scope="module")
def wiring(records: list[Record]) -> channels.Wiring:
    found = cases.together(cases.measured(channels.KIND, records, BASE), {}, [])
    assert found is not None
    return channels.Wiring(**found.tables, runs=found.runs)


def test_a_mask_by_hand() -> None:
    mask = np.zeros((3, 2, 3, 3), dtype=bool)
    mask[:, 0, 1, 1] = True
    mask[0, 1, 0, 2] = True
    expected = {INTO: [2, 1, 1], OUT: [3, 1], UNITS: [0] * 4 + [3] + [0] * 6 + [1] + [0] * 6}
    assert {nodes: k.tolist() for nodes, k in channels.node_degrees(mask).items()} == expected
    assert channels.units(torch.from_numpy(mask)).tolist() == expected[UNITS]
    assert channels.places(mask.shape) == {INTO: 18, OUT: 27, UNITS: 3}


def test_kinds_that_say_nothing_are_left_out() -> None:
    assert set(channels.node_degrees(np.ones((4, 3, 1, 1), bool))) == {INTO, OUT}, "units are channels"
    assert set(channels.node_degrees(np.ones((4, 3), bool))) == {INTO, OUT}
    assert set(channels.node_degrees(np.ones((4, 1, 3, 3), bool))) == {INTO, UNITS}, "a single input channel"


def test_chance_is_what_random_masks_have() -> None:
    """The variance over all nodes has the hypergeometric one as its expectation, without any correction."""
    rng, shape, connections = np.random.default_rng(0), (8, 4, 3, 3), 60
    found: dict[str, list[float]] = {nodes: [] for nodes in channels.NODES}
    for _ in range(1000):
        mask = np.zeros(prod(shape), dtype=bool)
        mask[rng.choice(mask.size, connections, replace=False)] = True
        for nodes, k in channels.node_degrees(mask.reshape(shape)).items():
            found[nodes].append(float(k.var()))
    for nodes, chance in channels.chances(shape, connections).items():
        error = np.std(found[nodes]) / np.sqrt(len(found[nodes]))
        assert abs(np.mean(found[nodes]) - chance.sd**2) < 4 * error


def test_the_table_of_a_run(record: Record) -> None:
    table = channels.table(record)
    layers = [layer for layer, shape in record.shapes.items() if record.connections[layer] < prod(shape)]
    assert list(table["layer"].unique()) == layers and len(table) == 6 * 3 * len(layers)
    assert table["moment"].nunique() == 6 and table["epoch"].iloc[-1] == 2
    sums = table["mean"] * table["n"]
    np.testing.assert_allclose(sums, table["layer"].map(record.connections))
    row = table[(table["moment"] == 5) & (table["layer"] == "conv3") & (table["nodes"] == INTO)].iloc[0]
    degrees = record.in_degree["conv3"][-1].astype(int)
    assert (row["n"], row["places"]) == (128, 64 * 9)
    assert (row["largest"], row["dead"]) == (degrees.max(), np.sum(degrees == 0))
    assert row["sd"] == pytest.approx(degrees.std())
    wide = table[(table["moment"] == 0) & (table["layer"] == "conv3")]
    assert (wide["sd"] / wide["chance_sd"]).between(0.75, 1.25).all(), "random before training"


def test_degrees_count_every_node(record: Record) -> None:
    frame, table = channels.degrees(record), channels.table(record)
    counted = frame[frame["moment"] == "end"].groupby(["layer", "nodes"])["count"].sum()
    expected = table[table["moment"] == 5].set_index(["layer", "nodes"])["n"]
    assert counted.to_dict() == expected.to_dict()
    weighted = (frame["relative degree"] * frame["count"]).groupby([frame[c] for c in ("moment", "layer", "nodes")])
    np.testing.assert_allclose(weighted.sum() / frame.groupby(["moment", "layer", "nodes"])["count"].sum(), 1)


def test_tails_only_of_layers_with_enough_nodes(record: Record) -> None:
    tails = channels.tails(record).set_index(["layer", "nodes"])
    assert set(tails.index) == {("conv2", UNITS), ("conv3", UNITS), ("conv3", INTO)}
    row, degrees = tails.loc["conv3", UNITS], channels.units(record.masks(5)["conv3"])
    assert row["xmin"] == metrics.scaled_thresholds(degrees.mean()).high
    assert row["n_tail"] == np.sum(degrees >= row["xmin"])
    assert tails["p"].between(0, 1).all() and tails["best"].notna().all()


def test_the_variance_of_units_splits(record: Record) -> None:
    shares = channels.between(channels.table(record))
    row = shares[(shares["moment"] == 5) & (shares["layer"] == "conv2")].iloc[0]
    k = channels.units(record.masks(5)["conv2"]).reshape(32, 9)
    assert row["share"] == pytest.approx(1 - k.var(axis=1).mean() / k.var())
    assert metrics.out_degree(record.masks(5)["conv2"]).tolist() == k.sum(axis=1).tolist()
    assert shares["share"].between(0, 1).all()
    np.testing.assert_allclose(shares.loc[shares["layer"] == "conv2", "chance"], 0.108, atol=0.001)


def test_what_ships_is_read_as_what_was_measured(records: list[Record], wiring: channels.Wiring, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    """`ship --only cnn` writes tables and no records; a session without records draws from them."""
    shipped, known = tmp_path / "results", study.runs
    monkeypatch.setattr(study, "runs", lambda need, profile: RUNS if need == "cnn" else known(need, profile))
    for module in (channels, shipping):
        monkeypatch.setattr(module, "SHIPPED", shipped)
    empty = session.Session("24", "replay", Store(tmp_path / "none"), tmp_path)
    with pytest.raises(NotRecorded, match="--only cnn trains them"):
        channels.of(empty)
    for name, some in {"first": records[1:], "second": records}.items():
        store = Store(tmp_path / name)
        (store.root / "records").mkdir(parents=True)
        for record in some:
            record.save(store.record_path(record.key))
        shipping.ship(Namespace(only="cnn", store=store.root, accuracy_only=False))
        assert f"the tables of {len(some)} short runs" in capsys.readouterr().out
    assert not (shipped / "records").exists()
    assert {path.name for path in (shipped / "beyond").iterdir()} == {
        "cnn.json", "cnn-nodes.csv.gz", "cnn-degrees.csv.gz", "cnn-tails.csv.gz"}
    read = channels.of(empty)
    assert [run.config for run in read.runs] == list(RUNS)
    for name in channels.TABLES:
        expected = getattr(wiring, name).assign(model="ConvNet, 2 epochs")
        pd.testing.assert_frame_equal(getattr(read, name), expected, rtol=1e-5, check_dtype=False)


def test_long_runs_stand_before_short_ones_and_are_told_apart(record: Record, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    known, long = study.runs, BASE.but(epochs=300)
    asked = {channels.LONG: (long,), channels.SHORT: (BASE,)}
    monkeypatch.setattr(study, "runs", lambda need, profile: asked.get(need) or known(need, profile))
    monkeypatch.setattr(channels, "SHIPPED", tmp_path / "results")
    store = Store(tmp_path / "store")
    (store.root / "records").mkdir(parents=True)
    record.save(store.record_path(record.key))
    book = session.Session("24", "replay", store, tmp_path)
    assert channels.of(book).nodes["model"].unique().tolist() == ["ConvNet, 2 epochs"]
    replace(record, config=long).save(store.record_path(long.key))
    both = channels.of(book)
    assert both.nodes["model"].unique().tolist() == ["ConvNet, 300 epochs", "ConvNet, 2 epochs"]
    assert [run.config for run in both.runs] == [long, BASE] and both.end["model"].nunique() == 2


def test_records_with_both_ends_only_do_not_do() -> None:
    moments = tuple(range(6))
    assert channels.KIND.whole(SimpleNamespace(mask_moments=moments, moments=moments))  # type: ignore[arg-type]
    assert not channels.KIND.whole(SimpleNamespace(mask_moments=(0, 5), moments=moments))  # type: ignore[arg-type]


def test_figures(wiring: channels.Wiring) -> None:
    two = [pd.concat([frame, frame.assign(model="resnet56")]) for frame in (wiring.nodes, wiring.degrees)]
    for fig, frame in (channels.figure_b19(two[0]), channels.figure_b20(two[1])):
        assert not style.unlabelled_axes(fig) and len(fig.axes) == 6
        assert set(frame["model"]) == {"convnet", "resnet56"}
        plt.close(fig)
    curves = channels.pooled(wiring.degrees).groupby(["nodes", "moment", "strategy"])["share"]
    assert np.allclose(curves.first(), 1) and all((curve.diff().dropna() < 0).all() for _, curve in curves)
    assert set(curves.groups) == {(nodes, *end) for nodes in channels.NODES
                                  for end in (("start", "all"), ("end", "gradient"), ("end", "random"))}


def test_ratios_and_pooled_shares_by_hand() -> None:
    run = {"key": "k", "model": "convnet", "strategy": "random", "seed": 0}
    nodes = pd.DataFrame([run | {"moment": 5, "epoch": 2.0, "nodes": INTO, "layer": str(i), "sd": sd, "chance_sd": 2.0}
                          for i, sd in enumerate((2.0, 2.0, 8.0))])
    assert channels.ratios(nodes)["ratio"].tolist() == [2]
    degrees = pd.DataFrame([run | {"layer": "a", "nodes": INTO, "moment": moment, "relative degree": k, "count": n,
                                   "strategy": rule}
                            for rule in ("random", "gradient") for moment in ("start", "end")
                            for k, n in ((0.0, 1), (1.0, 2), (2.0, 1))])
    found = channels.pooled(degrees)
    assert found["share"].tolist() == [1, 0.75, 0.25] * 3
    assert list(dict.fromkeys(zip(found["moment"], found["strategy"], strict=True))) == [
        ("start", "all"), ("end", "random"), ("end", "gradient")]


def test_both_ends_are_the_first_and_the_last_moment(record: Record) -> None:
    frame = channels.degrees(record)
    for moment, row in (("start", 0), ("end", -1)):
        found = frame[(frame["layer"] == "conv3") & (frame["nodes"] == INTO) & (frame["moment"] == moment)]
        values, counts = np.unique(record.in_degree["conv3"][row], return_counts=True)
        assert found["degree"].tolist() == values.tolist() and found["count"].tolist() == counts.tolist()
        assert found["relative degree"].to_numpy() == pytest.approx(values / record.in_degree["conv3"][row].mean())


def test_a_tail_needs_as_many_nodes_as_is_said(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "ENOUGH", 128)
    assert ("conv3", INTO) in set(channels.tails(record).set_index(["layer", "nodes"]).index)  # it has 128
    monkeypatch.setattr(channels, "ENOUGH", 129)
    assert ("conv3", INTO) not in set(channels.tails(record).set_index(["layer", "nodes"]).index)
