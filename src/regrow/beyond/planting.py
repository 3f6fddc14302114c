"""Networks that are taken out of one engine and planted into another, with any masks and at any step of training.

An engine makes its own masks and weights from its config. What trains here begins elsewhere: with the masks that
pruning has left, and with the weights of an early step. Engines can already give and take their whole state for
checkpoints; this says it in terms of a network, the same for the dense and the sparse engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from regrow import train
from regrow.config import RunConfig
from regrow.data import Dataset
from regrow.engines import Engine
from regrow.engines.sparse import SparseEngine

# What a layer's weight, its momentum, its bias and that one's momentum are called in the state of either engine.
_SPARSE = ("weight/{}", "buffer/{}", "bias/{}", "bias_buffer/{}")
_DENSE = ("model/{}.weight", "momentum/{}.weight", "model/{}.bias", "momentum/{}.bias")


@dataclass(frozen=True)
class Network:
    """An MLP in training, by layer: masks, weights and their momentum [n_out, n_in], biases and their momentum [n_out].

    Weights and momentum are 0 where there is no connection.
    """

    masks: dict[str, Tensor]
    weights: dict[str, Tensor]
    momenta: dict[str, Tensor]
    biases: dict[str, Tensor]
    bias_momenta: dict[str, Tensor]

    @property
    def connections(self) -> dict[str, int]:
        return {name: int(mask.sum()) for name, mask in self.masks.items()}

    @property
    def density(self) -> float:
        return sum(self.connections.values()) / sum(mask.numel() for mask in self.masks.values())

    def masked(self, masks: Mapping[str, Tensor]) -> Network:
        """The same weights, biases and momentum under other masks; what these leave out is 0."""
        return replace(self, masks=dict(masks),
                       weights={name: weight * masks[name] for name, weight in self.weights.items()},
                       momenta={name: momentum * masks[name] for name, momentum in self.momenta.items()})


def taken(engine: Engine) -> Network:
    """A copy of what an engine trains. Before the first step there is no momentum: 0."""
    state, masks = engine.state(), {name: mask.clone() for name, mask in engine.masks.items()}
    parts: tuple[dict[str, Tensor], ...] = ({}, {}, {}, {})
    for layer, mask in masks.items():
        for at, name in enumerate(_names(engine)):
            value = state.get(name.format(layer))
            if value is None:
                value = torch.zeros_like(parts[at - 1][layer])  # no momentum yet
            elif at < 2 and isinstance(engine, SparseEngine):
                value = _spread(value, mask)
            parts[at][layer] = value.clone()
    return Network(masks, *parts)


def plant(engine: Engine, network: Network) -> None:
    """Make an engine train this network from now on; what the engine was built with is gone."""
    state = dict(engine.state())
    for layer, mask in network.masks.items():
        state |= {f"mask/{layer}": mask.clone(), f"explored/{layer}": mask.clone()}
        values = [part[layer] for part in (network.weights, network.momenta, network.biases, network.bias_momenta)]
        if isinstance(engine, SparseEngine):
            values[:2] = [value[mask] for value in values[:2]]
        state |= {name.format(layer): value for name, value in zip(_names(engine), values, strict=True)}
    engine.load_state(state)


def initial(config: RunConfig, dataset: Dataset) -> Network:
    """The network of a run before training."""
    return taken(train.start(config, dataset, engine="auto").engine)


def trained(config: RunConfig, dataset: Dataset, network: Network, step: int = 0, *,
            progress: Callable[[int], None] | None = None,
            save: Callable[[train.Run], None] | None = None) -> tuple[Network, float, float]:
    """Train a network from a step to the end of a config on the CPU: the network, its validation and test accuracy (%).

    Data order and learning rate are those that the config has from that step on. `save` and `progress` as in
    train.advance.
    """
    run = train.start(config, dataset, engine="auto")
    plant(run.engine, network)
    run.step = step
    train.advance(run, dataset, save=save, progress=progress)
    rows = run.recorder.rows
    return taken(run.engine), float(rows["val_accuracy"][-1]), float(rows["test_accuracy"][-1])


def _names(engine: Engine) -> tuple[str, ...]:
    return _SPARSE if isinstance(engine, SparseEngine) else _DENSE


def _spread(values: Tensor, mask: Tensor) -> Tensor:
    """Values of the connections [n], in row-major order, as a dense tensor."""
    full = torch.zeros(mask.shape, dtype=values.dtype)
    full[mask] = values
    return full
