"""The sparse engine of networks with batch normalisation: VGG-16 and the residual networks for small images.

A unit is a convolution with its normalisation. Units are worked off one by one, each over the whole batch, as means and
variances are those of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from regrow import models
from regrow.config import RunConfig
from regrow.data import Dataset
from regrow.engines.conv import head, rows
from regrow.engines.conv.batchnorm import Norm
from regrow.engines.conv.gradients import Wanted
from regrow.engines.conv.head import Head
from regrow.engines.conv.kernels import COLUMNS
from regrow.engines.conv.layer import SparseConv
from regrow.engines.conv.network import Convolutions
from regrow.engines.conv.rows import ADDED, CUT, FIRST, KEPT, READY, UNPOOLED, Sizes, Target
from regrow.engines.conv.units import BORDER, Inputs, Unit
from regrow.engines.conv.vectors import WIDE
from regrow.engines.kernels import aligned
from regrow.topology import Topology

CHANNELS = 256 // WIDE  # what a block of outputs sees of so many fits the first-level cache


class SparseNormed(Convolutions):
    """The network of one run. The same verbs as the dense engine."""

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int) -> None:
        model = models.build(config, classes=dataset.classes, image_shape=dataset.image_shape)
        start = Topology(config, models.maskable(model))
        self.model_dtype, self.count = np.dtype(config.dtype), -(-config.batch_size // WIDE)
        channels, height, _ = dataset.image_shape
        self.tiles = self._maps(channels, height, self.count)
        self.units: dict[str, Unit] = {}
        self.shared: dict[tuple, np.ndarray] = {}
        self.last = _built(self, model, start)
        self.beside = {id(unit.inputs): self._beside(unit.inputs) for unit in self.units.values()}
        last = start.weights["fc"]
        self.mean, self.logits, self.dlogits, self.dmean = (
            aligned((2, n, COLUMNS, WIDE), self.model_dtype)
            for n in (last.shape[1], last.shape[0], last.shape[0], last.shape[1]))
        self.head = SparseConv(last, model.get_parameter("fc.bias"), start.masks["fc"], 1, 1, WIDE)
        layers = {name: unit.conv for name, unit in self.units.items()} | {"fc": self.head}
        super().__init__(config, dataset, total_steps, start, {name: layers[name] for name in start.weights},
                         mean=dataset.mean, std=dataset.std)
        self.order, self.border = layers, BORDER
        self._want(self._wanted(layers))

    # ---- memory ----

    def _maps(self, channels: int, size: int, count: int) -> np.ndarray:
        return aligned((count, size + 2 * BORDER, channels, max(size, COLUMNS) + 2 * BORDER, WIDE), self.model_dtype)

    def _scratch(self, what: str, height: int, channels: int, width: int) -> np.ndarray:
        """A map that is shared by all who ask for this."""
        key = what, height, channels, width
        if key not in self.shared:
            self.shared[key] = aligned((height, channels, width, WIDE), self.model_dtype)
        return self.shared[key]

    def _gradients(self, role: str, size: int, channels: int) -> np.ndarray:
        key = role, size, channels
        if key not in self.shared:
            self.shared[key] = aligned((self.count, size, channels, size, WIDE), self.model_dtype)
        return self.shared[key]

    def scratch_inputs(self, of: Unit) -> Inputs:
        """What is made anew wherever it is read."""
        _, size, channels, _, _ = of.y.shape
        key = "inputs", size, channels
        if key not in self.shared:
            self.shared[key] = self._maps(channels, size, 1)
        return Inputs(self.shared[key], of)

    def kept_inputs(self, of: Unit, *, pooled: bool = False, shortcut: Inputs | Unit | None = None) -> Inputs:
        """What is kept for the way back, or for a shortcut."""
        _, size, channels, _, _ = of.y.shape
        return Inputs(self._maps(channels, size // 2 if pooled else size, self.count), of, pooled, shortcut)

    def add(self, name: str, conv: nn.Conv2d, norm: nn.Module, start: Topology, inputs: Inputs, role: str) -> Unit:
        """A unit behind these inputs; its gradient is kept where all units of a role and shape keep theirs."""
        assert isinstance(norm, nn.BatchNorm2d)
        kernel, step, border = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
        size, n_out = (inputs.maps.shape[1] - 2 * BORDER) // step, conv.out_channels
        edge = kernel - 1 - border
        dy = self._scratch(f"dy{step}", size * step + 2 * edge + 2, n_out, max(size * step, COLUMNS) + 2 * edge)
        weight = start.weights[name]
        sparse = SparseConv(weight, torch.zeros(0, dtype=weight.dtype), start.masks[name], inputs.maps.shape[3],
                            dy.shape[2], WIDE, CHANNELS)
        y = aligned((self.count, size, n_out, size, WIDE), self.model_dtype)
        seen = [unit.inputs for unit in self.units.values()]
        unit = Unit(sparse, Norm(norm), inputs, Sizes(size, size, step, BORDER - border, edge), y, dy,
                    self._gradients(role, size, n_out), all(inputs is not other for other in seen))
        self.units[name] = unit
        return unit

    def _wanted(self, layers: Mapping[str, SparseConv]) -> Wanted:
        """Room for dense gradients of all layers but the first."""
        shapes = [layer.kernel for layer in list(layers.values())[1:]]
        totals = tuple(np.zeros((n_out, *kernel, n_in), self.model_dtype) for n_out, n_in, *kernel in shapes)
        seen = max(unit.inputs.maps[0].size for unit in self.units.values())
        most = WIDE * max(unit.sizes.height * unit.sizes.width for unit in self.units.values())
        return Wanted(False, totals, np.empty(seen, self.model_dtype), np.empty(most, self.model_dtype),
                      np.empty(most, np.uint32))

    # ---- a step ----

    def backward(self, images: Tensor, labels: Tensor, step: int) -> None:
        """Loss and gradients of a batch, and whatever dense gradient a coming update will read."""
        wanted = self._wanted_at(step)
        count, units = len(labels), list(self.units.values())
        self._forward(count, training=True)
        source, of = self.last.source(), self.last.of
        assert of is not None
        end = Head(self.head.begin(), self.mean, self.logits, self.dlogits, self.dmean)
        target = Target(CUT, of.dz, of.dz, of.totals)
        _, size, channels, _, _ = of.y.shape
        dx = self._scratch("dx", size, channels, max(size, COLUMNS))
        self.loss += head.turn(source, end, labels.numpy(), dx, target, wanted, len(units) - 1)
        self.head.finish()
        if isinstance(self.last.shortcut, Unit):
            rows.add_products(of.dz, self.last.shortcut.y, count, self.last.shortcut.totals)
        for k in range(len(units) - 1, -1, -1):
            self._back(units[k], count, wanted, k - 1)
        self._keep_dense(step)

    def _forward(self, count: int, *, training: bool) -> None:
        """All units' outputs of the images that are loaded."""
        for unit in self.units.values():
            source = unit.inputs.source()
            if not unit.first:
                source = source._replace(how=READY)
            rows.forward(unit.conv.ready(), source, unit.sizes, unit.y, count, unit.norm.totals)
            if training:
                unit.norm.of_batch(count * unit.sizes.height * unit.sizes.width)
            else:
                unit.norm.of_running()

    def _back(self, unit: Unit, count: int, wanted: Wanted, k: int) -> None:
        """One unit: gradients of its connections and of its normalisation, and that of what it sees."""
        places = count * unit.sizes.height * unit.sizes.width
        coefficients = unit.norm.coefficients(unit.totals, places, count - (-(-count // WIDE) - 1) * WIDE)
        of, inputs = unit.inputs.of, unit.inputs
        every = self.every if wanted.yes and of is None else None
        layer = unit.conv.begin(every)
        source = inputs.source()
        if of is None:
            target = Target(FIRST, unit.dz, unit.dz, np.zeros((2, inputs.maps.shape[2])))
        elif not unit.first:
            target = Target(KEPT, of.dz, of.dz, np.zeros_like(of.totals))
        elif inputs.pooled:
            target = Target(UNPOOLED, of.dz, of.dz, of.totals)
        else:
            beside = self.beside[id(inputs)]
            target = Target(CUT if beside is None else ADDED, of.dz, of.dz if beside is None else beside, of.totals)
        dx = self._scratch("dx", unit.sizes.height * unit.sizes.step, inputs.maps.shape[2],
                           max(unit.sizes.width * unit.sizes.step, COLUMNS))
        rows.backward(layer, source, unit.sizes, unit.y, unit.dz, coefficients, unit.dy, dx, target, count,
                      wanted._replace(yes=wanted.yes and of is not None), max(k, 0))
        unit.conv.finish(every)
        if unit.first and inputs.shortcut is not None and isinstance(inputs.shortcut, Unit) and of is not None:
            rows.add_products(of.dz, inputs.shortcut.y, count, inputs.shortcut.totals)

    def _beside(self, inputs: Inputs) -> np.ndarray | None:
        """The gradient that comes to a unit's inputs along a shortcut, with or without a convolution in it."""
        after = [other.inputs for other in self.units.values()] + [self.last]
        for other in after:
            if other.shortcut is inputs and other.of is not None:
                return other.of.dz
        shared = sum(other.inputs is inputs for other in self.units.values()) > 1
        return inputs.of.dz if shared and inputs.of is not None else None

    def step(self) -> None:
        """One step of SGD on connections, bias and normalisation."""
        super().step()
        for unit in self.units.values():
            norm = unit.norm
            self._descend(norm.gamma, norm.gamma_gradient, norm.gamma_buffer)
            self._descend(norm.beta, norm.beta_gradient, norm.beta_buffer)

    def _logits(self, batch: Tensor, count: int) -> np.ndarray:
        """[count, classes] of a batch."""
        self._forward(count, training=False)
        end = Head(self.head.begin(), self.mean, self.logits, self.dlogits, self.dmean)
        found = head.classified(self.last.source(), end, count)
        return found.transpose(0, 2, 1).reshape(-1, found.shape[1])[:count]

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs."""
        return super().state() | {f"norm/{name}/{part}": torch.from_numpy(getattr(unit.norm, part))
                                  for name, unit in self.units.items() for part in Norm.PARTS}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        super().load_state(state)
        for name, unit in self.units.items():
            for part in Norm.PARTS:
                getattr(unit.norm, part)[:] = state[f"norm/{name}/{part}"].numpy()


def _built(network: SparseNormed, model: nn.Module, start: Topology) -> Inputs:
    """All units of the model, and what its head sees."""
    parts = dict(model.named_modules())
    inputs = Inputs(network.tiles)
    if "stage1" not in parts:
        convs = [(name, part) for name, part in parts.items() if isinstance(part, nn.Conv2d)]
        for k, (name, conv) in enumerate(convs):
            unit = network.add(name, conv, parts[name.replace("conv", "bn")], start, inputs, f"dz{k % 2}")
            pooled = f"pool{name[4]}" in parts and (k + 1 == len(convs) or convs[k + 1][0][4] != name[4])
            inputs = network.kept_inputs(unit, pooled=True) if pooled else network.scratch_inputs(unit)
        return inputs
    stem = parts["conv1"]
    assert isinstance(stem, nn.Conv2d)
    inputs = network.kept_inputs(network.add("conv1", stem, parts["bn1"], start, inputs, "block"))
    for name, block in parts.items():
        if isinstance(block, models.BasicBlock):
            inner = network.add(f"{name}.conv1", block.conv1, block.bn1, start, inputs, "inner")
            outer = network.add(f"{name}.conv2", block.conv2, block.bn2, start, network.scratch_inputs(inner), "block")
            beside: Inputs | Unit = inputs
            if not isinstance(block.shortcut, nn.Identity):
                projection, norm = (parts[f"{name}.shortcut.{part}"] for part in ("conv", "bn"))
                assert isinstance(projection, nn.Conv2d)
                beside = network.add(f"{name}.shortcut.conv", projection, norm, start, inputs, "block")
            inputs = network.kept_inputs(outer, shortcut=beside)
    return inputs
