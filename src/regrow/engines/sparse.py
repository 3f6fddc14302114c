"""The sparse engine: an MLP on the CPU with work and memory proportional to the connections that exist.

It computes what the dense engine computes, to rounding. Dense gradients are formed only when a rule needs them: one
matrix product per update for gradient growth, a sum over the last steps before an update for momentum growth.
`SparseNetwork` is what Boltzmann machines (`engines/sparse_rbm.py`) have in common with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from regrow import models, schedule
from regrow.config import RunConfig
from regrow.data import Dataset, Draw, ImageSet, draws, evaluation_draws, percent, scale_and_shift
from regrow.determinism import generator
from regrow.engines import sparse_kernels as kernels
from regrow.engines import tile_images
from regrow.engines.gradient_average import GradientAverage, window
from regrow.engines.sparse_kernels import aligned
from regrow.engines.sparse_layer import SparseLinear
from regrow.engines.sparse_products import TILE
from regrow.rules import LayerState
from regrow.topology import Rewiring, Topology, ranks_buffer, rewire

FORGOTTEN = 1e-9


def supports(config: RunConfig) -> bool:
    """MLPs, and RBMs with a tile of images a step, in full precision with optimizer state on connections only.

    grown_buffer="keep" is the dense engine's with that of places which have long been empty left out: until the next
    update it has decayed to the fraction momentum^update_interval.
    """
    kept = config.grown_buffer == "keep" and config.momentum**config.update_interval > FORGOTTEN
    fits = config.model == "mlp" or (config.is_rbm and config.batch_size <= TILE)
    return fits and not (config.amp or kept or ranks_buffer(config))


class SparseNetwork:
    """Layers that exist only where there is a connection, their batches, their optimizer and their rewiring."""

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int, start: Topology,
                 biases: Mapping[str, Tensor], *, mean: tuple[float, ...], std: tuple[float, ...],
                 batch: tuple[int, int]) -> None:
        """`start` has masks and dense weights. mean and std normalise the pixels as in data.Dataset.

        A layer's gradient in a step is a sum over at most batch[0] tiles, of batch[1] images each.
        """
        self.config, self.total_steps, self.dataset = config, total_steps, dataset
        self.masks, self.explored, self.needs = start.masks, start.explored, start.needs
        self.rewired = tuple(name for name, mask in self.masks.items() if not bool(mask.all()))  # a full layer is not
        self.layers = {name: SparseLinear(weight, biases[name], self.masks[name])
                       for name, weight in start.weights.items()}
        self.dtype = getattr(torch, config.dtype)
        tiles = -(-config.batch_size // TILE)
        numpy_dtype = next(iter(self.layers.values())).dtype
        sizes = [layer.n_in for layer in self.layers.values()] + [list(self.layers.values())[-1].n_out]
        self.activations = [aligned((tiles, n, TILE), numpy_dtype) for n in sizes]
        self.deltas = [aligned((tiles, n, TILE), numpy_dtype) for n in sizes]
        self.scale, self.shift = (part.flatten().numpy() for part in scale_and_shift(
            mean, std, self.dtype, torch.device("cpu")))
        self.staged = tile_images.stage(dataset.train.images.numpy(), config.crop_pad)
        self.updates = frozenset(schedule.update_steps(config, total_steps))
        self.averages = {name: GradientAverage(layer.n_out, layer.n_in, batch, config.growth_beta, self.dtype)
                         for name, layer in self.layers.items()
                         if "average" in self.needs and name in self.rewired}
        self.gradients: dict[str, Tensor] = {}
        self.loss = 0.0
        self.lr = config.lr

    def set_learning_rate(self, lr: float) -> None:
        self.lr = lr

    def _load(self, images: Tensor, draw: Draw) -> Tensor:
        """A batch as tiles [tiles, features, 64] in the engine's own memory: valid until the next one."""
        tiles = self.activations[0][:-(-len(draw.chosen) // TILE)]
        offsets = np.zeros((0, 2), np.int64) if draw.offsets is None else draw.offsets.numpy()
        flips = np.zeros(0, bool) if draw.flips is None else draw.flips.numpy()
        tile_images.load_tiles(images.numpy(), draw.chosen.numpy(), offsets, flips, self.config.crop_pad, draw.mirrored,
                               self.scale, self.shift, self.staged, tiles)
        return torch.from_numpy(tiles)

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
        config = self.config
        for layer in self.layers.values():
            lr, mu, decay = (np.array([v], layer.dtype) for v in (self.lr, config.momentum, config.weight_decay))
            kernels.sgd(layer.weight, layer.gradient, layer.buffer, lr, mu, decay, config.nesterov)
            kernels.sgd(layer.bias, layer.bias_gradient, layer.bias_buffer, lr, mu, decay, config.nesterov)

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
                                   self.gradients.get(name), average)

    def apply(self, name: str, rewiring: Rewiring) -> None:
        """Carry out what an update changes in one layer; the number of its connections may change."""
        config = self.config
        self.layers[name].rewire(self.masks[name].numpy(), rewiring, keep_weight=config.regrown_weight == "keep",
                                 keep_buffer=config.grown_buffer == "keep")
        self.masks[name] = rewiring.mask
        self.explored[name] |= rewiring.mask

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
            average.load_state({part: state[f"average/{name}/{part}"] for part in ("value", "dy", "x")})
        self.loss = float(state["loss"])


class SparseEngine(SparseNetwork):
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

    def accuracy(self, images: ImageSet) -> float:
        """Accuracy in percent."""
        config, correct = self.config, 0
        for draw in evaluation_draws(images, batch_size=config.batch_size, augment=config.evaluation_augment,
                                     pad=config.crop_pad, seed=config.seed):
            chosen = draw.chosen
            tiles = self._load(images.images, draw).numpy()
            self._forward(tiles)
            logits = self.activations[-1][:len(tiles)].transpose(0, 2, 1).reshape(len(tiles) * TILE, -1)[:len(chosen)]
            correct += int((logits.argmax(1) == images.labels[chosen].numpy()).sum())
        return percent(correct, len(images.labels))
