"""The batched engine: many runs of one MLP trained together, for GPUs, which a single run cannot fill.

Weights and optimizer state of R runs are stacked along a first axis, and every layer is one batched matrix product.
Each run keeps its own seed, sparsity, initialisation and strategy, and gets what it would get alone on the dense
engine, to rounding. On a GPU the passes are one CUDA graph, see `engines/graphs.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from regrow import models, schedule
from regrow.config import RunConfig
from regrow.data import Dataset, ImageSet, batches, evaluation_batches, percent
from regrow.determinism import tensor_float
from regrow.engines import graphs
from regrow.topology import Topology, momentum_buffers, optimizer_state, ranks_buffer

LARGEST = 16  # runs in a batch; the paper's 15 topology runs are one


def supports(config: RunConfig) -> bool:
    """MLPs whose optimizer state lives on connections only."""
    return config.model == "mlp" and config.grown_buffer == "zero" and not ranks_buffer(config)


def shared(config: RunConfig) -> RunConfig:
    """What the runs of a batch have in common: equal for two runs exactly if they may train together.

    They may differ in seed, wiring and strategy; their steps have the same shape, learning rate and update times.
    """
    strategy = {"prune": "magnitude", "grow": "random"} if config.is_dynamic else {"prune": "none", "grow": "none"}
    return config.but(seed=0, sparsity=0.5, init="erk", switch_at=0.5, regrow_pruned=True, regrown_weight="zero",
                      **strategy)


class BatchedEngine:
    """The networks of R runs. The verbs of every engine; masks, losses and accuracies come one per run."""

    def __init__(self, configs: Sequence[RunConfig], dataset: Dataset, total_steps: int, device: torch.device, *,
                 capture: bool | None = None) -> None:
        """`capture` makes the passes a CUDA graph; None: on a GPU."""
        self.configs, self.dataset, self.device, self.total_steps = tuple(configs), dataset, device, total_steps
        self.common = common = shared(configs[0])
        self.updates = frozenset(schedule.update_steps(common, total_steps))
        self.seeds = tuple(dict.fromkeys(config.seed for config in configs))
        self.seed_of = torch.tensor([self.seeds.index(config.seed) for config in configs], device=device)
        networks = [dict(models.build(config, classes=dataset.classes, image_shape=dataset.image_shape)
                         .named_parameters()) for config in configs]
        self.parameters = {name: torch.stack([network[name].detach() for network in networks]).to(device)
                           .requires_grad_() for name in networks[0]}
        self.layers = [name.removesuffix(".weight") for name in self.parameters if name.endswith(".weight")]
        self.weights = [self.parameters[f"{layer}.weight"] for layer in self.layers]
        self.factors = [torch.empty_like(weight, requires_grad=False) for weight in self.weights]
        self.topologies = [Topology(config, self._of(run, self.weights), self._of(run, self.factors))
                           for run, config in enumerate(configs)]
        self.optimizer = torch.optim.SGD(self.parameters.values(), lr=common.lr, momentum=common.momentum,
                                         nesterov=common.nesterov, weight_decay=common.weight_decay, fused=True)
        self.gradients: list[dict[str, Tensor]] = [{} for _ in configs]
        self.loss = torch.zeros(len(configs), dtype=torch.float64, device=device)
        self.captures = graphs.wanted(device) if capture is None else capture
        self.passes = graphs.Passes(device, common.batch_size, capture=self.captures)

    def _of(self, run: int, stacks: Sequence[Tensor]) -> dict[str, Tensor]:
        """One run's part of the stacked tensors of the layers: views."""
        return {layer: stack.detach()[run] for layer, stack in zip(self.layers, stacks, strict=True)}

    @property
    def masks(self) -> list[dict[str, Tensor]]:
        return [topology.masks for topology in self.topologies]

    @property
    def explored(self) -> list[dict[str, Tensor]]:
        return [topology.explored for topology in self.topologies]

    def set_learning_rate(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images [R, B, features] and labels [R, B] of an epoch, from batch `start` on; gathered once for each seed."""
        common, seeds = self.common, len(self.seeds)
        for x, labels in batches(self.dataset, batch_size=common.batch_size, seed=self.seeds, epoch=epoch,
                                 augment=common.augment, pad=common.crop_pad, dtype=getattr(torch, common.dtype),
                                 start=start):
            yield x.view(seeds, -1, x[0].numel())[self.seed_of], labels.view(seeds, -1)[self.seed_of]

    def _logits(self, x: Tensor) -> Tensor:
        """[R, B, features] -> [R, classes, B]. With weights on the left their gradients are laid out as they are."""
        x = x.mT
        for layer, weight in zip(self.layers, self.weights, strict=True):
            x = torch.baddbmm(self.parameters[f"{layer}.bias"][:, :, None], weight, x)
            x = x if layer == self.layers[-1] else F.relu(x)
        return x

    def backward(self, images: Tensor, labels: Tensor, step: int) -> None:
        """Loss and gradients of every run."""
        gradients = self.passes(self._passes, images, labels)
        for parameter, gradient in zip(self.parameters.values(), gradients, strict=True):
            parameter.grad = gradient  # what it is already, unless the passes were replayed
        if step in self.updates:
            weights = self._gradients()
            self.gradients = [topology.dense_gradients(self._of(run, weights))
                              for run, topology in enumerate(self.topologies)]

    def _passes(self, images: Tensor, labels: Tensor) -> list[Tensor]:
        """What a step does before SGD, all of it on the device; the gradients of the parameters."""
        with tensor_float(self.device, self.common.tf32):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.common.amp):
                losses = F.cross_entropy(self._logits(images), labels, reduction="none").mean(1)
            self.optimizer.zero_grad()
            losses.sum().backward()  # no run's loss depends on another's weights
        self.loss += losses.detach()
        gradients = self._gradients()
        for run, topology in enumerate(self.topologies):
            if topology.averages:
                topology.average_gradients(self._of(run, gradients))
        return [parameter.grad for parameter in self.parameters.values() if parameter.grad is not None]

    def _gradients(self) -> list[Tensor]:
        return [weight.grad for weight in self.weights if weight.grad is not None]

    def step(self) -> None:
        """SGD on the connections that exist."""
        torch._foreach_mul_(self._gradients(), self.factors)
        self.optimizer.step()

    def update(self, step: int) -> None:
        """Prune and grow in every run."""
        stacked = optimizer_state(self.optimizer, dict(zip(self.layers, self.weights, strict=True)))
        for run, topology in enumerate(self.topologies):
            states = {layer: {key: part[run] for key, part in state.items()} for layer, state in stacked.items()}
            topology.update(step, self.total_steps, self.gradients[run], states)
            self.gradients[run] = {}

    def take_loss(self) -> np.ndarray:
        """Sums [R] of the batch losses since the last call; waits for the device."""
        loss = self.loss.cpu().numpy().copy()
        self.loss.zero_()
        return loss

    @torch.no_grad()
    def accuracy(self, images: ImageSet) -> list[float]:
        """Accuracies in percent."""
        common = self.common
        correct = torch.zeros(len(self.configs), dtype=torch.int64, device=self.device)
        seeds = self.seeds if common.evaluation_augment != "none" else self.seeds[:1]  # else all see the same images
        with tensor_float(self.device, common.tf32):
            for x, labels in evaluation_batches(images, self.dataset, dtype=getattr(torch, common.dtype), seed=seeds,
                                                pad=common.crop_pad, augment=common.evaluation_augment):
                x, labels = x.view(len(seeds), -1, x[0].numel()), labels.view(len(seeds), -1)
                x = x[self.seed_of] if len(seeds) > 1 else x.expand(len(self.configs), -1, -1)
                correct += (self._logits(x).argmax(1) == labels[0]).sum(1)
        return [percent(count, len(images.labels)) for count in correct.tolist()]

    def state(self) -> dict[str, Tensor]:
        """Everything that resumed runs need, as named tensors."""
        state = {f"model/{name}": parameter.detach() for name, parameter in self.parameters.items()}
        state |= {f"momentum/{name}": buffer
                  for name, buffer in momentum_buffers(self.optimizer, self.parameters).items()}
        for run, topology in enumerate(self.topologies):
            state |= {f"{run}/{name}": tensor for name, tensor in topology.state().items()}
        return state | {"loss": self.loss}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`. Raises KeyError or RuntimeError for a state of other networks."""
        for name, parameter in self.parameters.items():
            parameter.copy_(state[f"model/{name}"])
            if f"momentum/{name}" in state:
                momentum = torch.empty_like(parameter, requires_grad=False).copy_(state[f"momentum/{name}"])
                self.optimizer.state[parameter]["momentum_buffer"] = momentum
        for run, topology in enumerate(self.topologies):
            prefix = f"{run}/"
            topology.load_state({name.removeprefix(prefix): tensor for name, tensor in state.items()
                                 if name.startswith(prefix)})
        self.loss.copy_(state["loss"])


def groups(configs: Iterable[RunConfig], largest: int = LARGEST) -> list[tuple[RunConfig, ...]]:
    """Runs that may train together, at most `largest` of them in a batch, in order of first appearance."""
    alike: dict[RunConfig, list[RunConfig]] = {}
    for config in configs:
        alike.setdefault(shared(config), []).append(config)
    return [group for every in alike.values() for group in _split(every, largest)]


def _split(configs: Sequence[RunConfig], largest: int) -> list[tuple[RunConfig, ...]]:
    return [tuple(configs[first:first + largest]) for first in range(0, len(configs), largest)]
