"""Exercises of notebook 03: one prune-and-regrow step by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from regrow.rules import PRUNING, LayerState, smallest
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import function, number, table
from regrow_companion.session import Session

POSITIVE, NEGATIVE = 600, 400


def removed(book: Session, rule: str = "set_legacy") -> dict[float, int]:
    """Connections that a rule removes from a layer of POSITIVE and NEGATIVE weights, by prune rate."""
    weights = torch.rand(20, 50, generator=torch.Generator().manual_seed(0))
    weights.view(-1)[:NEGATIVE] *= -1
    layer = LayerState(weights, torch.ones_like(weights, dtype=torch.bool), torch.Generator())
    return {rate: int(PRUNING[rule](layer, rate).sum()) for rate in (0.05, 0.5)}


def keep(weights: Tensor, mask: Tensor, rate: float) -> Tensor:
    """The mask without the round(rate * n) connections of the smallest weights; of equal ones the first go."""
    return mask & ~smallest(weights.abs(), mask, round(rate * int(mask.sum())))


def _by_threshold(weights: Tensor, mask: Tensor, rate: float) -> Tensor:
    """Equation 7 to the letter."""
    sizes = weights[mask].abs().sort().values
    return mask & (weights.abs() >= sizes[round(rate * len(sizes))])


def _layers() -> Iterator[tuple[str, tuple[Any, ...]]]:
    mask = torch.rand(6, 8, generator=torch.Generator().manual_seed(1)) < 0.5
    weights = torch.randn(6, 8, generator=torch.Generator().manual_seed(2)) * mask
    yield "weights that all differ", (weights, mask, 0.3)
    yield "weights that are all 1", (mask.float(), mask, 0.4)
    yield "some connections of weight 0, as if just grown", (weights * (weights > 0), mask, 0.2)
    yield "a prune rate of 0", (weights, mask, 0.0)


def _kept(value: Tensor, weights: Tensor, mask: Tensor, rate: float) -> list[float]:
    """What any right answer has in common: how many are kept, none of them new, and the sizes of those kept."""
    sizes = weights[value.bool()].abs().sort().values.tolist()
    return [float(value.sum()), float((value.bool() & ~mask).sum()), *sizes]


def preferential(layer: LayerState) -> Tensor:
    """Chance in proportion to one more than the neuron's in-degree, without replacement."""
    return _log_of_chance(layer) / (1 + layer.mask.sum(1, keepdim=True))


def _log_of_chance(layer: LayerState) -> Tensor:
    return torch.rand(layer.mask.shape, generator=layer.generator).log()


def _rich_and_poor() -> Iterator[tuple[str, tuple[Any, ...]]]:
    mask = torch.zeros(40, 2000, dtype=torch.bool)
    mask[:20, :79], mask[20:, :19] = True, True
    yield "half of the neurons four times as rich as the others", (
        LayerState(mask.float(), mask, torch.Generator().manual_seed(0)),)


def _to_the_rich(score: Tensor, layer: LayerState) -> float:
    """The share of 1,000 new connections that the richer half gets."""
    free = score.masked_fill(layer.mask, -torch.inf)
    return float((free.flatten().topk(1000).indices < free.numel() // 2).double().mean())


EXERCISES = {
    "1": Exercise("a table of two numbers of connections, at p = 0.05 and at 0.5", removed, table(number(rel=0.01)), (
        Slip("This is what SET should do. Which negative weights go if they are sorted the wrong way round?",
             lambda book: removed(book, "set")),)),
    "2": Exercise("a function of weights, mask and prune rate that returns the mask of what is kept", lambda book: keep,
                  function(_layers, seen=_kept), (
        Slip("This is Equation 7 to the letter: with ties it keeps too many. Rank the weights instead.",
             lambda book: _by_threshold),
        Slip("A connection whose weight is 0 is a connection all the same: ask the mask.",
             lambda book: lambda weights, mask, rate: keep(weights, weights != 0, rate)))),
    "3": Exercise("a growth rule: a function of the layer that returns a score for every place",
                  lambda book: preferential, function(_rich_and_poor, rel=0.07, seen=_to_the_rich), (
        Slip("Here everybody has the same chance.", lambda book: _log_of_chance),
        Slip("The logarithm is negative: divide it by the weight; a product favours the poor.",
             lambda book: lambda layer: _log_of_chance(layer) * (1 + layer.mask.sum(1, keepdim=True))),
        Slip("u times w gives nearly everything to the rich; take the root of order w, or its logarithm.",
             lambda book: lambda layer: _log_of_chance(layer).exp() * (1 + layer.mask.sum(1, keepdim=True))))),
}
