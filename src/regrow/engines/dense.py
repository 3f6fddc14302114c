"""The dense engine: any model on any device. Weights are dense tensors that are exactly 0 without a connection.

This is the one to read: a step is PyTorch's own, with masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from regrow import models, schedule
from regrow.config import RunConfig
from regrow.data import Dataset, ImageSet, batches, evaluation_batches
from regrow.recorder import percent
from regrow.topology import Topology


class DenseEngine:
    """Model, optimizer and wiring of one run."""

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int, device: torch.device) -> None:
        self.config, self.dataset, self.device = config, dataset, device
        self.total_steps = total_steps
        self.updates = frozenset(schedule.update_steps(config, total_steps))
        self.model = models.build(config, classes=dataset.classes, image_shape=dataset.image_shape).to(device)
        self.topology = Topology(config, models.maskable(self.model))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=config.lr, momentum=config.momentum,
                                         nesterov=config.nesterov, weight_decay=config.weight_decay, fused=True)
        self.gradients: dict[str, Tensor] = {}
        self.loss = torch.zeros((), dtype=torch.float64, device=device)  # nothing in a step waits for it

    @property
    def masks(self) -> dict[str, Tensor]:
        return self.topology.masks

    @property
    def explored(self) -> dict[str, Tensor]:
        return self.topology.explored

    def set_learning_rate(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images [B, C, H, W] and labels [B] of an epoch, from batch `start` on."""
        config = self.config
        return batches(self.dataset, batch_size=config.batch_size, seed=config.seed, epoch=epoch,
                       augment=config.augment, dtype=getattr(torch, config.dtype), start=start)

    def backward(self, images: Tensor, labels: Tensor, step: int) -> None:
        """Loss and gradients. A dense weight has a dense gradient: that is all that growth needs (Eqs. 9 and 10)."""
        self.model.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.amp and self.device.type == "cuda"):
            loss = F.cross_entropy(self.model(images), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.loss += loss.detach()
        self.topology.average_gradients()
        if step in self.updates:
            self.gradients = self.topology.dense_gradients()

    def step(self) -> None:
        """SGD on the connections that exist."""
        self.topology.mask_gradients()
        self.optimizer.step()
        if self.topology.buffers_leak:
            self.topology.mask_weights()

    def update(self, step: int) -> None:
        """Prune and grow."""
        self.topology.update(step, self.total_steps, self.gradients, self.optimizer)
        self.gradients = {}

    def take_loss(self) -> float:
        """Sum of the batch losses since the last call; waits for the device."""
        loss = self.loss.item()
        self.loss.zero_()
        return loss

    @torch.no_grad()
    def accuracy(self, images: ImageSet) -> float:
        """Accuracy in percent, in evaluation mode, never augmented. One wait for the device at the end."""
        self.model.eval()
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        for x, labels in evaluation_batches(images, self.dataset, dtype=getattr(torch, self.config.dtype)):
            correct += (self.model(x).argmax(1) == labels).sum()
        return percent(int(correct), len(images.labels))

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, as named tensors."""
        momenta = {f"momentum/{name}": self.optimizer.state[parameter]["momentum_buffer"]
                   for name, parameter in self.model.named_parameters()
                   if self.optimizer.state[parameter].get("momentum_buffer") is not None}
        model = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        return model | momenta | self.topology.state() | {"loss": self.loss}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`. Raises KeyError or RuntimeError for a state of another network."""
        self.model.load_state_dict({name.removeprefix("model/"): tensor for name, tensor in state.items()
                                    if name.startswith("model/")})
        for name, parameter in self.model.named_parameters():
            if f"momentum/{name}" in state:
                momentum = state[f"momentum/{name}"].to(parameter.device)
                self.optimizer.state[parameter]["momentum_buffer"] = momentum
        self.topology.load_state(state)
        self.loss.copy_(state["loss"])
