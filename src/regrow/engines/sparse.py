"""The sparse engine: an MLP on the CPU with work and memory proportional to the connections that exist.

It computes what the dense engine computes, to rounding. Dense gradients are formed only when a rule needs them: one
matrix product per update for gradient growth, a sum over the last steps before an update for momentum growth.
`SparseNetwork` is what Boltzmann machines (`engines/rbm.py`) and convolutions (`engines/conv`) have in common with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from regrow import models, schedule
from regrow.config import RunConfig
from regrow.data import Dataset, Draw, ImageSet, draws, evaluation_draws, percent, scale_and_shift
from regrow.determinism import generator
from regrow.engines import kernels
from regrow.engines.kernels import TILE, add_outer_products, aligned
from regrow.rules import LayerState
from regrow.topology import Rewiring, Topology, ranks_buffer, rewire

LIMIT = 1e-6  # gradients that count for less in the running average of Eq. 10 are left out
BLOCK = 16  # steps whose outer products are added up together
NORMALISED = ("vgg16", "resnet56", "resnet50-cifar")  # networks with batch normalisation
FORGOTTEN = 1e-9  # share of a momentum that may be left out


def supports(config: RunConfig) -> bool:
    """Whether the sparse engine of config.model can train the run: in full precision, optimizer state on connections.

    RBMs with a tile of images a step, and networks with batch normalisation on images of 32 x 32.

    grown_buffer="keep" is the dense engine's with that of places which have long been empty left out: until the next
    update it has decayed to the fraction momentum^update_interval.
    """
    kept = config.grown_buffer == "keep" and config.momentum**config.update_interval > FORGOTTEN
    fits = config.model in ("mlp", "convnet") or (config.is_rbm and config.batch_size <= TILE) or (
        config.model in NORMALISED and config.image_format == "rgb32")
    return fits and not (config.amp or kept or ranks_buffer(config))


class Connections:
    """Weights, gradients and momentum of a layer's connections, in row-major order, and of its bias."""

    def __init__(self, weight: Tensor, bias: Tensor, mask: Tensor) -> None:
        """`mask` has the shape of `weight`, [n_out, ...]; a layer without a bias has an empty one."""
        self.shape = tuple(weight.shape)
        self.n_out, self.n_in = self.shape[0], math.prod(self.shape[1:])
        dense = weight.numpy(force=True)
        self.dtype = dense.dtype
        self.bias = bias.numpy(force=True).copy()
        self.bias_buffer = np.zeros_like(self.bias)
        self.bias_gradient = np.zeros_like(self.bias)
        self.set_structure(mask.numpy(force=True))
        self.weight[:] = dense.reshape(-1)[self.positions]

    def set_structure(self, mask: np.ndarray) -> None:
        """The connections of a boolean mask, with weights and momentum 0."""
        self.positions = np.flatnonzero(mask)
        self.weight, self.buffer, self.gradient = (aligned((len(self.positions),), self.dtype) for _ in range(3))

    def rewire(self, before: np.ndarray, rewiring: Rewiring, *, keep_weight: bool, keep_buffer: bool) -> None:
        """Go from the mask `before` to the new one. Grown connections begin with weight and momentum 0.

        One that was pruned and regrown at once may keep its weight, or its momentum. What is in both structures stands
        in the same order in both, so no position is looked up.
        """
        after, grown = rewiring.mask.numpy().reshape(-1), rewiring.grown.numpy().reshape(-1)
        stays = after[self.positions]
        weight, buffer = self.weight[stays], self.buffer[stays]
        self.set_structure(after)
        was_there, new = before.reshape(-1)[self.positions], grown[self.positions]
        self.weight[was_there], self.buffer[was_there] = weight, buffer
        if not keep_buffer:
            self.buffer[new] = 0
        if not keep_weight:
            self.weight[new] = 0

    def dense(self, values: np.ndarray) -> Tensor:
        """Values of the connections as a dense tensor, 0 elsewhere."""
        full = np.zeros(self.n_out * self.n_in, self.dtype)
        full[self.positions] = values
        return torch.from_numpy(full.reshape(self.shape))


