"""Layers that trade connections and networks that grow: counts by hand, oracles, and figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regrow import train
from regrow.config import RunConfig
from regrow.data import Dataset, load
from regrow.errors import ConfigError
from regrow.record import Record
from regrow.rules import LayerState, l3_score
from regrow_companion import style
from regrow_companion.section8 import cases
from regrow_companion.section8 import nb22_engines as engines
from regrow_companion.section8 import nb22_layers as layers
from regrow_companion.section8.watched import observe

TINY = RunConfig(hidden=(40, 20), train_limit=640, epochs=3, batch_size=64, update_interval=3)  # 10 updates
TOTAL = 30


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load("fashion_mnist_small", image_format="native", train_limit=640)


@pytest.fixture(scope="module")
def results() -> dict[str, cases.Tables]:
    """The tables of every kind, by gradient growth."""
    return {kind: layers.perform(layers.LayersCase(TINY, kind), None, lambda step: None)[0] for kind in layers.ENGINES}


# ---- the division of what was pruned ---------------------------------------------------------------------------------


def test_shares_by_hand() -> None:
    plenty = {"a": 100, "b": 100, "c": 100}
    assert engines.shares(10, {"a": 1, "b": 3, "c": 1}, plenty) == {"a": 2, "b": 6, "c": 2}
    assert engines.shares(10, {"a": 1, "b": 1, "c": 1}, plenty) == {"a": 4, "b": 3, "c": 3}
    # b would get 6 of 10 and has room for 3: the other 7 go to a and c as 1 : 1, the odd one to a.
    assert engines.shares(10, {"a": 1, "b": 3, "c": 1}, plenty | {"b": 3}) == {"a": 4, "b": 3, "c": 3}
    # what b cannot take fills a as well, and c takes what is left
    assert engines.shares(10, {"a": 1, "b": 3, "c": 1}, {"a": 3, "b": 3, "c": 9}) == {"a": 3, "b": 3, "c": 4}
    assert engines.shares(4, {"a": 0, "b": 5, "c": 0}, plenty | {"b": 0}) == {"a": 2, "b": 0, "c": 2}
    with pytest.raises(ValueError, match="7 connections on 6"):
        engines.shares(7, {"a": 1, "b": 1}, {"a": 3, "b": 3})


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 50)), min_size=1, max_size=6), st.floats(0, 1))
def test_shares_are_exact_and_never_above_the_room(of: list[tuple[float, int]], part: float) -> None:
    weights = {str(i): weight for i, (weight, _) in enumerate(of)}
    room = {str(i): places for i, (_, places) in enumerate(of)}
    total = int(part * sum(room.values()))
    given_to = engines.shares(total, weights, room)
    assert sum(given_to.values()) == total and all(0 <= given_to[name] <= room[name] for name in room)


def states(seed: int = 0) -> dict[str, LayerState]:
    chance = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape, scale in (("a", (9, 7), 1.0), ("b", (5, 9), 0.2)):
        mask = torch.rand(shape, generator=chance) < 0.5
        found[name] = LayerState(torch.randn(shape, generator=chance).mul(scale).round(decimals=1) * mask, mask, chance,
                                 gradient=torch.randn(shape, generator=chance))
    return found


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_one_threshold_prunes_all_layers(rate: float) -> None:
    of = states()
    every = [(abs(float(layer.weight[i, j])), name, i, j) for name, layer in of.items()
             for i, j in layer.mask.nonzero().tolist()]
    gone = {entry[1:] for entry in sorted(every, key=lambda entry: entry[0])[:round(rate * len(every))]}  # stable
    pruned = engines.prune_globally(of, rate)
    assert {(name, i, j) for name, mask in pruned.items() for i, j in mask.nonzero().tolist()} == gone


def test_a_layer_may_grow_more_than_it_lost() -> None:
    layer = states()["a"]
    pruned = layer.mask & (layer.weight < 0)
    free = int((~layer.mask | pruned).sum())
    for n in (0, 5, free):
        done = engines.regrow(layer, pruned, n, "gradient")
        assert done.grown.sum() == n and done.mask.sum() == (layer.mask & ~pruned).sum() + n
        assert not (done.grown & layer.mask & ~pruned).any()
    assert engines.mean_momentum(layer) == pytest.approx(float(layer.gradient[layer.mask].abs().mean()))


# ---- whole runs ------------------------------------------------------------------------------------------------------


def test_fixed_layers_are_the_papers_bit_for_bit(dataset: Dataset) -> None:
    plain = train.finish(train.start(TINY, dataset, engine="sparse"), dataset).arrays()
    watched = observe(TINY, dataset, engine=layers.ENGINES["fixed"])[0].arrays()
    assert plain.keys() == watched.keys() and all(plain[name].tobytes() == watched[name].tobytes() for name in plain)


@pytest.mark.parametrize("kind", layers.ENGINES)
def test_the_network_keeps_its_number_of_connections(kind: str, results: dict[str, cases.Tables]) -> None:
    table = results[kind]["layers"]
    assert table["step"].nunique() == 11 and table.groupby("step")["connections"].sum().nunique() == 1
    changes = table.groupby("layer")["connections"].nunique() > 1
    assert changes[["fc1", "fc2"]].all() if kind in ("momentum", "magnitude") else not changes.any()
    assert (table["density"] <= 1).all() and tuple(results[kind]) == layers.TABLES
    assert np.isfinite(results[kind]["accuracy"].to_numpy()).all()


@pytest.mark.parametrize("kind", ["momentum", "magnitude", "growing"])
def test_the_same_case_gives_the_same_tables(kind: str, results: dict[str, cases.Tables]) -> None:
    again, _ = layers.perform(layers.LayersCase(TINY, kind), None, lambda step: None)
    for name, table in results[kind].items():
        pd.testing.assert_frame_equal(table, again[name], check_exact=True)


@pytest.mark.parametrize("grow", ["random", "momentum"])
def test_other_growth_rules(grow: str, dataset: Dataset) -> None:
    config = TINY.but(grow=grow, epochs=1)
    for kind in ("magnitude", "growing") if grow == "random" else ("momentum", "growing"):
        record, _ = observe(config, dataset, engine=layers.ENGINES[kind])
        assert len({sum(int(record.in_degree[name][u].sum()) for name in record.layers) for u in range(4)}) == 1


def test_what_is_refused(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="did you mean 'growing'"):
        layers.LayersCase(TINY, "growin")
    with pytest.raises(ConfigError, match="reads gradients, not grow=random"):
        engines.MomentumEngine(TINY.but(grow="random"), dataset, TOTAL)
    with pytest.raises(ConfigError, match="do not fit"):
        engines.GrowingEngine(TINY.but(sparsity=0.6), dataset, TOTAL)
    with pytest.raises(ConfigError, match="shorten update_interval"):
        engines.births(10, [20, 30], 30)
    for engine in (engines.MagnitudeEngine, engines.GrowingEngine):
        with pytest.raises(ConfigError, match="regrow_pruned=true"):
            engine(TINY.but(regrow_pruned=False), dataset, TOTAL)


# ---- growing networks ------------------------------------------------------------------------------------------------


def test_births_by_hand() -> None:
    assert engines.births(8, [3, 6, 9, 12], 12).tolist() == [0, 0, 0, 0, 1, 1, 2, 2]


@pytest.fixture(scope="module")
def grown(dataset: Dataset) -> Record:
    return observe(TINY, dataset, engine=engines.GrowingEngine)[0]


def test_the_unborn_have_no_connection_and_are_born_in_time(grown: Record) -> None:
    for below, above in (("fc1", "fc2"), ("fc2", "")):
        born = engines.births(grown.shapes[below][0], range(3, 31, 3), TOTAL)
        half = len(born) // 2
        assert (born == 0).sum() == half and set(born) == {0, 1, 2, 3, 4, 5}  # updates at steps 3 to 15 of 30
        degrees = [(below, grown.in_degree[below])] + ([(above, grown.out_degree[above])] if above else [])
        for name, degree in degrees:
            for neuron in range(half, len(born)):
                birth, n = born[neuron], (born <= born[neuron]).sum()
                assert not degree[:birth, neuron].any()
                assert degree[birth, neuron] >= round(grown.connections[name] / (2 * n)) > 0


def test_newborns_wake(dataset: Dataset) -> None:
    config = TINY.but(grow="random")
    engine = engines.GrowingEngine(config, dataset, TOTAL)
    born, layer = engine.born[0], engine.layers["fc1"]
    unborn = born > 0
    assert not layer.bias[unborn].any() and layer.bias[~unborn].all()
    before = engine.masks["fc1"].clone()
    engine.update(3)
    weight, first = layer.dense(layer.weight), engine.first_weights["fc1"]
    now = torch.from_numpy(born == 1)
    mask = engine.masks["fc1"]
    assert torch.equal(weight[now], (first * mask)[now]) and weight[now][mask[now]].all()
    assert not weight[~now][(mask & ~before)[~now]].any()  # whatever else has grown begins at 0
    assert layer.bias[born == 1].all() and not layer.bias[born > 1].any()
    outgoing = engine.layers["fc2"].dense(engine.layers["fc2"].weight)[:, now]
    assert engine.masks["fc2"][:, now].any() and not outgoing[engine.born[1] == 0].any()


def test_first_links_go_to_born_neurons() -> None:
    links = engines.first_links(torch.Size((6, 9)), slice(3, 5), slice(4, 7), 2, 1, torch.Generator().manual_seed(0))
    assert not links[5:].any() and not links[:, 7:].any() and not links[:3, :4].any()
    assert (links[3:5].sum(1) >= 2).all() and (links[:, 4:7].sum(0) >= 1).all() and links.sum() <= 7


def test_the_first_mover_law() -> None:
    """One birth after the other: gains and losses in proportion to degree, m = C / 2n for the newborn."""
    connections, degree = 1e5, np.full(50, 1e5 / 50)
    while len(degree) < 200:
        m = connections / (2 * (len(degree) + 1))
        degree = np.append(degree * (1 - m / connections), m)
    expected = engines.expected_degree(np.maximum(50, np.arange(1, 201)), 50, 200)
    assert np.allclose(degree / degree.mean(), expected, rtol=0.02)


# ---- the experiment and its figures ----------------------------------------------------------------------------------


def test_cases_and_their_names() -> None:
    quick, paper = layers.planned("quick"), layers.planned("paper")
    assert len(quick) == 11 and len(paper) == 22 and len({case.key for case in (*quick, *paper)}) == 33
    assert [case.run.seed for case in paper] == [0] * 11 + [1] * 11
    assert quick[0].labels == {"kind": "fixed", "strategy": "random", "seed": 0}


def test_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: dict[str, cases.Tables]) -> None:
    chosen = [layers.LayersCase(TINY, kind) for kind in layers.ENGINES]
    made = {case: results[case.kind] for case in chosen}
    experiment = cases.Experiment("layers", lambda profile: chosen, lambda case, root, tell: (made[case], {}),
                                  lambda case: TOTAL, layers.TABLES)
    found = cases.tables(experiment, "quick", tmp_path, tmp_path / "none")
    for draw, table in ((layers.figure_b14, "layers"), (layers.figure_b15, "exponents"),
                        (layers.figure_b16, "ages")):
        fig, frame = draw(found[table])
        assert not style.unlabelled_axes(fig) and len(frame), table
    table = layers.cohorts(found["ages"])
    assert table.groupby("nodes")["neurons"].sum().to_dict() == {"hidden 1": 40, "hidden 2": 20}
    assert (table["low"] <= table["median"]).all() and (table["median"] <= table["high"]).all()
    weighted = (table["mean"] * table["neurons"]).groupby(table["nodes"]).sum()
    assert np.allclose(weighted, [40, 20])  # relative to the mean
    plt.close("all")


# ---- small cases by hand ---------------------------------------------------------------------------------------------


def born_late() -> tuple[SimpleNamespace, dict[str, np.ndarray]]:
    """Four inputs, three hidden neurons born before training and at the updates, two outputs."""
    record = SimpleNamespace(
        shapes={"fc1": (3, 4), "fc2": (2, 3)}, layers=("fc1", "fc2"), steps=np.array([0, 5, 10]), steps_per_epoch=5,
        epochs_at=np.array([0.0, 1, 2]), thresholds=SimpleNamespace(low=2),
        in_degree={"fc1": np.array([[2, 0, 0], [1, 1, 0], [3, 1, 2]]), "fc2": np.array([[1, 0], [1, 1], [2, 2]])},
        out_degree={"fc1": np.ones((3, 4), int), "fc2": np.array([[1, 0, 0], [1, 1, 0], [2, 1, 1]])})
    return record, {"fc1": np.array([0, 1, 2]), "fc2": np.array([0, 0])}


def test_layers_over_time_by_hand() -> None:
    table = layers.over_time(*born_late())  # type: ignore[arg-type]
    columns = ["step", "epoch", "connections", "neurons", "dormant", "largest"]
    hidden, output = (table[table["layer"] == name][columns].to_numpy().tolist() for name in ("fc1", "fc2"))
    assert hidden == [[0, 0, 2, 1, 0, 3], [5, 1, 2, 2, 2, 2], [10, 2, 6, 3, 1, 5]]
    assert output == [[0, 0, 1, 2, 2, 1], [5, 1, 2, 2, 2, 1], [10, 2, 4, 2, 2, 2]]
    assert table["density"].iloc[0] == 2 / 12 and table["nodes"].tolist() == ["hidden 1", "output"] * 3


def test_ages_and_places_by_hand() -> None:
    record, born = born_late()
    table = layers.ages(record, born)  # type: ignore[arg-type]
    assert table[["birth", "birth_epoch", "rank", "in_degree", "degree"]].to_numpy().tolist() == [
        [0, 0, 1, 3, 5], [1, 1, 2, 1, 2], [2, 2, 3, 2, 3]]
    places = {of: np.asarray(found).tolist() for of, found in layers.born_places(record, born).items()}  # type: ignore[arg-type]
    assert places == {("fc1", "in"): 4, ("fc1", "out"): [[2], [3]], ("fc2", "in"): [[2], [3]],
                      ("fc2", "out"): [[2], [2]]}


def test_halves_of_training_leave_the_first_update_out() -> None:
    exponents = pd.DataFrame({"kind": "fixed", "strategy": "random", "layer": "fc1", "side": "in", "seed": 0,
                              "step": [3, 6, 15, 18, 30], "attachment": [100.0, 1, 2, 5, 7],
                              "attachment_information": [1.0, 1, 3, 1, 1]})
    found = layers.attachment_by_kind(exponents)
    assert found["half"].tolist() == ["first half", "second half"] and found["value"].tolist() == [1.75, 6]


def test_the_accuracies_kept_are_those_of_the_end(dataset: Dataset) -> None:
    record, seen = observe(TINY.but(epochs=1), dataset)
    record = replace(record, val_accuracy=np.array([9.0, 1]), test_accuracy=np.array([9.0, 2]))
    kept = layers.tables(layers.LayersCase(TINY.but(epochs=1), "fixed"), record, seen)["accuracy"]
    assert kept.to_dict("list") == {"validation": [1], "test": [2]}


def test_layers_get_back_by_what_they_have_left() -> None:
    of = states()
    pruned = {name: layer.mask & (layer.weight < 0) for name, layer in of.items()}
    left = {name: int((layer.mask & (layer.weight >= 0)).sum()) for name, layer in of.items()}
    assert engines.MagnitudeEngine.weights(None, of, pruned) == left  # type: ignore[arg-type]
    assert engines.mean_momentum(replace(of["a"], average=of["a"].mask * 3.0 + ~of["a"].mask * 50.0)) == 3


def test_a_place_that_was_just_pruned_is_free(dataset: Dataset) -> None:
    """Of 90 % connections half are pruned and have nowhere else to go."""
    record, _ = observe(TINY.but(sparsity=0.1, epochs=1), dataset, engine=engines.MagnitudeEngine)
    assert len({sum(int(record.in_degree[name][u].sum()) for name in record.layers) for u in range(4)}) == 1


def test_regrowth_scores_what_pruning_has_left() -> None:
    different = 0
    for seed in range(5):
        layer = states(seed)["a"]
        pruned = layer.mask & (layer.weight < 0)
        done = engines.regrow(layer, pruned, 4, "l3")
        kept = layer.mask & ~pruned
        scores, old = (l3_score(replace(layer, mask=mask)) for mask in (kept, layer.mask))
        assert scores[done.grown].min() >= scores[~kept & ~done.grown].max()
        different += int(old[done.grown].min() < old[~kept & ~done.grown].max())
    assert different, "otherwise this would say nothing"


def test_the_largest_remainders_get_what_rounding_leaves() -> None:
    room = {"a": 100, "b": 100, "c": 100}
    assert engines.shares(10, {"a": 1, "b": 2, "c": 4}, room) == {"a": 1, "b": 3, "c": 6}  # 1.43, 2.86 and 5.71
