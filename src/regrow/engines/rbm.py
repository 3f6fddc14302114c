"""Boltzmann machines under the verbs of every engine, so that loop, checkpoints, store and sweep are the classifiers'.

`RbmEngine` is the one to read. Its weights are dense, exactly 0 without a connection, and so the difference of the two
phases is there at every position: what gradient growth ranks, and momentum growth averages (Eqs. 9 and 10).
`SparseRbmEngine` does the same with work proportional to the connections. With 10 images a step, 54 of the 64 places
in a tile are empty, and still it is faster at 95 % sparsity, since a dense step goes through every weight, its gradient
and its mask several times. Milliseconds a step on one core, sparse against dense: 0.72 to 2.3 with 784 x 1000 units,
0.24 to 0.57 with 784 x 250. The two break even at a density of 0.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from regrow import rbm
from regrow.config import RunConfig
from regrow.data import Dataset, ImageSet, drawn, draws
from regrow.determinism import tensor_float
from regrow.engines.dense import MaskedEngine
from regrow.engines.kernels import TILE, aligned
from regrow.engines.sparse import LinearNetwork
from regrow.jit import kernel
from regrow.rbm import EXAMPLES, FINAL, LAYER, Rbm
from regrow.topology import Topology, momentum_buffers


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
        with tensor_float(self.device, self.config.tf32):
            gradient, reconstruction = rbm.contrastive_divergence(self.rbm, images, uniform)
        self.loss += nn.functional.mse_loss(reconstruction, images)
        for parameter, part in zip(self.rbm, gradient, strict=True):
            parameter.grad = part
        self.masked.average_gradients()
        self.masked.keep_gradients(step)

    def accuracy(self, images: ImageSet) -> float:
        """nan: there is nothing that classifies."""
        return math.nan

    @torch.no_grad()
    def measures(self) -> dict[str, float]:
        """Free energies and reconstruction error, see `rbm.measures`."""
        with tensor_float(self.device, self.config.tf32):
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


class SparseRbmEngine(LinearNetwork):
    """The machine of one run, on the CPU. The same steps as RbmEngine's, to rounding.

    `visible` and `hidden` are two tiles each, [2, units, 64]: first the negative phase, then the positive one. Places
    without an image are 0 there.
    """

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int) -> None:
        start = rbm.initial(config, math.prod(dataset.image_shape))
        super().__init__(config, dataset, total_steps, Topology(config, {LAYER: start.weight}),
                         {LAYER: start.hidden_bias}, mean=(0.0,), std=(1.0,), batch=(2, config.batch_size))
        self.layer = layer = self.layers[LAYER]
        self.visible, self.hidden = (aligned((2, n, TILE), layer.dtype) for n in (layer.n_in, layer.n_out))
        self.sampled = aligned((1, layer.n_out, TILE), layer.dtype)
        self.activations[0] = self.visible[1:]  # where images are put
        self.visible_bias = start.visible_bias.numpy()
        self.visible_buffer, self.visible_gradient = np.zeros_like(self.visible_bias), np.zeros_like(self.visible_bias)

    def backward(self, images: Tensor, labels: Tensor, step: int) -> None:
        """CD-1, see `rbm.contrastive_divergence`; what is summed up as the loss is the reconstruction error."""
        layer, count = self.layer, len(labels)
        v1, v0, h1, h0 = self.visible[:1], self.visible[1:], self.hidden[:1], self.hidden[1:]
        layer.forward(v0, h0)
        sigmoid(h0, count)
        sample(h0, rbm.gibbs_noise(self.config, step, count).numpy(), self.sampled)
        layer.transposed(self.sampled, self.visible_bias, v1)
        sigmoid(v1, count)
        layer.forward(v1, h1)
        sigmoid(h1, count)
        self.loss += differences(v0[0], v1[0], count, self.visible_gradient)
        h0 *= -1 / count  # the phases' difference is then one sum of products over both tiles
        h1 *= 1 / count
        layer.backward(self.visible, self.hidden, None)
        self._remember(step)

    def _remember(self, step: int) -> None:
        """The difference of the phases at every position, if a coming update will read it."""
        width = self.config.batch_size
        if self.averages and self._remembers(step):
            self.averages[LAYER].add(self.hidden[:, :, :width], self.visible[:, :, :width])
        if step in self.updates and "gradient" in self.needs:
            self.gradients[LAYER] = torch.bmm(torch.from_numpy(self.hidden), torch.from_numpy(self.visible).mT).sum(0)

    def step(self) -> None:
        """One step of SGD on the connections and both biases."""
        super().step()
        self._descend(self.visible_bias, self.visible_gradient, self.visible_buffer)

    def accuracy(self, images: ImageSet) -> float:
        """nan: there is nothing that classifies."""
        return math.nan

    def measures(self) -> dict[str, float]:
        """Free energies and reconstruction error, see `rbm.measures`."""
        layer = self.layer
        machine = Rbm(layer.dense(layer.weight), torch.from_numpy(layer.bias), torch.from_numpy(self.visible_bias))
        return measured(machine, self.dataset)

    def final(self) -> dict[str, Tensor]:
        """What the record keeps of the trained machine: rbm.FINAL."""
        weight, bias, visible_bias = map(torch.from_numpy, (self.layer.weight, self.layer.bias, self.visible_bias))
        return kept(weight, bias, visible_bias, self.dataset)

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs."""
        return super().state() | {"visible_bias": torch.from_numpy(self.visible_bias),
                                  "visible_buffer": torch.from_numpy(self.visible_buffer)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        super().load_state(state)
        self.visible_bias[:] = state["visible_bias"].numpy()
        self.visible_buffer[:] = state["visible_buffer"].numpy()


@kernel()
def sigmoid(y, count):
    """1 / (1 + exp(-y)) of the first `count` images, in place; 0 in empty places. y [1, units, 64]."""
    one = y.dtype.type(1)
    for row in y[0]:
        for b in range(count):
            row[b] = one / (one + np.exp(-row[b]))
        row[count:] = 0


@kernel()
def sample(probabilities, uniform, out):
    """out[0, i, b] = 1 where uniform[b, i] is below the probability; uniform [images, units], the others tiles."""
    for b in range(uniform.shape[0]):
        for i in range(uniform.shape[1]):
            out[0, i, b] = uniform[b, i] < probabilities[0, i, b]


@kernel()
def differences(v0, v1, count, mean):
    """Mean of (v1 - v0)^2 over units and images; `mean` [units] becomes that of v1 - v0 over the images."""
    total = 0.0
    for j in range(v0.shape[0]):
        s = mean.dtype.type(0)
        for b in range(count):
            d = v1[j, b] - v0[j, b]
            s += d
            total += d * d
        mean[j] = s / count
    return total / (count * v0.shape[0])