class SparseLinear(Connections):
    """The connections of a linear layer, and the same structure by input."""

    def set_structure(self, mask: np.ndarray) -> None:
        """The connections of a boolean mask, with weights and momentum 0."""
        super().set_structure(mask)
        self.indices = (self.positions % self.n_in).astype(np.uint32)
        self.indptr = np.searchsorted(self.positions, np.arange(self.n_out + 1) * self.n_in).astype(np.uint32)
        self.weight_by_input = aligned(self.weight.shape, self.dtype)
        self.by_input = kernels.transpose(self.indptr, self.indices, self.n_in)

    def forward(self, x: np.ndarray, y: np.ndarray) -> None:
        """y = W x + b."""
        kernels.fill_bias(self.bias, y)
        kernels.multiply(self.indptr, self.indices, self.weight, x, y)

    def transposed(self, y: np.ndarray, bias: np.ndarray, x: np.ndarray) -> None:
        """x = W^T y + bias."""
        starts, rows, order = self.by_input
        kernels.gather(self.weight, order, self.weight_by_input)
        kernels.fill_bias(bias, x)
        kernels.multiply(starts, rows, self.weight_by_input, y, x)

    def backward(self, x: np.ndarray, dy: np.ndarray, dx: np.ndarray | None) -> None:
        """Gradients of the existing connections and the bias, and dx unless it is None."""
        kernels.sampled_product(self.indptr, self.indices, dy, x, self.gradient)
        kernels.sum_images(dy, self.bias_gradient)
        if dx is not None:
            starts, rows, order = self.by_input
            kernels.gather(self.weight, order, self.weight_by_input)
            dx[:] = 0
            kernels.multiply(starts, rows, self.weight_by_input, dy, dx)


def window(beta: float) -> int:
    """The smallest K with beta^K < LIMIT, at least 1: 132 steps for beta = 0.9."""
    return 1 if beta == 0 else math.floor(math.log(LIMIT) / math.log(beta)) + 1


