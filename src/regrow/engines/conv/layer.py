"""A convolution's connections, and the same structure by input, as `kernels` reads them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from regrow.engines.conv.kernels import Wiring, reduce
from regrow.engines.conv.vectors import LANES
from regrow.engines.kernels import aligned, gather
from regrow.engines.sparse import Connections


class Layer(NamedTuple):
    """What a pass over a tile needs of a layer. `nothing` [n_in] stands for the bias of a gradient, 0."""

    forward: Wiring
    backward: Wiring
    summed: Wiring  # whose gradients are summed up: `forward`, or every connection that there may be
    bias: np.ndarray
    nothing: np.ndarray
    sums: np.ndarray  # [connections of `summed`, 8]
    bias_sums: np.ndarray  # [n_out, 8]


def offsets(positions: np.ndarray, shape: tuple[int, ...], width: int) -> np.ndarray:
    """Where the inputs of connections are, from the corner of what an output sees, in a map `width` vectors wide.

    positions are places in a weight of `shape` (n_out, n_in, height, width).
    """
    _, channel, y, x = np.unravel_index(positions, shape)
    return ((y * shape[1] + channel) * width + x).astype(np.uint32)


class SparseConv(Connections):
    """A convolution of any kernel, or a linear layer, which is one of 1 x 1 inputs."""

    def __init__(self, weight: Tensor, bias: Tensor, mask: Tensor, width: int, dy_width: int) -> None:
        """width and dy_width are those of the maps of its inputs and its output gradients, in vectors."""
        self.kernel = (*weight.shape, 1, 1)[:4]
        self.width, self.dy_width = width, dy_width
        super().__init__(weight, bias, mask)
        self.bias_sums = aligned((self.n_out, LANES), self.dtype)
        self.nothing = np.zeros(self.kernel[1], self.dtype)

    def set_structure(self, mask: np.ndarray) -> None:
        """The connections of a boolean mask, with weights and momentum 0."""
        super().set_structure(mask)
        n_out, n_in, height, width = self.kernel
        output, channel, y, x = np.unravel_index(self.positions, self.kernel)
        self.sums = aligned((len(self.positions), LANES), self.dtype)
        self.weight_by_input = aligned(self.weight.shape, self.dtype)
        self.order = np.argsort(channel, kind="stable").astype(np.uint32)
        back = ((height - 1 - y) * n_out + output) * self.dy_width + width - 1 - x
        self.forward = Wiring(np.searchsorted(output, np.arange(n_out + 1)),
                              offsets(self.positions, self.kernel, self.width), self.weight)
        self.backward = Wiring(np.searchsorted(channel[self.order], np.arange(n_in + 1)),
                               back[self.order].astype(np.uint32), self.weight_by_input)

    def begin(self, every: SparseConv | None = None) -> Layer:
        """For a new batch: sums are 0, and the weights are in both orders.

        `every` is the same layer with all connections; gradients are then summed up for these.
        """
        summed = every or self
        summed.sums[:] = 0
        self.bias_sums[:] = 0
        gather(self.weight, self.order, self.weight_by_input)
        return Layer(self.forward, self.backward, summed.forward, self.bias, self.nothing, summed.sums, self.bias_sums)

    def finish(self, every: SparseConv | None = None) -> None:
        """Gradients from the sums; the same ones, bit for bit, with and without `every`."""
        summed = every or self
        reduce(summed.sums, summed.gradient)
        reduce(self.bias_sums, self.bias_gradient)
        if every:
            self.gradient[:] = every.gradient[self.positions]
