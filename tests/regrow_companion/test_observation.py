"""Watching somebody else's network: what is counted, where connections are found, and what is refused."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import regrow
from regrow import metrics
from regrow.errors import DataError
from regrow.tails.fit import fit_tail
from regrow_companion import figures


def sparse_mlp(sizes: tuple[int, ...] = (48, 30, 20, 4), density: float = 0.3) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    for layer in layers:
        layer.weight.data *= torch.rand_like(layer.weight) < density
    return nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])


def test_degrees_are_those_of_the_weights_that_are_not_zero() -> None:
    model = sparse_mlp()
    watch = regrow.observe(model)
    first = [model[i].weight != 0 for i in (0, 2, 4)]
    with torch.no_grad():
        model[0].weight[3] = 0.0  # a neuron dies
    watch()
    assert watch.steps.tolist() == [0, 1] and watch.is_chain
    assert watch.in_degree["0"][1, 3] == 0 and watch.in_degree["0"][0, 3] == first[0][3].sum()
    hidden = watch.degrees()
    assert list(hidden) == ["hidden 1", "hidden 2"]
    assert np.array_equal(hidden["hidden 2"][0], first[1].sum(1) + first[2].sum(0))
    core = nx.core_number(metrics.to_networkx(mask.numpy() for mask in first).to_undirected())
    assert np.concatenate(watch.shells(first=True)).tolist() == [core[i] for i in range(len(core))]
    table = watch.table()
    now = table[(table["layer"] == "all") & (table["step"] == 1)].iloc[0]
    pooled = np.concatenate([degrees[1] for degrees in hidden.values()])
    assert (now["units"], now["largest"], now["mean"]) == (50, pooled.max(), pytest.approx(pooled.mean()))
    assert now["dormant low"] == (pooled <= watch.thresholds().low).sum()
    assert watch.tail(5) == fit_tail(pooled, 5)


def test_looking_changes_nothing_and_keeps_nothing_alive() -> None:
    model = sparse_mlp(density=0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    watch = regrow.observe(model)
    mask = watch.first["0"].copy()
    with torch.no_grad():
        model[0].weight.zero_()
    assert np.array_equal(watch.first["0"], mask)  # a copy, not a view of the weights
    model.load_state_dict(before)
    watch(step=400)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert watch.steps.tolist() == [0, 400] and model[0].weight.grad is None


def test_a_look_that_misses_connections_grown_at_zero_says_so_once() -> None:
    model = sparse_mlp()
    watch = regrow.observe(model)
    mask = model[0].weight != 0
    with torch.no_grad():
        model[0].weight[:5] = 0.0
    with pytest.warns(UserWarning, match="grown at zero") as said:
        watch()
        watch()
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch = regrow.observe(model, {"0": mask})
        mask[:5] = False
        watch()


def test_masks_of_torch_prune_and_given_ones_win_over_zero_weights() -> None:
    model = sparse_mlp(density=1.0)
    prune.random_unstructured(model[0], "weight", amount=0.5)
    with torch.no_grad():
        model[2].weight[0, 0] = 0.0
    watch = regrow.observe(model)
    assert watch.in_degree["0"].sum() == model[0].weight_mask.sum()
    assert watch.in_degree["2"].sum() == 30 * 20 - 1

    masks = {"2.weight": torch.eye(20, 30)}
    watch = regrow.observe(model, masks)
    assert list(watch.shapes) == ["2"] and watch.in_degree["2"].tolist() == [[1] * 20]
    masks["2.weight"] = torch.ones(20, 30, dtype=torch.bool)  # read anew at every look
    watch()
    assert watch.in_degree["2"][1].tolist() == [30] * 20
    assert regrow.observe(model, lambda: masks).in_degree["2"][0, 0] == 30


def test_convolutions_are_counted_by_channel_and_have_no_shells(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))
    with torch.no_grad():
        model[0].weight[:, 0] = 0.0
    watch = regrow.observe(model)
    assert not watch.is_chain and watch.degrees()["0"].tolist() == [[18] * 8]
    assert watch.out_degree["0"].tolist() == [[0, 72, 72]]
    with pytest.raises(DataError, match="fully connected layers"):
        watch.shells()
    watch.save(tmp_path, "conv")
    assert figures.check_figure(tmp_path, "conv") == []


def test_the_figure_is_whole_and_says_what_it_shows(tmp_path: Path) -> None:
    model = sparse_mlp()
    masks = {str(i): model[i].weight != 0 for i in (0, 2, 4)}
    watch = regrow.observe(model, masks)
    for step in (10, 20, 30):
        masks["0"] &= torch.rand(30, 48) < 0.9
        watch(step)
    fig = watch.figure((3, 4, 4))
    titles = [ax.get_title() for ax in fig.axes]
    assert {"degree distribution", "dormant units", "k-shells", "connections per pixel, last look"} <= set(titles)
    watch.save(tmp_path, image_shape=(3, 4, 4))
    assert figures.check_figure(tmp_path, "wiring") == []
    with pytest.raises(DataError, match="48 inputs"):
        watch.figure((3, 5, 5))


def test_what_cannot_be_watched_is_refused_in_one_sentence() -> None:
    model = sparse_mlp()
    with pytest.raises(DataError, match="nothing to watch"):
        regrow.observe(nn.ReLU())
    with pytest.raises(DataError, match="names 'fc9'"):
        regrow.observe(model, {"fc9": torch.ones(1)})
    with pytest.raises(DataError, match=r"mask of 0 is \(3, 3\)"):
        regrow.observe(model, {"0": torch.ones(3, 3)})
    watch = regrow.observe(model)
    model[0] = nn.Linear(48, 31)
    with pytest.raises(DataError, match="call regrow.observe again"):
        watch()
