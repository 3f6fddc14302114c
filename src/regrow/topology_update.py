"""One prune-and-regrow step (Section 4.3): the skeleton that every strategy shares."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from regrow.config import RunConfig
from regrow.rules import ELEMENTWISE, GROWTH, PRUNING, LayerState, count, largest, positions


@dataclass(frozen=True)
class Rewiring:
    """What an update changes in one layer; boolean tensors of the weight's shape.

    `mask` is the wiring afterwards. `grown` are its new connections; they may have been there before, when a connection
    was pruned and regrown in the same update.
    """

    mask: Tensor
    pruned: Tensor
    grown: Tensor


def rewire(layer: LayerState, *, rate: float, prune: str, grow: str, regrow_pruned: bool = True) -> Rewiring:
    """Prune a fraction `rate` of the connections and grow as many (Eqs. 7 to 11). Pure: nothing is changed in place.

    The number of connections stays exactly the same. A full layer has nowhere to grow and is left alone. If
    `regrow_pruned` is False and there are fewer empty positions than pruned connections, the strongest of the pruned
    ones stay.
    """
    nothing = torch.zeros_like(layer.mask)
    if count(layer.mask) == layer.mask.numel():
        return Rewiring(layer.mask, nothing, nothing)
    pruned = to_prune(layer, rate, prune)
    empty = ~layer.mask
    if not regrow_pruned:
        surplus = count(pruned) - count(empty)
        if surplus > 0:
            pruned = pruned & ~largest(layer.weight.abs(), pruned, surplus)
    kept = layer.mask & ~pruned
    candidates = ~kept if regrow_pruned else empty
    grown = largest(GROWTH[grow].score(replace(layer, mask=kept)), candidates, count(pruned))
    return Rewiring(kept | grown, pruned, grown)


def to_prune(layer: LayerState, rate: float, prune: str) -> Tensor:
    """What a rule prunes, as a tensor of the weight's shape; never more than what is there."""
    if prune not in ELEMENTWISE:
        return PRUNING[prune](layer, rate) & layer.mask
    active = positions(layer.mask)
    weights = layer.weight.flatten()[active]
    row = LayerState(weights, torch.ones_like(weights, dtype=torch.bool), layer.generator)
    pruned = torch.zeros_like(layer.mask).flatten()
    pruned[active] = PRUNING[prune](row, rate)
    return pruned.reshape(layer.mask.shape)


def rewired_weight(weight: Tensor, rewiring: Rewiring, regrown_weight: str) -> Tensor:
    """The weight after an update: 0 at every position without a connection and at every grown one.

    With regrown_weight="keep", a connection pruned and regrown at once keeps its value (the common code).
    """
    stays = rewiring.mask if regrown_weight == "keep" else rewiring.mask & ~rewiring.grown
    return weight * stays


def rewired_buffer(buffer: Tensor, rewiring: Rewiring, config: RunConfig) -> Tensor:
    """The optimizer's momentum after an update: 0 at grown connections and at empty places.

    With grown_buffer="keep" it stays as it is. When momentum growth ranks this very buffer
    (growth_momentum="sgd_buffer"), empty places keep theirs.
    """
    if config.grown_buffer == "zero":
        buffer = buffer * ~rewiring.grown
    return buffer if config.grown_buffer == "keep" or ranks_buffer(config) else buffer * rewiring.mask


def ranks_buffer(config: RunConfig) -> bool:
    """True if the optimizer must see the dense gradient because momentum growth ranks its buffer (SNFS's own code)."""
    return config.growth_momentum == "sgd_buffer" and "momentum" in config.grow_phases
