"""Pictures of one update: their cells against an update worked out by hand, their degrees against the masks."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import torch

from regrow.config import RunConfig
from regrow.rules import GROWTH, LayerState
from regrow.topology import Rewiring, rewire
from regrow_companion.plots import nb03_update_step as update_step
from regrow_companion.style import unlabelled_axes

# Pruned at rate 0.5: 0.1 and -0.2. Grown by gradient: the position of 0.1 again, and row 2, column 3.
WEIGHT = torch.tensor([[0.1, 0.0, -0.2], [0.9, 0.0, 0.0], [0.0, -0.8, 0.0]])
GRADIENT = torch.tensor([[-0.7, 0.1, 0.0], [1.0, 0.2, 0.6], [0.3, 0.0, 0.4]])


def layer() -> LayerState:
    return LayerState(WEIGHT, WEIGHT != 0, torch.Generator().manual_seed(0), GRADIENT)


def step(grow: str = "gradient") -> Rewiring:
    return rewire(layer(), rate=0.5, prune="magnitude", grow=grow)


def test_update_picture_marks_what_was_pruned_and_grown() -> None:
    fig, frame = update_step.update_picture(layer(), step())
    states = {panel: part.pivot(index="to", columns="from", values="state").to_numpy().tolist()
              for panel, part in frame.groupby("panel")}
    assert states == {
        "before": [["kept", "empty", "kept"], ["kept", "empty", "empty"], ["empty", "kept", "empty"]],
        "prune": [["pruned", "empty", "pruned"], ["kept", "empty", "empty"], ["empty", "kept", "empty"]],
        "grow": [["regrown", "empty", "empty"], ["kept", "empty", "grown"], ["empty", "kept", "empty"]],
    }
    assert [ax.get_title() for ax in fig.axes] == ["1. before: 4 connections", "2. prune: 2 connections",
                                                   "3. grow: 4 connections"]
    assert unlabelled_axes(fig) == []
    assert not plt.get_fignums()


def test_update_picture_shows_the_weight_that_a_regrown_connection_starts_from() -> None:
    for option, expected in {"zero": 0.0, "keep": 0.1}.items():
        _, frame = update_step.update_picture(layer(), step(), option)
        assert np.isclose(frame.query("state == 'regrown'")["weight"].item(), expected)
    assert frame.query("state == 'empty'")["weight"].isna().all()


def test_cells_say_their_number_and_symbol_and_are_named_in_the_legend() -> None:
    fig, _ = update_step.update_picture(layer(), step())
    texts = [{text.get_text() for text in ax.texts} for ax in fig.axes]
    assert {"0.1", "−0.2", "0.9", "−0.8"} <= texts[0]
    assert "×" in texts[1] and {"+", "↻", "0.0"} <= texts[2] and "−0.0" not in texts[2]
    named = {text.get_text() for text in fig.legends[0].get_texts()}
    assert named == {look.label for look in update_step.LOOKS.values()}


def test_growth_picture_gives_the_winners_the_highest_scores() -> None:
    names = ("random", "gradient")
    scores = {name: GROWTH[name].score(layer()) for name in names}
    fig, frame = update_step.growth_picture(scores, {name: step(name) for name in names})
    assert len(fig.axes) == 2 and unlabelled_axes(fig) == []
    for _, part in frame.groupby("panel"):
        won = part["state"].isin(["grown", "regrown"])
        assert won.sum() == 2 and part.loc[part["state"] == "kept", "score"].isna().all()
        assert part.loc[won, "score"].min() >= part.loc[part["state"] == "empty", "score"].max()


def test_prune_rates_start_at_p0_and_only_the_constant_one_stays() -> None:
    base = RunConfig(epochs=10, update_interval=10)
    configs = [base.but(prune_schedule=name) for name in ("cosine", "constant", "linear")]
    fig, frame = update_step.prune_rate_figure(configs, total_steps=1000)
    last = frame.groupby("schedule")["prune rate"].last()
    assert np.allclose(last[["cosine", "linear"]], 0) and last["constant"] == 0.5
    assert (frame.groupby("schedule").size() == 100).all() and unlabelled_axes(fig) == []


def test_ranked_degrees_takes_tensors_and_arrays_and_keeps_every_neuron() -> None:
    after = {"random": np.array([0, 5, 1]), "gradient": torch.tensor([6, 0, 0])}
    fig, frame = update_step.ranked_degrees(torch.tensor([3, 1, 2]), after)
    lines = frame.groupby("line")["in-degree"].apply(list).to_dict()
    assert lines == {"before": [3, 2, 1], "random": [5, 1, 0], "gradient": [6, 0, 0]}
    assert [line.get_label() for line in fig.axes[0].lines] == ["before", "random", "gradient"]
    assert unlabelled_axes(fig) == []
