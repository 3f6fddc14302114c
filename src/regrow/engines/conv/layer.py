"""A convolution's connections, and the same structure by input, as `kernels` reads them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from regrow.engines.conv.kernels import Wiring, reduce
from regrow.engines.conv.vectors import LANES
from regrow.engines.kernels import aligned, gather
from regrow.engines.sparse import Connections

ENOUGH = 16  # connections of an output in a group, on average: fewer are not worth another group


class Layer(NamedTuple):
    """What a pass over a tile needs of a layer. `nothing` [n_in] stands for the bias of a gradient, 0."""

    forward: Wiring
    backward: Wiring
    summed: Wiring  # whose gradients are summed up: `forward`, or every connection that there may be
    bias: np.ndarray
    nothing: np.ndarray
    sums: np.ndarray  # [connections of `summed`, lanes]
    bias_sums: np.ndarray  # [n_out, lanes]


class SparseConv(Connections):
    """A convolution of any kernel, or a linear layer, which is one of 1 x 1 inputs."""

    def __init__(self, weight: Tensor, bias: Tensor, mask: Tensor, width: int, dy_width: int, lanes: int = LANES,
                 channels: int | None = None) -> None:
        """width and dy_width are those of the maps of its inputs and its output gradients, in vectors of `lanes`.

        Given `channels`, connections come in groups that are from about so many channels.
        """
        self.kernel = (*weight.shape, 1, 1)[:4]
        self.width, self.dy_width, self.lanes, self.channels = width, dy_width, lanes, channels
        super().__init__(weight, bias, mask)
        self.bias_sums = aligned((self.n_out, lanes), self.dtype)
        self.nothing = np.zeros(self.kernel[1], self.dtype)

    def set_structure(self, mask: np.ndarray) -> None:
        """The connections of a boolean mask, with weights and momentum 0."""
        super().set_structure(mask)
        n_out, n_in, height, width = self.kernel
        output, channel, y, x = np.unravel_index(self.positions, self.kernel)
        self.sums = aligned((len(self.positions), self.lanes), self.dtype)
        self.order, self.forward = self._wired(output, n_out, channel, n_in, y, x, self.width)
        self.order_back, self.backward = self._wired(channel, n_in, output, n_out, height - 1 - y, width - 1 - x,
                                                     self.dy_width)

    def _wired(self, to: np.ndarray, n_to: int, of: np.ndarray, n_of: int, y: np.ndarray, x: np.ndarray,
               width: int) -> tuple[np.ndarray, Wiring]:
        """Connections from channels `of`, in a map `width` vectors wide, to channels `to`; and their order."""
        groups = max(1, min(-(-n_of // self.channels), len(to) // (n_to * ENOUGH))) if self.channels else 1
        key = of * groups // n_of * n_to + to
        order = np.argsort(key, kind="stable")
        return order.astype(np.uint32), Wiring(
            np.searchsorted(key[order], np.arange(groups * n_to + 1)),
            ((y * n_of + of) * width + x)[order].astype(np.uint32), aligned(self.weight.shape, self.dtype))

    def ready(self) -> Wiring:
        """For the way forward: the weights of now."""
        gather(self.weight, self.order, self.forward.weight)
        return self.forward

    def begin(self, every: SparseConv | None = None) -> Layer:
        """For a new batch: sums are 0, and the weights are in both orders.

        `every` is the same layer with all connections; gradients are then summed up for these.
        """
        summed = every or self
        summed.sums[:] = 0
        self.bias_sums[:] = 0
        gather(self.weight, self.order_back, self.backward.weight)
        return Layer(self.ready(), self.backward, summed.forward, self.bias, self.nothing, summed.sums, self.bias_sums)

    def finish(self, every: SparseConv | None = None) -> None:
        """Gradients from the sums; the same ones, bit for bit, with and without `every`."""
        summed = every or self
        reduce(summed.sums, summed.order, summed.gradient)
        reduce(self.bias_sums, np.arange(self.n_out, dtype=np.uint32), self.bias_gradient)
        if every:
            self.gradient[:] = every.gradient[self.positions]
