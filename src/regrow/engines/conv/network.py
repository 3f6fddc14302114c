"""The sparse engine of the ConvNet: the same steps as the dense one's, to rounding.

Of a map that a pooling layer leaves out a last row or column, neither is computed: what is not used has no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from regrow import models
from regrow.config import RunConfig
from regrow.data import Dataset
from regrow.engines.conv import passes
from regrow.engines.conv.gradients import RunningAverage, Wanted
from regrow.engines.conv.kernels import CODES, COLUMNS
from regrow.engines.conv.layer import SparseConv
from regrow.engines.conv.vectors import LANES, ROWS
from regrow.engines.kernels import aligned
from regrow.engines.sparse import SparseNetwork
from regrow.topology import Topology


@dataclass(frozen=True)
class Plan:
    """Sizes of one layer: inputs and outputs that are used, and what the maps need around them."""

    channels: int
    outputs: int
    height: int  # of the inputs
    width: int
    out_height: int
    out_width: int
    kernel: int
    border: int  # of zeros around the inputs

    @property
    def delta_border(self) -> int:
        """Of zeros around the gradient of the outputs."""
        return self.kernel - 1 - self.border

    def inputs(self, room: int = 0) -> tuple[int, int, int, int]:
        """Shape of a map of inputs, which blocks of outputs may overhang; at least `room` wide behind the border."""
        return (max(self.height + 2 * self.border, _up(self.out_height, ROWS) + self.kernel - 1), self.channels,
                max(self.width + 2 * self.border, _up(self.out_width, COLUMNS) + self.kernel - 1, self.border + room),
                LANES)

    def deltas(self) -> tuple[int, int, int, int]:
        """Shape of a map of output gradients, likewise."""
        border = self.delta_border
        return (max(border + _up(self.out_height, ROWS), _up(self.height, ROWS) + self.kernel - 1), self.outputs,
                max(border + _up(self.out_width, COLUMNS), _up(self.width, COLUMNS) + self.kernel - 1), LANES)

    def whole(self, height: int, width: int, channels: int) -> tuple[int, int, int, int]:
        """Shape of a map of whole blocks without a border."""
        return _up(height, ROWS), channels, _up(width, COLUMNS), LANES


def _up(n: int, unit: int) -> int:
    return -(-n // unit) * unit


def planned(convolutions: Sequence[nn.Conv2d], head: nn.Linear, image: tuple[int, int, int]) -> list[Plan]:
    """Sizes of convolutions with pooling by 2 between them, and of what they are averaged for; image is (C, H, W)."""
    there: list[tuple[int, ...]] = [image[1:]]  # inputs of each
    for conv in convolutions:
        there.append(tuple((n + 2 * int(conv.padding[0]) - conv.kernel_size[0] + 1) // 2 for n in there[-1]))
    last = convolutions[-1]
    used = tuple(n + 2 * int(last.padding[0]) - last.kernel_size[0] + 1 for n in there[-2])  # outputs, from the end on
    plans = [Plan(head.in_features, head.out_features, 1, 1, 1, 1, 1, 0)]
    for conv, (height, width) in zip(reversed(convolutions), reversed(there[:-1]), strict=True):
        kernel, border = conv.kernel_size[0], int(conv.padding[0])
        seen = [min(n, out + kernel - 1 - border) for n, out in zip((height, width), used, strict=True)]
        plans.append(Plan(conv.in_channels, conv.out_channels, seen[0], seen[1], used[0], used[1], kernel, border))
        used = tuple(2 * n for n in seen)
    return plans[::-1]


class Convolutions(SparseNetwork):
    """What networks of convolutions have in common: images as maps, and the dense gradients that rules read.

    Heirs set `tiles`, [tiles, H, C, W, lanes], for the images, `border`, their border, and `order`: layers as `wanted`
    has them, the one that sees the images first.
    """

    tiles: np.ndarray
    border: int
    order: dict[str, SparseConv]

    def _want(self, wanted: Wanted) -> None:
        """Room for dense gradients of all layers: `wanted` for all but the first, whose rows are too short for it."""
        first = next(iter(self.order.values()))
        self.every = SparseConv(torch.zeros(first.shape, dtype=self.dtype), torch.zeros(0),
                                torch.ones(first.shape, dtype=torch.bool), first.width, 0, first.lanes)
        self.wanted = wanted
        self.averages: dict[str, RunningAverage] = {
            name: RunningAverage(self._dense_gradients()[name], self.config.growth_beta) for name in self.averaged}

    def _put(self, images: np.ndarray, chosen: np.ndarray, offsets: np.ndarray, flips: np.ndarray,
             mirrored: bool) -> np.ndarray:
        """Maps [tiles, H, C, W, lanes] of so many images each."""
        tiles = self.tiles[:-(-len(chosen) // self.tiles.shape[4])]
        passes.load_images(images, chosen, offsets, flips, self.config.crop_pad, mirrored, self.scale, self.shift,
                           self.staged, self.border, tiles)
        return tiles

    def _wanted_at(self, step: int) -> Wanted:
        """What a step has to sum up besides; the sums are 0 then."""
        wanted = self.wanted._replace(yes=self._is_averaged(step) or self._is_ranked(step))
        for total in wanted.totals if wanted.yes else ():
            total[:] = 0
        return wanted

    def _is_averaged(self, step: int) -> bool:
        return bool(self.averages) and self._remembers(step)

    def _is_ranked(self, step: int) -> bool:
        return step in self.updates and "gradient" in self.needs

    def _keep_dense(self, step: int) -> None:
        """The dense gradients that are there after a step, for averages and for an update."""
        averaged, ranked = self._is_averaged(step), self._is_ranked(step)
        gradients = self._dense_gradients() if averaged or ranked else {}
        for name in self.averages if averaged else ():
            self.averages[name].add(gradients[name])
        if ranked:
            self.gradients = {name: gradients[name].contiguous().clone() for name in self.rewired}

    def _dense_gradients(self) -> dict[str, Tensor]:
        """Views of the last batch's, in the shape of every weight."""
        (first, start), *others = self.order.items()
        return {first: torch.from_numpy(self.every.gradient).reshape(start.shape)} | {
            name: torch.from_numpy(total).permute(0, 3, 1, 2).reshape(layer.shape)
            for (name, layer), total in zip(others, self.wanted.totals, strict=True)}


