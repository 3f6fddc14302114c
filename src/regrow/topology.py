"""The wiring of a network while it trains: masks laid over dense weights, and their updates."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regrow import schedule
from regrow.config import RunConfig
from regrow.randomness import generator
from regrow.rules import GROWTH, LayerState
from regrow.sparsity import connection_counts, random_masks
from regrow.topology_update import ranks_buffer, rewire, rewired_buffer, rewired_weight


class Topology:
    """Masks of every maskable layer, the running gradient averages, and which connections have ever been active.

    Weights stay dense tensors that are exactly 0 without a connection, so backpropagation yields the dense gradient
    that gradient and momentum growth need, at no extra cost.
    """

    def __init__(self, config: RunConfig, weights: Mapping[str, nn.Parameter]) -> None:
        self.config = config
        self.weights = dict(weights)
        shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        counts = connection_counts(shapes, 1 - config.sparsity, config.init)
        masks = random_masks(shapes, counts, config.seed)
        self.masks = {name: mask.to(weights[name].device) for name, mask in masks.items()}
        self.explored = {name: mask.clone() for name, mask in self.masks.items()}
        rules = config.grow_phases if config.is_dynamic else ()
        self.needs = {need for rule in rules for need in GROWTH[rule].needs}
        track = "average" in self.needs and config.growth_momentum == "ema"
        self.averages = {name: torch.zeros_like(weight) for name, weight in weights.items()} if track else {}
        self.sparse = not config.is_dense
        self._refresh()

    def _refresh(self) -> None:
        self._factors: list[Tensor] = [mask.to(self.weights[name].dtype) for name, mask in self.masks.items()]
        self.mask_weights()

    @torch.no_grad()
    def mask_weights(self) -> None:
        """Theta <- Theta * M (Eq. 3)."""
        if self.sparse:
            torch._foreach_mul_(list(self.weights.values()), self._factors)

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """Only connections that exist learn."""
        if self.sparse and not ranks_buffer(self.config):
            torch._foreach_mul_([_gradient(weight) for weight in self.weights.values()], self._factors)

    @property
    def buffers_leak(self) -> bool:
        """True if optimizer momentum outlives its connection, so that weights must be masked after every step."""
        return ranks_buffer(self.config) or self.config.grown_buffer == "keep"

    @torch.no_grad()
    def average_gradients(self) -> None:
        """v <- beta v + (1 - beta) dE/dTheta at every position (Eq. 10)."""
        for name, average in self.averages.items():
            average.lerp_(_gradient(self.weights[name]), 1 - self.config.growth_beta)

    def dense_gradients(self) -> dict[str, Tensor]:
        """Copies of dE/dTheta before masking and before the optimizer, which may change gradients in place."""
        if "gradient" not in self.needs:
            return {}
        return {name: _gradient(weight).clone() for name, weight in self.weights.items()}

    @torch.no_grad()
    def update(self, step: int, total_steps: int, gradients: Mapping[str, Tensor], optimizer: Optimizer) -> None:
        """Prune and grow in every layer, each in isolation (Section 4.3)."""
        config = self.config
        rate, rule = schedule.prune_rate(config, step, total_steps), schedule.growth_rule(config, step, total_steps)
        for index, (name, weight) in enumerate(self.weights.items()):
            buffer = optimizer.state[weight].get("momentum_buffer")
            ranked = self.averages.get(name, torch.zeros_like(weight) if buffer is None else buffer)
            layer = LayerState(weight.detach(), self.masks[name],
                               generator("growth", config.seed, step * 1000 + index, device=weight.device),
                               gradients.get(name), ranked)
            rewiring = rewire(layer, rate=rate, prune=config.prune, grow=rule, regrow_pruned=config.regrow_pruned)
            weight.copy_(rewired_weight(weight, rewiring, config.regrown_weight))
            if buffer is not None:
                buffer.copy_(rewired_buffer(buffer, rewiring, config))
            self.masks[name] = rewiring.mask
            self.explored[name] |= rewiring.mask
        self._refresh()

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


def _gradient(weight: nn.Parameter) -> Tensor:
    assert weight.grad is not None, "backward() comes first"
    return weight.grad
