"""The dense engine: any model on any device. Weights are dense tensors that are exactly 0 without a connection.

This is the one to read: a step is PyTorch's own, with masks. The engine "compiled" is this one with its network's
forward and backward passes compiled by torch.compile. On a GPU the passes are one CUDA graph, see `engines/graphs.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regrow import models
from regrow.config import RunConfig
from regrow.data import Dataset, ImageSet, batches, evaluation_batches, percent
from regrow.determinism import tensor_float
from regrow.engines import graphs
from regrow.errors import RegrowError
from regrow.topology import MaskedOptimizer, Topology, momentum_buffers


class MaskedEngine:
    """What engines with dense weights share: optimizer, wiring, and what is summed up as the loss."""

    captures = False

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int, device: torch.device,
                 parameters: Iterable[Tensor], weights: Mapping[str, Tensor]) -> None:
        self.config, self.dataset, self.device = config, dataset, device
        self.topology = Topology(config, weights)
        self.parameters = list(parameters)
        self.optimizer = torch.optim.SGD(self.parameters, lr=config.lr, momentum=config.momentum,
                                         nesterov=config.nesterov, weight_decay=config.weight_decay, fused=True)
        self.masked = MaskedOptimizer(self.topology, self.optimizer, total_steps)
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

    def step(self) -> None:
        """SGD on the connections that exist."""
        self.masked.mask_gradients()
        self.optimizer.step()
        if self.topology.buffers_leak:
            self.topology.mask_weights()

    def update(self, step: int) -> None:
        """Prune and grow."""
        self.masked.update(step)

    def take_loss(self) -> float:
        """Sum of the batch losses since the last call; waits for the device."""
        loss = self.loss.item()
        self.loss.zero_()
        return loss


class DenseEngine(MaskedEngine):
    """Model, optimizer and wiring of one run."""

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int, device: torch.device, *,
                 compiled: bool = False, channels_last: bool | None = None, capture: bool | None = None) -> None:
        """`channels_last` is how convolutions want their images; None: for every network but the MLP.

        `capture` makes the passes a CUDA graph; None: on a GPU, unless they are compiled. Raises RegrowError in the
        first step if they cannot be compiled here.
        """
        self.model = models.build(config, classes=dataset.classes, image_shape=dataset.image_shape).to(device)
        last = config.model != "mlp" if channels_last is None else channels_last
        self.memory_format = torch.channels_last if last else torch.contiguous_format
        self.model.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.network = compiled_network(self.model) if compiled else self.model
        super().__init__(config, dataset, total_steps, device, self.model.parameters(), models.maskable(self.model))
        self.captures = not compiled and graphs.wanted(device) if capture is None else capture
        self.passes = graphs.Passes(device, config.batch_size, capture=self.captures)

    def batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images [B, C, H, W] and labels [B] of an epoch, from batch `start` on."""
        config = self.config
        for images, labels in batches(self.dataset, batch_size=config.batch_size, seed=config.seed, epoch=epoch,
                                      augment=config.augment, pad=config.crop_pad, dtype=getattr(torch, config.dtype),
                                      start=start):
            yield images.contiguous(memory_format=self.memory_format), labels

    def backward(self, images: Tensor, labels: Tensor, step: int) -> None:
        """Loss and gradients."""
        for parameter, gradient in zip(self.parameters, self.passes(self._passes, images, labels), strict=True):
            parameter.grad = gradient  # what it is already, unless the passes were replayed
        self.masked.keep_gradients(step)

    def _passes(self, images: Tensor, labels: Tensor) -> list[Tensor]:
        """What a step does before SGD, all of it on the device; the gradients of the parameters."""
        self.model.train()
        with tensor_float(self.device, self.config.tf32):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.amp):
                loss = F.cross_entropy(self.network(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
        self.loss += loss.detach()
        self.masked.average_gradients()
        return [parameter.grad for parameter in self.parameters if parameter.grad is not None]

    @torch.no_grad()
    def accuracy(self, images: ImageSet) -> float:
        """Accuracy in percent, in evaluation mode. One wait for the device at the end."""
        config = self.config
        self.model.eval()
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        with tensor_float(self.device, config.tf32):
            for x, labels in evaluation_batches(images, self.dataset, dtype=getattr(torch, config.dtype),
                                                seed=config.seed, augment=config.evaluation_augment,
                                                pad=config.crop_pad):
                correct += (self.model(x.contiguous(memory_format=self.memory_format)).argmax(1) == labels).sum()
        return percent(int(correct), len(images.labels))

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, as named tensors."""
        momenta = {f"momentum/{name}": buffer for name, buffer in
                   momentum_buffers(self.optimizer, dict(self.model.named_parameters())).items()}
        model = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        return model | momenta | self.topology.state() | {"loss": self.loss}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`. Raises KeyError or RuntimeError for a state of another network."""
        self.model.load_state_dict({name.removeprefix("model/"): tensor for name, tensor in state.items()
                                    if name.startswith("model/")})
        for name, parameter in self.model.named_parameters():
            if f"momentum/{name}" in state:
                momentum = torch.empty_like(parameter, requires_grad=False).copy_(state[f"momentum/{name}"])
                self.optimizer.state[parameter]["momentum_buffer"] = momentum
        self.topology.load_state(state)
        self.loss.copy_(state["loss"])


def compiled_network(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network through torch.compile, wholly or not at all: it raises RegrowError where that fails.

    PyTorch counts the graphs of a process and leaves the ninth of a kind uncompiled, so every run begins anew.
    """
    import torch._dynamo  # takes a second to import, and only this engine needs it

    failed = torch._dynamo.exc.TorchDynamoException, torch._dynamo.exc.FailOnRecompileLimitHit

    def passed(images: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():  # Python comes here only to compile it, or because it is not
            raise RegrowError("torch.compile is switched off here: unset TORCH_COMPILE_DISABLE, or use --engine dense.")
        return model(images)

    torch.compiler.reset()
    network = torch.compile(passed, fullgraph=True)

    def forward(images: Tensor) -> Tensor:
        try:
            return network(images)
        except failed as error:
            why = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise RegrowError(f"torch.compile cannot compile this network here ({why[:200].rstrip('.')}): use --engine "
                              "dense.") from error

    return forward
