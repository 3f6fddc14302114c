"""Boltzmann machines under the verbs of every engine, so that loop, checkpoints, store and sweep are the classifiers'.

Weights are dense here, exactly 0 without a connection, and so the difference of the two phases is there at every
position: what gradient growth ranks, and momentum growth averages (Eqs. 9 and 10). `engines/sparse_rbm.py` does the
same with work proportional to the connections.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from regrow import rbm
from regrow.config import RunConfig
from regrow.data import Dataset, ImageSet, drawn, draws
from regrow.engines.dense import MaskedEngine
from regrow.rbm import EXAMPLES, FINAL, LAYER, Rbm
from regrow.topology import momentum_buffers


class RbmEngine(MaskedEngine):
    """Machine, optimizer and wiring of one run. What is summed up as the loss is the reconstruction error."""

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int, device: torch.device) -> None:
        start = rbm.initial(config, math.prod(dataset.image_shape))
        self.rbm = Rbm(*(nn.Parameter(part.to(device)) for part in start))
        super().__init__(config, dataset, total_steps, device, self.rbm, {LAYER: self.rbm.weight})

    def batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Grey levels [B, V] and labels [B], which nothing reads, of an epoch, from batch `start` on."""
        config, train = self.config, self.dataset.train
        for draw in draws(self.dataset, batch_size=config.batch_size, seed=config.seed, epoch=epoch,
                          augment=config.augment, pad=config.crop_pad, start=start):
            yield rbm.grey(drawn(train.images, draw), self.rbm.weight.dtype), train.labels.index_select(0, draw.chosen)

    @torch.no_grad()
    def backward(self, images: Tensor, labels: Tensor, step: int) -> None:
        """CD-1 in place of a loss's gradient."""
        uniform = rbm.gibbs_noise(self.config, step, len(images), self.device)
        gradient, reconstruction = rbm.contrastive_divergence(self.rbm, images, uniform)
        self.loss += nn.functional.mse_loss(reconstruction, images)
        for parameter, part in zip(self.rbm, gradient, strict=True):
            parameter.grad = part
        self.keep_gradients(step)

    def accuracy(self, images: ImageSet) -> float:
        """nan: there is nothing that classifies."""
        return math.nan

    @torch.no_grad()
    def measures(self) -> dict[str, float]:
        """Free energies and reconstruction error, see `rbm.measures`."""
        return measured(self.rbm, self.dataset)

    def final(self) -> dict[str, Tensor]:
        """What the record keeps of the trained machine: rbm.FINAL."""
        weight, hidden_bias, visible_bias = (part.detach() for part in self.rbm)
        return kept(weight[self.masks[LAYER]], hidden_bias, visible_bias, self.dataset)

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, as named tensors."""
        parts = self.rbm._asdict()
        momenta = {f"momentum/{name}": buffer for name, buffer in momentum_buffers(self.optimizer, parts).items()}
        model = {f"model/{name}": part.detach() for name, part in parts.items()}
        return model | momenta | self.topology.state() | {"loss": self.loss}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`. Raises KeyError or RuntimeError for a state of another machine."""
        for name, parameter in self.rbm._asdict().items():
            parameter.copy_(state[f"model/{name}"])
            if f"momentum/{name}" in state:
                buffer = torch.empty_like(parameter, requires_grad=False).copy_(state[f"momentum/{name}"])
                self.optimizer.state[parameter]["momentum_buffer"] = buffer
        self.topology.load_state(state)
        self.loss.copy_(state["loss"])


def kept(weight: Tensor, hidden_bias: Tensor, visible_bias: Tensor, dataset: Dataset) -> dict[str, Tensor]:
    """rbm.FINAL: weights of the connections, both biases, and images to show what the machine makes of them."""
    examples = dataset.validation.images[:EXAMPLES, 0]
    return dict(zip(FINAL, (weight, hidden_bias, visible_bias, examples), strict=True))


def measured(machine: Rbm, dataset: Dataset) -> dict[str, float]:
    """`rbm.measures` of the validation images, and of the first training images beside them."""
    held = dataset.validation.images
    seen = dataset.train.images[:len(held)]
    return rbm.measures(machine, seen, held[:len(seen)])
