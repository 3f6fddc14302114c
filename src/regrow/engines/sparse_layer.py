"""One linear layer that exists only where there is a connection: CSR arrays, forward and backward on tiles."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from regrow.engines import sparse_kernels as kernels
from regrow.engines import sparse_products as products
from regrow.engines.sparse_kernels import aligned
from regrow.topology import Rewiring


class SparseLinear:
    """Weights, gradients and momentum of the connections, in row-major order, and the same structure by input."""

    def __init__(self, weight: Tensor, bias: Tensor, mask: Tensor) -> None:
        self.n_out, self.n_in = weight.shape
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
        self.indices = (self.positions % self.n_in).astype(np.uint32)
        self.indptr = np.searchsorted(self.positions, np.arange(self.n_out + 1) * self.n_in).astype(np.uint32)
        self.weight, self.buffer, self.gradient, self.weight_by_input = (
            aligned((len(self.positions),), self.dtype) for _ in range(4))
        self.by_input = kernels.transpose(self.indptr, self.indices, self.n_in)

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

    def forward(self, x: np.ndarray, y: np.ndarray) -> None:
        """y = W x + b."""
        kernels.fill_bias(self.bias, y)
        products.multiply(self.indptr, self.indices, self.weight, x, y)

    def transposed(self, y: np.ndarray, bias: np.ndarray, x: np.ndarray) -> None:
        """x = W^T y + bias."""
        starts, rows, order = self.by_input
        kernels.gather(self.weight, order, self.weight_by_input)
        kernels.fill_bias(bias, x)
        products.multiply(starts, rows, self.weight_by_input, y, x)

    def backward(self, x: np.ndarray, dy: np.ndarray, dx: np.ndarray | None) -> None:
        """Gradients of the existing connections and the bias, and dx unless it is None."""
        products.sampled_product(self.indptr, self.indices, dy, x, self.gradient)
        products.sum_images(dy, self.bias_gradient)
        if dx is not None:
            starts, rows, order = self.by_input
            kernels.gather(self.weight, order, self.weight_by_input)
            dx[:] = 0
            products.multiply(starts, rows, self.weight_by_input, dy, dx)

    def dense(self, values: np.ndarray) -> Tensor:
        """Values of the connections as a dense tensor, 0 elsewhere."""
        full = np.zeros(self.n_out * self.n_in, self.dtype)
        full[self.positions] = values
        return torch.from_numpy(full.reshape(self.n_out, self.n_in))