class SparseConvNet(Convolutions):
    """The ConvNet of one run. The same verbs as the dense engine."""

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int) -> None:
        model = models.build(config, classes=dataset.classes, image_shape=dataset.image_shape)
        start = Topology(config, models.maskable(model))
        convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
        head = model.get_submodule("fc")
        assert isinstance(head, nn.Linear)
        plans = planned(convolutions, head, dataset.image_shape)
        dtype = np.dtype(config.dtype)
        channels, height, width = dataset.image_shape
        whole = Plan(channels, 0, height, width, plans[0].out_height, plans[0].out_width, plans[0].kernel,
                     plans[0].border)  # images come whole, also where not all is used
        self.tiles = aligned((-(-config.batch_size // LANES), *whole.inputs()), dtype)
        self.memory = _memory(plans, dtype)
        widths = [self.tiles.shape[3], *(one.shape[2] for one in self.memory.maps)]
        layers = {name: SparseConv(weight, model.get_parameter(f"{name}.bias"), start.masks[name], w, delta.shape[2])
                  for (name, weight), w, delta in zip(start.weights.items(), widths, self.memory.deltas, strict=True)}
        super().__init__(config, dataset, total_steps, start, layers, mean=dataset.mean, std=dataset.std)
        self.order, self.border = layers, plans[0].border
        self._want(_dense(plans, dtype))

    def backward(self, images: Tensor, labels: Tensor, step: int) -> None:
        """Loss and gradients of a batch, and whatever dense gradient a coming update will read."""
        wanted = self._wanted_at(step)
        first, *others = self.order.values()
        every = self.every if wanted.yes else None
        layers = (first.begin(every), *(layer.begin() for layer in others))
        self.loss += passes.train(layers, images.numpy(), labels.numpy(), self.memory, wanted)
        first.finish(every)
        for layer in others:
            layer.finish()
        self._keep_dense(step)

    def _logits(self, batch: Tensor, count: int) -> np.ndarray:
        """[count, classes] of a batch."""
        layers = tuple(layer.begin() for layer in self.order.values())
        tiles = batch.numpy()
        logits = np.empty((len(tiles), self.dataset.classes, LANES), tiles.dtype)
        passes.classify(layers, tiles, self.memory, logits)
        return logits.transpose(0, 2, 1).reshape(-1, self.dataset.classes)[:count]


def _memory(plans: Sequence[Plan], dtype: np.dtype) -> passes.Memory:
    """Maps of one tile."""
    *convolutions, last, head = plans
    pooled = convolutions
    rooms = [_up(plan.out_width, COLUMNS) // 2 for plan in pooled] + [0]
    return passes.Memory(
        maps=tuple(aligned(plan.inputs(room), dtype) for plan, room in zip(plans[1:], rooms, strict=True)),
        gradients=tuple(aligned(plan.whole(plan.height, plan.width, plan.channels), dtype) for plan in plans[1:]),
        deltas=tuple(aligned(plan.deltas(), dtype) for plan in plans),
        codes=tuple(np.zeros((plan.out_height // 2, plan.outputs, -(-plan.out_width // COLUMNS), 2 * CODES), np.uint8)
                    for plan in pooled),
        plain=aligned(last.whole(last.out_height, last.out_width, last.outputs), dtype),
        logits=aligned(head.whole(1, 1, head.outputs), dtype),
        sizes=np.array([[plan.height, plan.width, plan.out_height, plan.out_width, plan.border, plan.delta_border]
                        for plan in plans]))


def _dense(plans: Sequence[Plan], dtype: np.dtype) -> Wanted:
    """Room for dense gradients."""
    seen = max(math.prod(plan.inputs()) for plan in plans[1:])
    outputs = max(LANES * plan.out_height * plan.out_width for plan in plans[1:])
    totals = tuple(np.zeros((plan.outputs, plan.kernel, plan.kernel, plan.channels), dtype) for plan in plans[1:])
    return Wanted(False, totals, np.empty(seen, dtype), np.empty(outputs, dtype), np.empty(outputs, np.uint32))
