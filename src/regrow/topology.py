"""One prune-and-regrow step (Section 4.3), which every strategy shares, and the wiring of a network while it trains.

`rewire` is the step of one layer, pure; `Topology` lays masks over dense weights and carries the steps out;
`MaskedOptimizer` is what of an optimizer's step hangs on them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.optim import Optimizer

from regrow import schedule
from regrow.config import Strategy
from regrow.determinism import generator
from regrow.rules import (
    ELEMENTWISE,
    LayerState,
    connections_to_prune,
    count,
    largest,
    needs,
    positions,
    read_by,
    scores,
)
from regrow.sparsity import connection_counts, random_masks


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
    ones stay. Raises RegrowError, in one sentence, for a user's rule that fails or returns what it must not.
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
    grown = largest(scores(replace(layer, mask=kept), grow), candidates, count(pruned))
    return Rewiring(kept | grown, pruned, grown)


def to_prune(layer: LayerState, rate: float, prune: str) -> Tensor:
    """What a rule prunes, as a tensor of the weight's shape; never more than what is there."""
    if prune not in ELEMENTWISE:
        return connections_to_prune(layer, rate, prune)
    active = positions(layer.mask)
    weights = layer.weight.flatten()[active]
    row = LayerState(weights, torch.ones_like(weights, dtype=torch.bool), layer.generator, name=layer.name)
    pruned = torch.zeros_like(layer.mask).flatten()
    pruned[active] = connections_to_prune(row, rate, prune)
    return pruned.reshape(layer.mask.shape)


def rewired_weight(weight: Tensor, rewiring: Rewiring, regrown_weight: str) -> Tensor:
    """The weight after an update: 0 at every position without a connection and at every grown one.

    With regrown_weight="keep", a connection pruned and regrown at once keeps its value (the common code).
    """
    stays = rewiring.mask if regrown_weight == "keep" else rewiring.mask & ~rewiring.grown
    return weight * stays


def rewired_buffer(buffer: Tensor, rewiring: Rewiring, config: Strategy) -> Tensor:
    """What an optimizer remembers of a weight, after an update: 0 at grown connections and at empty places.

    With grown_buffer="keep" it stays as it is. When momentum growth ranks this very buffer
    (growth_momentum="sgd_buffer"), empty places keep theirs.
    """
    if config.grown_buffer == "zero":
        buffer = buffer * ~rewiring.grown
    return buffer if config.grown_buffer == "keep" or ranks_buffer(config) else buffer * rewiring.mask


def ranks_buffer(config: Strategy) -> bool:
    """True if the optimizer must see the dense gradient because growth ranks its buffer (SNFS's own code)."""
    return config.growth_momentum == "sgd_buffer" and "average" in needs(config)