class GradientAverage:
    """The running average v [n_out, n_in] of one layer's dense gradient (Eq. 10), without one in every step.

    v = sum over k of (1 - beta) beta^(n - k) dy_k x_k^T is one sum over the steps before an update.
    """

    def __init__(self, n_out: int, n_in: int, batch: tuple[int, int], beta: float, dtype: torch.dtype) -> None:
        """A step has at most batch[0] tiles, of batch[1] images each."""
        tiles, images = batch
        self.beta, self.pending = beta, 0
        self.value = torch.zeros(n_out, n_in, dtype=dtype)
        self.dy = torch.zeros(BLOCK, tiles, n_out, images, dtype=dtype)
        self.x = torch.zeros(BLOCK, tiles, n_in, images, dtype=dtype)

    def add(self, dy: np.ndarray, x: np.ndarray) -> None:
        """One step's gradient sum over tiles t of dy[t] x[t]^T; dy [tiles, n_out, images], x [tiles, n_in, images]."""
        tiles = len(dy)
        self.dy[self.pending, :tiles], self.x[self.pending, :tiles] = torch.from_numpy(dy), torch.from_numpy(x)
        self.dy[self.pending, tiles:] = 0
        self.pending += 1
        if self.pending == BLOCK:
            self.flush()

    def flush(self) -> Tensor:
        """Add the pending steps and return v."""
        n = self.pending
        if n:
            ages = torch.arange(n - 1, -1, -1, dtype=self.value.dtype)
            self.dy[:n] *= ((1 - self.beta) * self.beta**ages)[:, None, None, None]
            self.value *= self.beta**n
            add_outer_products(*(part.numpy() for part in (self.value, self.dy[:n].flatten(0, 1),
                                                           self.x[:n].flatten(0, 1))))
            self.pending = 0
        return self.value

    def reset(self) -> None:
        """Forget everything: the next window begins."""
        self.value.zero_()
        self.pending = 0

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs; pending steps stay pending, so that sums are formed in the same order."""
        n = self.pending
        return {"value": self.value, "dy": self.dy[:n], "x": self.x[:n]}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.value.copy_(state["value"])
        self.pending = len(state["dy"])
        self.dy[:self.pending], self.x[:self.pending] = state["dy"], state["x"]


class Average(Protocol):
    """A running average of one layer's dense gradient; `flush` is its value, in the layer's shape."""

    def flush(self) -> Tensor: ...
    def reset(self) -> None: ...
    def state(self) -> dict[str, Tensor]: ...
    def load_state(self, state: Mapping[str, Tensor]) -> None: ...


class SparseNetwork:
    """Layers that exist only where there is a connection, their batches, their optimizer and their rewiring.

    Heirs put images where they want them (`_load`) and fill `averages` and `gradients` with what rules read.
    """

    captures = False

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int, start: Topology,
                 layers: Mapping[str, Connections], *, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """`start` has the masks. mean and std normalise the pixels as in data.Dataset."""
        self.config, self.total_steps, self.dataset = config, total_steps, dataset
        self.masks, self.explored, self.needs = start.masks, start.explored, start.needs
        self.rewired = tuple(name for name, mask in self.masks.items() if not bool(mask.all()))  # a full layer is not
        self.layers = layers
        self.dtype = getattr(torch, config.dtype)
        self.scale, self.shift = (part.flatten().numpy() for part in scale_and_shift(
            mean, std, self.dtype, torch.device("cpu")))
        self.staged = kernels.stage(dataset.train.images.numpy(), config.crop_pad)
        self.updates = frozenset(schedule.update_steps(config, total_steps))
        self.averages: Mapping[str, Average] = {}
        self.gradients: dict[str, Tensor] = {}
        self.loss = 0.0
        self.lr = config.lr

    @property
    def averaged(self) -> tuple[str, ...]:
        """The layers that need an average of their gradients."""
        return self.rewired if "average" in self.needs else ()

    def _load(self, images: Tensor, draw: Draw) -> Tensor:
        """A batch in the engine's own memory: valid until the next one."""
        offsets = np.zeros((0, 2), np.int64) if draw.offsets is None else draw.offsets.numpy()
        flips = np.zeros(0, bool) if draw.flips is None else draw.flips.numpy()
        return torch.from_numpy(self._put(images.numpy(), draw.chosen.numpy(), offsets, flips, draw.mirrored))

    def _put(self, images: np.ndarray, chosen: np.ndarray, offsets: np.ndarray, flips: np.ndarray,
             mirrored: bool) -> np.ndarray:
        """The chosen ones of the images, cropped and flipped (not if offsets and flips are empty) and normalised."""
        raise NotImplementedError

    def _logits(self, batch: Tensor, count: int) -> np.ndarray:
        """[count, classes] of a batch of so many images, as `_load` gives it."""
        raise NotImplementedError

    def set_learning_rate(self, lr: float) -> None:
        self.lr = lr

    def batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Tiles and labels of an epoch, from batch `start` on."""
        config, train = self.config, self.dataset.train
        for draw in draws(self.dataset, batch_size=config.batch_size, seed=config.seed, epoch=epoch,
                          augment=config.augment, pad=config.crop_pad, start=start):
            yield self._load(train.images, draw), train.labels.index_select(0, draw.chosen)

    def _remembers(self, step: int) -> bool:
        """Whether a gradient of this step still counts at the next update (Eq. 10)."""
        to_update = -step % self.config.update_interval
        return to_update < window(self.config.growth_beta) and step + to_update in self.updates

    def step(self) -> None:
        """One step of SGD on the connections and biases."""
        for layer in self.layers.values():
            self._descend(layer.weight, layer.gradient, layer.buffer)
            self._descend(layer.bias, layer.bias_gradient, layer.bias_buffer)

    def _descend(self, values: np.ndarray, gradient: np.ndarray, buffer: np.ndarray) -> None:
        """SGD on some parameters, in place."""
        config = self.config
        lr, mu, decay = (np.array([v], values.dtype) for v in (self.lr, config.momentum, config.weight_decay))
        kernels.sgd(values, gradient, buffer, lr, mu, decay, config.nesterov)

    def update(self, step: int) -> None:
        """Prune and grow: rebuild of the structure of every layer."""
        for name, rewiring in self.rewirings(step):
            self.apply(name, rewiring)
        if window(self.config.growth_beta) < self.config.update_interval:
            for memory in self.averages.values():
                memory.reset()  # nothing older than the window is added up again

    def rewirings(self, step: int) -> Iterator[tuple[str, Rewiring]]:
        """What an update changes, layer by layer, each in isolation (Section 4.3)."""
        config, total = self.config, self.total_steps
        rate, rule = schedule.prune_rate(config, step, total), schedule.growth_rule(config, step, total)
        for name, state in self.states(step):
            yield name, rewire(state, rate=rate, prune=config.prune, grow=rule, regrow_pruned=config.regrow_pruned)

    def states(self, step: int) -> Iterator[tuple[str, LayerState]]:
        """What the rules see of every layer at an update."""
        for index, (name, layer) in enumerate(self.layers.items()):
            average = self.averages[name].flush() if name in self.averages else None
            yield name, LayerState(layer.dense(layer.weight), self.masks[name],
                                   generator("growth", self.config.seed, step * 1000 + index),
                                   self.gradients.get(name), average, name)

    def apply(self, name: str, rewiring: Rewiring) -> None:
        """Carry out what an update changes in one layer; the number of its connections may change."""
        config = self.config
        self.layers[name].rewire(self.masks[name].numpy(), rewiring, keep_weight=config.regrown_weight == "keep",
                                 keep_buffer=config.grown_buffer == "keep")
        self.masks[name] = rewiring.mask
        self.explored[name] |= rewiring.mask

    def accuracy(self, images: ImageSet) -> float:
        """Accuracy in percent."""
        config, correct = self.config, 0
        for draw in evaluation_draws(images, batch_size=config.batch_size, augment=config.evaluation_augment,
                                     pad=config.crop_pad, seed=config.seed):
            chosen = draw.chosen
            logits = self._logits(self._load(images.images, draw), len(chosen))
            correct += int((logits.argmax(1) == images.labels[chosen].numpy()).sum())
        return percent(correct, len(images.labels))

    def take_loss(self) -> float:
        """Sum of the batch losses since the last call."""
        loss, self.loss = self.loss, 0.0
        return loss

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs."""
        state = {f"mask/{name}": mask for name, mask in self.masks.items()}
        state |= {f"explored/{name}": seen for name, seen in self.explored.items()}
        for name, layer in self.layers.items():
            for part in ("weight", "buffer", "bias", "bias_buffer"):
                state[f"{part}/{name}"] = torch.from_numpy(getattr(layer, part))
        for name, average in self.averages.items():
            state |= {f"average/{name}/{part}": value for part, value in average.state().items()}
        return state | {"loss": torch.tensor(self.loss, dtype=torch.float64)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        for name, layer in self.layers.items():
            self.masks[name], self.explored[name] = state[f"mask/{name}"], state[f"explored/{name}"]
            layer.set_structure(self.masks[name].numpy())
            for part in ("weight", "buffer", "bias", "bias_buffer"):
                getattr(layer, part)[:] = state[f"{part}/{name}"].numpy()
        for name, average in self.averages.items():
            average.load_state({part: state[f"average/{name}/{part}"] for part in average.state()})
        self.loss = float(state["loss"])


class LinearNetwork(SparseNetwork):
    """Linear layers whose activations are tiles of 64 images."""

    layers: Mapping[str, SparseLinear]

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int, start: Topology,
                 biases: Mapping[str, Tensor], *, mean: tuple[float, ...], std: tuple[float, ...],
                 batch: tuple[int, int]) -> None:
        """`start` has masks and dense weights; mean and std as in SparseNetwork.

        A layer's gradient in a step is a sum over at most batch[0] tiles, of batch[1] images each.
        """
        layers = {name: SparseLinear(weight, biases[name], start.masks[name]) for name, weight in start.weights.items()}
        super().__init__(config, dataset, total_steps, start, layers, mean=mean, std=std)
        tiles = -(-config.batch_size // TILE)
        numpy_dtype = next(iter(layers.values())).dtype
        sizes = [layer.n_in for layer in layers.values()] + [list(layers.values())[-1].n_out]
        self.activations = [aligned((tiles, n, TILE), numpy_dtype) for n in sizes]
        self.deltas = [aligned((tiles, n, TILE), numpy_dtype) for n in sizes]
        self.averages: dict[str, GradientAverage] = {
            name: GradientAverage(layers[name].n_out, layers[name].n_in, batch, config.growth_beta, self.dtype)
            for name in self.averaged}

    def _put(self, images: np.ndarray, chosen: np.ndarray, offsets: np.ndarray, flips: np.ndarray,
             mirrored: bool) -> np.ndarray:
        """Tiles [tiles, features, 64]."""
        tiles = self.activations[0][:-(-len(chosen) // TILE)]
        kernels.load_tiles(images, chosen, offsets, flips, self.config.crop_pad, mirrored, self.scale, self.shift,
                           self.staged, tiles)
        return tiles


class SparseEngine(LinearNetwork):
    """The MLP of one run. The same verbs as the dense engine."""

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int) -> None:
        model = models.build(config, classes=dataset.classes, image_shape=dataset.image_shape)
        start = self.wiring(config, model)
        biases = {name: model.get_parameter(f"{name}.bias") for name in start.weights}
        super().__init__(config, dataset, total_steps, start, biases, mean=dataset.mean, std=dataset.std,
                         batch=(-(-config.batch_size // TILE), TILE))

    def wiring(self, config: RunConfig, model: nn.Module) -> Topology:
        """The first masks, laid over the weights of `model` in place."""
        return Topology(config, models.maskable(model))

    def _forward(self, x: np.ndarray) -> None:
        """Activations of every layer from a batch of tiles."""
        tiles = len(x)
        layers = list(self.layers.values())
        for index, layer in enumerate(layers):
            y = self.activations[index + 1][:tiles]
            layer.forward(x, y)
            if layer is not layers[-1]:
                kernels.relu(y)
            x = y

    def backward(self, images: Tensor, labels: Tensor, step: int) -> None:
        """Loss and gradients of a batch of tiles, and whatever dense gradient a coming update will read."""
        tiles = len(images)
        self._forward(images.numpy())
        acts, deltas = [a[:tiles] for a in self.activations], [d[:tiles] for d in self.deltas]
        self.loss += kernels.cross_entropy(acts[-1], labels.numpy(), deltas[-1])
        names = list(self.layers)
        remembers = bool(self.averages) and self._remembers(step)
        for index in range(len(names) - 1, -1, -1):
            name, x, dy = names[index], acts[index], deltas[index + 1]
            self.layers[name].backward(x, dy, deltas[index] if index else None)
            if index:
                kernels.relu_backward(x, deltas[index])
            if remembers and name in self.averages:
                self.averages[name].add(dy, x)
            if step in self.updates and "gradient" in self.needs and name in self.rewired:
                self.gradients[name] = torch.bmm(torch.from_numpy(dy), torch.from_numpy(x).mT).sum(0)

    def _logits(self, batch: Tensor, count: int) -> np.ndarray:
        """[count, classes] of a batch of tiles."""
        self._forward(batch.numpy())
        return self.activations[-1][:len(batch)].transpose(0, 2, 1).reshape(len(batch) * TILE, -1)[:count]
