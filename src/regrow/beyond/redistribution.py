"""Layers that trade connections: the network's number of connections stays, that of a layer does not.

Two rules from the literature, each with the growth rules of the paper *inside* a layer:

- by momentum (SNFS; Dettmers and Zettlemoyer, 2019): every layer prunes its own fraction p, and what all have pruned
  goes to the layers in proportion to the mean |v| of their connections (Eq. 10);
- by magnitude (Mostafa and Wang, ICML 2019): the smallest weights of the whole network go, and what was pruned goes to
  the layers in proportion to the connections that each has left. They steer a threshold towards a wanted number; here
  the number is exact. They grow at random; here any growth rule may follow.

A layer that is full before training (the paper's output layer) has no part in it. One that fills up later has.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from regrow import schedule
from regrow.beyond.observer import WatchedEngine
from regrow.config import RunConfig
from regrow.data import Dataset
from regrow.errors import ConfigError
from regrow.rules import GROWTH, LayerState, largest, positions, smallest
from regrow.topology import Rewiring, to_prune

States = Mapping[str, LayerState]


def shares(total: int, weights: Mapping[str, float], room: Mapping[str, int]) -> dict[str, int]:
    """Divide `total` connections among layers in proportion to `weights`, none above its `room`; the sum is exact.

    What a full layer cannot take goes to the others, again in proportion; the fractions go to the largest remainders,
    the first layer among equals. Layers without any weight share alike once the others are full. Raises ValueError
    where there is not enough room.
    """
    if total > sum(room.values()):
        raise ValueError(f"cannot place {total} connections on {sum(room.values())} free places")
    full: dict[str, int] = {}
    while True:
        open_ = [name for name in weights if name not in full]
        left = total - sum(full.values())
        mass = math.fsum(weights[name] for name in open_)
        exact = {name: left * (weights[name] / mass if mass > 0 else 1 / len(open_)) for name in open_}
        over = {name: room[name] for name in open_ if exact[name] > room[name]}
        if not over:
            break
        full |= over
    counts = {name: math.floor(value) for name, value in exact.items()}
    for name in sorted(counts, key=lambda name: counts[name] - exact[name])[:left - sum(counts.values())]:
        counts[name] += 1
    return {name: (full | counts)[name] for name in weights}


def prune_globally(layers: States, rate: float) -> dict[str, Tensor]:
    """The round(rate * connections) connections of all layers together with the smallest |weight|.

    Boolean tensors of the weights' shapes. Equal weights: the earlier layer and the lower index go first.
    """
    where = {name: positions(layer.mask) for name, layer in layers.items()}
    size = torch.cat([layer.weight.flatten()[where[name]].abs() for name, layer in layers.items()])
    gone = smallest(size, torch.ones_like(size, dtype=torch.bool), round(rate * len(size)))
    pruned = {}
    for (name, layer), part in zip(layers.items(), gone.split([len(index) for index in where.values()]), strict=True):
        mask = torch.zeros_like(layer.mask).flatten()
        mask[where[name][part]] = True
        pruned[name] = mask.reshape(layer.mask.shape)
    return pruned


def mean_momentum(layer: LayerState) -> float:
    """Mean |v| over the connections before pruning; the gradient's where no average is kept. 0 without connections."""
    v = layer.gradient if layer.average is None else layer.average
    assert v is not None
    return float(v[layer.mask].abs().double().mean()) if bool(layer.mask.any()) else 0.0


def regrow(layer: LayerState, pruned: Tensor, n: int, grow: str, among: Tensor | None = None) -> Rewiring:
    """Take `pruned` away and grow `n` connections by a rule, which may be more or fewer than were pruned.

    `among` are the places where they may grow, all unless given.
    """
    kept = layer.mask & ~pruned
    free = ~kept if among is None else ~kept & among
    grown = largest(GROWTH[grow].score(replace(layer, mask=kept)), free, n)
    return Rewiring(kept | grown, pruned, grown)


class RedistributingEngine(WatchedEngine):
    """The watched engine with one budget for all layers that were not full before training."""

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int) -> None:
        if not config.regrow_pruned:
            raise ConfigError("Redistribution counts a place that was just pruned as free: leave regrow_pruned=true.")
        super().__init__(config, dataset, total_steps)

    @abstractmethod
    def prune(self, layers: States, rate: float) -> dict[str, Tensor]:
        """Which connections of each layer go."""

    @abstractmethod
    def weights(self, layers: States, pruned: Mapping[str, Tensor]) -> dict[str, float]:
        """In what proportion the layers get them back."""

    def rewirings(self, step: int) -> Iterator[tuple[str, Rewiring]]:
        """Prune every layer, then divide as many connections among them."""
        config, total = self.config, self.total_steps
        rate, rule = schedule.prune_rate(config, step, total), schedule.growth_rule(config, step, total)
        layers = {name: state for name, state in self.states(step) if name in self.rewired}
        pruned = self.prune(layers, rate)
        count = sum(int(gone.sum()) for gone in pruned.values())
        room = {name: int((~layer.mask | pruned[name]).sum()) for name, layer in layers.items()}
        given = shares(count, self.weights(layers, pruned), room)
        for name, layer in layers.items():
            yield name, regrow(layer, pruned[name], given[name], rule)


class MomentumEngine(RedistributingEngine):
    """SNFS: layers prune their own fraction and grow by their mean |v|."""

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int) -> None:
        if not all(GROWTH[rule].needs & {"gradient", "average"} for rule in config.grow_phases):
            raise ConfigError(f"Redistribution by momentum needs growth that reads gradients, not grow={config.grow}.")
        super().__init__(config, dataset, total_steps)

    def prune(self, layers: States, rate: float) -> dict[str, Tensor]:
        """By the run's pruning rule, each layer in isolation."""
        return {name: to_prune(layer, rate, self.config.prune) for name, layer in layers.items()}

    def weights(self, layers: States, pruned: Mapping[str, Tensor]) -> dict[str, float]:
        """Mean |v| before pruning."""
        return {name: mean_momentum(layer) for name, layer in layers.items()}


class MagnitudeEngine(RedistributingEngine):
    """Mostafa and Wang: one threshold prunes all layers, and they grow by what they have left."""

    def prune(self, layers: States, rate: float) -> dict[str, Tensor]:
        """By one threshold."""
        return prune_globally(layers, rate)

    def weights(self, layers: States, pruned: Mapping[str, Tensor]) -> dict[str, float]:
        """Connections that are left."""
        return {name: float((layer.mask & ~pruned[name]).sum()) for name, layer in layers.items()}