class Topology:
    """Masks of every maskable layer, the running gradient averages, and which connections have ever been active.

    Weights stay dense tensors that are exactly 0 without a connection, so backpropagation yields the dense gradient
    that gradient and momentum growth need, at no extra cost.
    """

    def __init__(self, config: Strategy, weights: Mapping[str, Tensor], factors: Mapping[str, Tensor] | None = None, *,
                 masks: Mapping[str, Tensor] | None = None, groups: Mapping[str, int] | None = None) -> None:
        """`weights` and `factors` are written in place; `factors` (new ones unless given) become masks of 0 and 1.

        `masks` are the first ones (drawn as config.sparsity, init and seed say unless given), `groups` those of grouped
        convolutions.
        """
        self.config = config
        self.weights = dict(weights)
        self.groups = groups or {}
        shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        if masks is None:
            counts = connection_counts(shapes, 1 - (config.sparsity or 0), config.init)
            masks = random_masks(shapes, counts, config.seed)
        self.masks = {name: mask.to(weights[name].device) for name, mask in masks.items()}
        self.explored = {name: mask.clone() for name, mask in self.masks.items()}
        self.needs = needs(config)
        track = "average" in self.needs and config.growth_momentum == "ema"
        self.averages = {name: torch.zeros_like(weight) for name, weight in weights.items()} if track else {}
        self.sparse = not all(bool(mask.all()) for mask in self.masks.values())
        self.factors = factors or {name: torch.empty_like(weight) for name, weight in weights.items()}
        self._refresh()

    @torch.no_grad()
    def _refresh(self) -> None:
        """The masks as factors 0 and 1, and weights to match."""
        for name, mask in self.masks.items():
            self.factors[name].copy_(mask)
        self.mask_weights()

    @torch.no_grad()
    def mask_weights(self) -> None:
        """Theta <- Theta * M (Eq. 3)."""
        if self.sparse:
            torch._foreach_mul_(list(self.weights.values()), list(self.factors.values()))

    @torch.no_grad()
    def mask_gradients(self, gradients: Mapping[str, Tensor]) -> None:
        """Only connections that exist learn."""
        if self.sparse and gradients and not ranks_buffer(self.config):
            torch._foreach_mul_(list(gradients.values()), [self.factors[name] for name in gradients])

    @property
    def buffers_leak(self) -> bool:
        """True if optimizer momentum outlives its connection, so that weights must be masked after every step."""
        return ranks_buffer(self.config) or self.config.grown_buffer == "keep"

    @torch.no_grad()
    def average_gradients(self, gradients: Mapping[str, Tensor]) -> None:
        """v <- beta v + (1 - beta) dE/dTheta at every position (Eq. 10), in every layer that has a gradient."""
        if known := [name for name in self.averages if name in gradients]:
            torch._foreach_lerp_([self.averages[name] for name in known], [gradients[name] for name in known],
                                 1 - self.config.growth_beta)

    @torch.no_grad()
    def dense_gradients(self, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copies of dE/dTheta before masking and before the optimizer, which may change gradients in place."""
        if "gradient" not in self.needs:
            return {}
        return {name: gradient.clone() for name, gradient in gradients.items()}

    @torch.no_grad()
    def update(self, step: int, total_steps: int, gradients: Mapping[str, Tensor],
               states: Mapping[str, Mapping[str, Tensor]], frozen: Collection[str] = ()) -> dict[str, Rewiring]:
        """Prune and grow in every layer, each in isolation (Section 4.3), and say what has changed.

        `states` is what the optimizer remembers of every weight, see `optimizer_state`. A layer whose gradient the
        rules read and that got none, as it took no part in the step, stays as it is; so do layers that are `frozen`,
        where what grows would stay at 0.
        """
        config, changes = self.config, {}
        rate, rule = schedule.prune_rate(config, step, total_steps), schedule.growth_rule(config, step, total_steps)
        reads = read_by(config.prune, rule)
        for index, (name, weight) in enumerate(self.weights.items()):
            if name in frozen or ("gradient" in reads and name not in gradients):
                continue
            state = states.get(name, {})
            momentum = next((state[key] for key in MOMENTA if key in state), None)
            ranked = self.averages.get(name, torch.zeros_like(weight) if momentum is None else momentum)
            layer = LayerState(weight.detach(), self.masks[name],
                               generator("growth", config.seed, step * 1000 + index), gradients.get(name), ranked, name,
                               self.groups.get(name, 1))
            rewiring = rewire(layer, rate=rate, prune=config.prune, grow=rule, regrow_pruned=config.regrow_pruned)
            weight.copy_(rewired_weight(weight, rewiring, config.regrown_weight))
            for buffer in state.values():
                buffer.copy_(rewired_buffer(buffer, rewiring, config))
            self.masks[name] = rewiring.mask
            self.explored[name] |= rewiring.mask
            changes[name] = rewiring
        self._refresh()
        return changes

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, as named tensors."""
        return ({f"mask/{name}": mask for name, mask in self.masks.items()}
                | {f"explored/{name}": seen for name, seen in self.explored.items()}
                | {f"average/{name}": average for name, average in self.averages.items()})

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        for name, weight in self.weights.items():
            self.masks[name] = state[f"mask/{name}"].to(weight.device)
            self.explored[name] = state[f"explored/{name}"].to(weight.device)
        for name, average in self.averages.items():
            average.copy_(state[f"average/{name}"])
        self._refresh()


class MaskedOptimizer:
    """Wiring and optimizer of one network. Both the dense engine and `sparsify` train with it.

    Steps are counted from 1, and whoever counts them gives their number. To a step belong average_gradients,
    keep_gradients, mask_gradients, then the optimizer's own step, and `update` if it is one of `updates`.
    """

    def __init__(self, topology: Topology, optimizer: Optimizer, total_steps: int) -> None:
        self.topology, self.optimizer, self.total_steps = topology, optimizer, total_steps
        self.updates = frozenset(schedule.update_steps(topology.config, total_steps))
        self.gradients: dict[str, Tensor] = {}

    def average_gradients(self) -> None:
        """What momentum growth needs of every step's gradients, which are dense as the weights are (Eq. 10)."""
        self.topology.average_gradients(gradients_of(self.topology.weights))

    def keep_gradients(self, step: int) -> None:
        """What gradient growth needs of them at an update (Eq. 9)."""
        if step in self.updates:
            self.gradients = self.topology.dense_gradients(gradients_of(self.topology.weights))

    def mask_gradients(self) -> None:
        """Only connections that exist learn."""
        self.topology.mask_gradients(gradients_of(self.topology.weights))

    def update(self, step: int) -> dict[str, Rewiring]:
        """Prune and grow in every layer; what the optimizer remembers of grown connections begins at 0."""
        states = optimizer_state(self.optimizer, self.topology.weights)
        frozen = [name for name, weight in self.topology.weights.items() if not weight.requires_grad]
        changes = self.topology.update(step, self.total_steps, self.gradients, states, frozen)
        self.gradients = {}
        return changes


def gradients_of(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """dE/dTheta at every position, connected or not: the tensors that backward() wrote, not copies."""
    found = {name: weight.grad for name, weight in weights.items()}
    return {name: gradient for name, gradient in found.items() if gradient is not None}


MOMENTA = ("momentum_buffer", "exp_avg")  # what optimizers call the one average of gradients that momentum is


def optimizer_state(optimizer: Optimizer, weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """What an optimizer remembers place by place: for every weight its state tensors of the weight's own shape."""
    return {name: {key: value for key, value in optimizer.state.get(weight, {}).items()
                   if isinstance(value, Tensor) and value.shape == weight.shape} for name, weight in weights.items()}


def momentum_buffers(optimizer: Optimizer, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """SGD's momentum of every weight that has one yet."""
    states = optimizer_state(optimizer, weights)
    return {name: state["momentum_buffer"] for name, state in states.items() if "momentum_buffer" in state}
