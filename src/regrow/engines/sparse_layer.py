"""One linear layer that exists only where there is a connection: CSR arrays, forward and backward on tiles."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from regrow.engines import sparse_kernels as kernels
from regrow.engines.sparse_kernels import aligned


class SparseLinear:
    """Weights, gradients and momentum of the connections, in row-major order, and the same structure by input."""

    def __init__(self, weight: Tensor, bias: Tensor, mask: Tensor) -> None:
        self.n_out, self.n_in = weight.shape
        self.dtype = weight.numpy(force=True).dtype
        self.bias = bias.numpy(force=True).copy()
        self.bias_buffer = np.zeros_like(self.bias)
        self.bias_gradient = np.zeros_like(self.bias)
        self.set_structure(mask.numpy(force=True), weight.numpy(force=True), np.zeros_like(weight.numpy(force=True)))

    def set_structure(self, mask: np.ndarray, weight: np.ndarray, buffer: np.ndarray) -> None:
        """Connections from a boolean mask, their values from dense arrays."""
        flat = np.flatnonzero(mask)
        self.positions = flat
        self.indices = (flat % self.n_in).astype(np.uint32)
        self.indptr = np.searchsorted(flat, np.arange(self.n_out + 1) * self.n_in).astype(np.uint32)
        self.weight = _aligned_copy(weight.reshape(-1)[flat])
        self.buffer = _aligned_copy(buffer.reshape(-1)[flat])
        self.gradient = aligned((len(flat),), self.dtype)
        self.by_input = kernels.transpose(self.indptr, self.indices, self.n_in)
        self.weight_by_input = aligned((len(flat),), self.dtype)

    def forward(self, x: np.ndarray, y: np.ndarray) -> None:
        """y = W x + b."""
        kernels.fill_bias(self.bias, y)
        kernels.multiply(self.indptr, self.indices, self.weight, x, y)

    def backward(self, x: np.ndarray, dy: np.ndarray, dx: np.ndarray | None) -> None:
        """Gradients of the existing connections and the bias, and dx unless it is None."""
        kernels.sampled_product(self.indptr, self.indices, dy, x, self.gradient)
        self.bias_gradient[:] = dy.sum(axis=(0, 2))
        if dx is not None:
            starts, rows, order = self.by_input
            kernels.gather(self.weight, order, self.weight_by_input)
            dx[:] = 0
            kernels.multiply(starts, rows, self.weight_by_input, dy, dx)

    def dense(self, values: np.ndarray) -> Tensor:
        """Values of the connections as a dense tensor, 0 elsewhere."""
        full = np.zeros(self.n_out * self.n_in, self.dtype)
        full[self.positions] = values
        return torch.from_numpy(full.reshape(self.n_out, self.n_in))


def _aligned_copy(values: np.ndarray) -> np.ndarray:
    copy = aligned(values.shape, values.dtype)
    copy[:] = values
    return copy
