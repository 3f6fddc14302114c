"""Exercises of notebook 25: a network of one's own, trained sparsely."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regrow.determinism import generator
from regrow.rules import LayerState
from regrow.sparsification import sparsify
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import function, number, several, table
from regrow_companion.session import Session

SIZES = {"1": 784 * 100, "3": 100 * 50, "5": 50 * 10}  # weights of the exercise's network, by the names of its layers


def connections(book: Session) -> dict[str, int]:
    """What sparsify itself makes of the words."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(),
                          nn.Linear(50, 10))
    sparse = sparsify(model, torch.optim.SGD(model.parameters(), lr=0.1), density={"3": 0.05, "*": 0.1}, dense=["1"],
                      update_interval=20, total_steps=180)
    counts = sparse.counts
    sparse.remove()
    return counts


def layers() -> Iterator[tuple[str, tuple[LayerState]]]:
    """A layer with gradients of both signs, and one that is nearly empty."""
    chance = generator("notebook 25", 0)
    mask = torch.rand(6, 8, generator=chance) < 0.3
    layer = LayerState(torch.randn(6, 8, generator=chance) * mask, mask, chance,
                       torch.randn(6, 8, generator=chance))
    yield "gradients of both signs", (layer,)
    few = torch.zeros_like(mask)
    few[0, 0] = True
    yield "one connection", (replace(layer, mask=few, weight=few.double()),)


def smallest(layer: LayerState) -> Tensor:
    """The rule that is asked for."""
    assert layer.gradient is not None
    return -layer.gradient.abs()


def order(scores: Any, layer: LayerState) -> np.ndarray:
    """The empty places from the one that grows first to the last: all that a score says."""
    empty = np.flatnonzero(~layer.mask.numpy())
    return empty[np.argsort(-torch.as_tensor(scores).numpy().reshape(-1)[empty], kind="stable")]


EXERCISES = {
    "1": Exercise("a table of connections of the sparse layers, such as {\"3\": ..., \"5\": ...}", connections,
                  table(number(rel=0)), (
        Slip("A density is a share of each layer's own weights: 100 x 50 and 50 x 10.",
             lambda book: {"3": round(0.05 * SIZES["1"]), "5": round(0.1 * SIZES["3"])}),
        Slip("A layer that has a density of its own does not get that of \"*\".",
             lambda book: {"3": round(0.1 * SIZES["3"]), "5": round(0.1 * SIZES["5"])}))),
    "2": Exercise("a function of a layer that returns a score for every place", lambda book: smallest,
                  function(layers, seen=order), (
        Slip("The smallest gradient is the one nearest to zero, of either sign.", lambda book: lambda layer:
             -layer.gradient),
        Slip("The highest scores grow, so this grows where the gradient is largest.", lambda book: lambda layer:
             layer.gradient.abs()))),
    "3": Exercise("a list of names, any of \"exp_avg\", \"exp_avg_sq\", \"step\"",
                  lambda book: ["exp_avg", "exp_avg_sq"], several("exp_avg", "exp_avg_sq", "step"), (
        Slip("The count of steps belongs to the whole tensor, not to a place in it.",
             lambda book: ["exp_avg", "exp_avg_sq", "step"]),
        Slip("Adam has two numbers for every place.", lambda book: ["exp_avg"]))),
}
