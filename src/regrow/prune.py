"""Which connections go: one function per rule (Section 4.3.2, Appendix A).

Every rule ranks active connections only. Ranking all positions, as Eq. 6 is printed, would prune nothing at 95 %
sparsity, since more than half of all weights are zero.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regrow.rules import LayerState, count, pruning, smallest


@pruning("magnitude", elementwise=True)
def prune_magnitude(layer: LayerState, rate: float) -> Tensor:
    """The round(rate * active) connections with the smallest |weight| (Eqs. 6 and 7)."""
    return smallest(layer.weight.abs(), layer.mask, round(rate * count(layer.mask)))


@pruning("set", elementwise=True)
def prune_set(layer: LayerState, rate: float) -> Tensor:
    """SET: of the positive and of the negative weights each, the fraction `rate` nearest zero.

    Weights that are exactly 0 are counted with the positive ones.
    """
    negative = layer.mask & (layer.weight < 0)
    positive = layer.mask & ~negative
    size = layer.weight.abs()
    return (smallest(size, positive, round(rate * count(positive)))
            | smallest(size, negative, round(rate * count(negative))))


@pruning("set_legacy", elementwise=True)
def prune_set_legacy(layer: LayerState, rate: float) -> Tensor:
    """SET as a widespread bug has it: the negative weights are sorted the wrong way.

    Of the positive weights the k = ceil(rate * active / 2) smallest go, as intended; of the negative ones all go but
    the k - 1 most negative. About half of all connections are removed, whatever the rate is. A rate of 0 removes none.
    """
    to_remove = math.ceil(rate * count(layer.mask))
    if to_remove == 0:
        return torch.zeros_like(layer.mask)
    k = math.ceil(to_remove / 2)
    negative = layer.mask & (layer.weight < 0)
    positive = layer.mask & ~negative
    kept = smallest(layer.weight, negative, min(k - 1, count(negative)))
    return smallest(layer.weight, positive, min(k, count(positive))) | (negative & ~kept)


@pruning("random", elementwise=True)
def prune_random(layer: LayerState, rate: float) -> Tensor:
    """round(rate * active) connections drawn uniformly."""
    scores = torch.rand(layer.mask.shape, generator=layer.generator, device=layer.mask.device)
    return smallest(scores, layer.mask, round(rate * count(layer.mask)))
