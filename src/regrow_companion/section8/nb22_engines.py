"""Two ways to leave what the paper holds fixed: layers that trade connections, and networks that add neurons.

LAYERS THAT TRADE CONNECTIONS: the network's number of connections stays, that of a layer does not.

Two rules from the literature, each with the growth rules of the paper *inside* a layer:

- by momentum (SNFS; Dettmers and Zettlemoyer, 2019): every layer prunes its own fraction p, and what all have pruned
  goes to the layers in proportion to the mean |v| of their connections (Eq. 10);
- by magnitude (Mostafa and Wang, ICML 2019): the smallest weights of the whole network go, and what was pruned goes to
  the layers in proportion to the connections that each has left. They steer a threshold towards a wanted number; here
  the number is exact. They grow at random; here any growth rule may follow.

A layer that is full before training (the paper's output layer) has no part in it. One that fills up later has.

NETWORKS THAT ADD NEURONS, as the model of Barabasi and Albert (Science 1999) does.

Half of the neurons of each hidden layer are there before training (the founders); an equal share of the others is born
at each update in the first half of training. Until then a neuron has no connection of the rewired layers, a bias of
zero and so no output. A quarter instead of half would leave the paper's second layer fewer places than connections.

Every layer keeps its number of connections C: at first they are all among the founders. A newborn gets random incoming
and random outgoing connections to neurons that are born, half the mean degree of each side, C / 2n with n neurons born,
since in Barabasi and Albert's network a newborn has m and the mean degree is 2m. They are taken from what the update
grows; the growth rule places the rest among born neurons. No score could rank a newborn's own places: nothing flows
through them yet.

If gains and losses were both proportional to degree, the m = C / 2n connections of a newborn would cost every other
neuron of degree k the share m k / C, so dk/dn = -k / 2n and, with k = C / 2n_i at birth as the n_i-th neuron,

    k / mean = (n / n_i)^(1/2) / 2,

the first-mover law of Barabasi and Albert, although the number of connections does not grow. Founders, which begin with
the mean degree, keep (n / n_0)^(1/2).

The output layer keeps its wiring (the paper's is full), and so the connections from unborn neurons, which are silent.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regrow import models, schedule
from regrow.config import RunConfig
from regrow.data import Dataset
from regrow.determinism import generator
from regrow.errors import ConfigError
from regrow.rules import GROWTH, LayerState, largest, positions, scores, smallest
from regrow.topology import Rewiring, Topology, to_prune
from regrow_companion.section8.watched import WatchedEngine

FOUNDERS = 0.5  # the share of a hidden layer that is there before training
UNTIL = 0.5  # the part of training in which the others are born
States = Mapping[str, LayerState]


# ---------------------------------------------------------------------------------------- layers that trade connections


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
    grown = largest(scores(replace(layer, mask=kept), grow), free, n)
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


# -------------------------------------------------------------------------------------------- networks that add neurons


def births(neurons: int, updates: Sequence[int], total_steps: int) -> NDArray[np.intp]:
    """The update at which each neuron of a hidden layer is born, [neurons]: 1 is the first, founders have 0.

    Neurons are alike before training, so they are born in the order of their numbers. Raises ConfigError if no update
    falls into the time of births.
    """
    n = sum(step <= UNTIL * total_steps for step in updates)
    if n == 0:
        raise ConfigError("A growing network needs an update in the first half of training: shorten update_interval.")
    first = round(FOUNDERS * neurons)
    born = first + np.round((neurons - first) * np.arange(n + 1) / n)
    return np.searchsorted(born, np.arange(neurons), side="right")


def expected_degree(birth_rank: NDArray[np.floating], founders: int, neurons: int) -> NDArray[np.float64]:
    """Degree over the mean degree once all `neurons` are born, if gains and losses are linear in degree: the law
    at the top.

    `birth_rank` [n] is n_i, how many neurons there were after one's birth; founders have `founders`.
    """
    ratio = np.sqrt(neurons / np.asarray(birth_rank, dtype=float))
    return np.where(np.asarray(birth_rank) <= founders, ratio, ratio / 2)


def founding_mask(mask: Tensor, rows: int, columns: int, chance: torch.Generator) -> Tensor:
    """As many connections as in `mask` [n_out, n_in], at random among the first `rows` outputs and `columns` inputs."""
    count = int(mask.sum())
    if count > rows * columns:
        raise ConfigError(f"{count} connections do not fit on the {rows} x {columns} places of the founding neurons: "
                          "raise sparsity or widen the hidden layers.")
    inside = torch.zeros(rows * columns, dtype=torch.bool)
    inside[torch.randperm(rows * columns, generator=chance)[:count]] = True
    found = torch.zeros_like(mask)
    found[:rows, :columns] = inside.reshape(rows, columns)
    return found


def first_links(shape: torch.Size, rows: slice, columns: slice, per_row: int, per_column: int,
                chance: torch.Generator) -> Tensor:
    """The random first connections of newborns, boolean [n_out, n_in].

    Newborn outputs `rows` get `per_row` inputs that are born (below columns.stop), newborn inputs `columns` get
    `per_column` outputs that are (below rows.stop).
    """
    links = torch.zeros(shape, dtype=torch.bool)
    draw = torch.rand((rows.stop, columns.stop), generator=chance)
    for newborn, others, n in ((links[rows, :columns.stop], draw[rows], per_row),
                               (links[:rows.stop, columns].T, draw[:, columns].T, per_column)):
        chosen = others.topk(min(n, others.shape[1]), dim=1).indices
        newborn.scatter_(1, chosen, True)
    return links


class GrowingEngine(WatchedEngine):
    """The watched engine of a network whose hidden neurons are born one after the other."""

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int) -> None:
        if not config.regrow_pruned:
            raise ConfigError("A growing network may grow where it has just pruned: leave regrow_pruned=true.")
        self.update_at = {step: u for u, step in enumerate(schedule.update_steps(config, total_steps), start=1)}
        self.born = [births(n, list(self.update_at), total_steps) for n in config.hidden]
        super().__init__(config, dataset, total_steps)
        self.growing = tuple(self.layers)[:-1]

    def wiring(self, config: RunConfig, model: nn.Module) -> Topology:
        """First masks among the founders, and biases of zero for all others."""
        weights = models.maskable(model)
        self.first_weights = {name: weight.detach().clone() for name, weight in weights.items()}
        self.first_biases = {name: model.get_parameter(f"{name}.bias").detach().clone() for name in weights}
        start = Topology(config, weights)
        for index, name in enumerate(list(weights)[:-1]):
            mask = founding_mask(start.masks[name], self.born_by(index, 0), self.inputs_by(name, index, 0),
                                 generator("mask", config.seed, 1000 + index))
            start.masks[name], start.explored[name] = mask, mask.clone()
            with torch.no_grad():
                weights[name].copy_(self.first_weights[name] * mask)
                model.get_parameter(f"{name}.bias")[self.born_by(index, 0):] = 0
        return start

    def born_by(self, hidden: int, update: int) -> int:
        """Neurons of a hidden layer (0 is the first) that are there after an update; 0 is before training."""
        return int((self.born[hidden] <= update).sum())

    def inputs_by(self, name: str, index: int, update: int) -> int:
        """Neurons below the layer that are there after an update; those of the image always are."""
        return self.born_by(index - 1, update) if index else self.first_weights[name].shape[1]

    def rewirings(self, step: int) -> Iterator[tuple[str, Rewiring]]:
        """Newborns get their first connections, the rule places the rest among the born."""
        u = self.update_at[step]
        for name, layer in self.states(step):
            if name in self.growing:
                index = self.growing.index(name)
                rows = slice(self.born_by(index, u - 1), self.born_by(index, u))
                columns = slice(self.inputs_by(name, index, u - 1), self.inputs_by(name, index, u))
                yield name, self._rewired(layer, step, rows, columns)

    def _rewired(self, layer: LayerState, step: int, rows: slice, columns: slice) -> Rewiring:
        config, total = self.config, self.total_steps
        pruned = to_prune(layer, schedule.prune_rate(config, step, total), config.prune)
        count, budget = int(layer.mask.sum()), int(pruned.sum())
        links = first_links(layer.mask.shape, rows, columns, round(count / (2 * rows.stop)),
                            round(count / (2 * columns.stop)), layer.generator)
        if int(links.sum()) > budget:  # more births than the update has connections for
            links = largest(torch.rand(links.shape, generator=layer.generator), links, budget)
        born = torch.zeros_like(links)
        born[:rows.stop, :columns.stop] = True
        rest = regrow(replace(layer, mask=layer.mask | links), pruned, budget - int(links.sum()),
                      schedule.growth_rule(config, step, total), born)
        return Rewiring(rest.mask, pruned, rest.grown | links)

    def update(self, step: int) -> None:
        """Rewire, then wake the newborns."""
        super().update(step)
        for index, name in enumerate(self.growing):
            self._wake(name, np.flatnonzero(self.born[index] == self.update_at[step]))

    def _wake(self, name: str, newborn: NDArray[np.intp]) -> None:
        """Give newborns the incoming weights and the bias that initialisation would have given them.

        Grown connections begin at 0 elsewhere. A neuron with nothing but zeros has no output and no gradient for ever.
        """
        layer = self.layers[name]
        theirs = np.isin(layer.positions // layer.n_in, newborn)
        layer.weight[theirs] = self.first_weights[name].numpy().reshape(-1)[layer.positions[theirs]]
        layer.bias[newborn] = self.first_biases[name].numpy()[newborn]
