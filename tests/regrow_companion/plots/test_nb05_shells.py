"""Figures 10 to 12: the numbers behind the plots, against networkx and by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import networkx as nx
import numpy as np
import pytest

from regrow.config import RunConfig
from regrow.metrics import k_shells, to_networkx
from regrow.record import Record
from regrow.store import Store
from regrow_companion import figures, study, style
from regrow_companion.plots import nb05_shells as plots

# K(2,2) with one output on top is a 2-core; a chain of input 2 and hidden 2 hangs on it, input 3 is alone.
TOY = [np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]], dtype=bool), np.array([[1, 1, 1], [0, 1, 0]], dtype=bool)]


def fake(method: str, seed: int, masks: list[np.ndarray]) -> Any:
    """What the plots read of a record."""
    return SimpleNamespace(config=SimpleNamespace(method=method, seed=seed),
                           masks=lambda moment: {f"fc{i}": mask for i, mask in enumerate(masks, start=1)})


def random_network(seed: int, *, dense_last: bool) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = [rng.random(shape) < 0.2 for shape in ((30, 40), (20, 30), (4, 20))]
    return [*masks[:2], np.ones((4, 20), dtype=bool) if dense_last else masks[2]]


def test_example_shows_every_shell_and_agrees_with_networkx():
    masks = plots.example_masks()
    assert [mask.shape for mask in masks] == [(8, 9), (6, 8), (4, 6)]
    fig, frame = plots.figure10()
    oracle = nx.core_number(to_networkx(masks).to_undirected())
    assert frame["shell"].tolist() == [oracle[node] for node in range(len(oracle))]
    assert sorted(frame["shell"].unique()) == [0, 1, 2, 3]
    assert frame["degree"].sum() == 2 * sum(int(mask.sum()) for mask in masks)
    assert frame["feeds"].str.split().str.len().sum() == sum(int(mask.sum()) for mask in masks)
    heights = [bar.get_height() for bar in fig.axes[1].patches]
    assert heights == frame["shell"].value_counts().sort_index().tolist()
    assert not style.unlabelled_axes(fig)


def test_peeling_has_a_panel_for_each_core():
    fig, frame = plots.peeling(TOY)
    assert [ax.get_title() for ax in fig.axes] == ["the whole network", "its 1-core", "its 2-core"]
    assert frame.loc[frame["layer"] == "hidden 1", ["degree", "shell"]].to_numpy().tolist() == [[3, 2], [4, 2], [2, 1]]


def test_floor_is_what_a_dense_layer_gives_to_both_sides():
    assert plots.floors(random_network(0, dense_last=True)) == [0, 0, 4, 4]
    assert plots.floors(random_network(0, dense_last=False)) == [0, 0, 0, 0]
    assert plots.floors([np.ones((3, 5), dtype=bool)]) == [3, 3]
    empty = [np.zeros((30, 40), dtype=bool), np.zeros((20, 30), dtype=bool), np.ones((4, 20), dtype=bool)]
    assert [int(shell.min()) for shell in k_shells(empty)] == plots.floors(empty)  # the floor is reached


def test_shell_counts_add_up_to_the_neurons():
    networks = {"random": [random_network(seed, dense_last=True) for seed in range(3)]}
    frame = plots.shell_counts(networks)
    assert frame.groupby("layer", sort=False)["neurons"].sum().round(9).to_dict() == {
        "visible": 40, "hidden 1": 30, "hidden 2": 20}
    first = k_shells(networks["random"][0])
    k = int(first[1][0])
    row = frame[(frame["layer"] == "hidden 1") & (frame["shell"] == k)].iloc[0]
    by_hand = [int((k_shells(masks)[1] == k).sum()) for masks in networks["random"]]
    assert row["neurons"] == pytest.approx(np.mean(by_hand)) and row["most"] == max(by_hand)
    assert frame.loc[frame["isolated"], "shell"].tolist() == [0, 0, 4]


def test_figure11_is_the_papers_network_before_training():
    config = RunConfig(dataset="cifar10")
    assert [int(mask.sum()) for mask in plots.initial_masks(config)] == [129_918, 48_719, 5_120]
    fig, frame = plots.figure11([config, config.but(seed=1)])
    assert frame.groupby("layer", sort=False)["neurons"].sum().round(6).to_dict() == {
        "visible": 3072, "hidden 1": 1024, "hidden 2": 512}
    assert [ax.get_title() for ax in fig.axes] == ["visible (3,072 neurons)", "hidden 1 (1,024 neurons)",
                                                   "hidden 2 (512 neurons)"]
    assert not style.unlabelled_axes(fig)


def test_figure12_has_a_row_for_each_strategy(tmp_path):
    records = [fake(method, seed, random_network(seed, dense_last=True))
               for method in study.STRATEGIES for seed in range(2)]
    fig, frame = plots.figure12(records)
    assert frame["method"].unique().tolist() == list(study.STRATEGIES)
    panels = [ax for ax in fig.axes if ax.has_data()]
    assert len(panels) == 9
    assert [ax.get_ylabel().split("\n")[0] for ax in panels[::3]] == [
        "random (N=2)", "gradient (N=2)", "momentum (N=2)"]
    figures.save_figure(fig, "fig12", data=frame, alt="k-shells after training, three by three", out=tmp_path,
                        profile="quick")
    assert figures.check_figure(tmp_path, "fig12") == []


def test_backbone_counts_core_isolated_and_unfed_neurons():
    masks = [np.zeros((3, 4), dtype=bool), np.ones((2, 3), dtype=bool), np.ones((5, 2), dtype=bool)]
    masks[0][0, :] = True
    row = plots.backbone([fake("random", 7, masks)]).iloc[0]
    assert (row["method"], row["seed"], row["k_max"]) == ("random", 7, 2)
    assert (row["core, hidden 1"], row["unfed, hidden 1"]) == (3, 2)
    assert (row["core, hidden 2"], row["isolated, hidden 2"], row["unfed, hidden 2"]) == (2, 2, 0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Record:
    config = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, update_interval=1)
    return Store(tmp_path_factory.mktemp("store")).ensure(config)


def test_a_run_starts_from_initial_masks(tiny: Record):
    start = list(tiny.masks(0).values())
    assert all(np.array_equal(a, b) for a, b in zip(start, plots.initial_masks(tiny.config), strict=True))
    _, frame = plots.figure12([tiny])  # a single seed
    assert frame["seeds"].unique().tolist() == [1]
    assert (frame["neurons"] == frame["most"]).all()


def test_figure12_shows_the_end_of_training(tiny: Record):
    _, frame = plots.figure12([tiny])
    shells = k_shells(tiny.masks(5).values())
    for layer, found in zip(("visible", "hidden 1", "hidden 2"), shells, strict=False):
        drawn = frame[(frame["layer"] == layer) & (frame["neurons"] > 0)]
        values, counts = np.unique(found, return_counts=True)
        assert drawn["shell"].tolist() == values.tolist() and drawn["neurons"].tolist() == counts.tolist()
    start = k_shells(tiny.masks(0).values())
    assert not all(np.array_equal(a, b) for a, b in zip(shells, start, strict=True))
