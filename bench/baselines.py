"""The alternatives to an engine of one's own: the same step with PyTorch's CSR matrices, with scipy's, and with
dense products by another library.

The first two start from a layer of the sparse engine, so all train the same network; their activations are
[features, images].
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

from regrow.config import RunConfig
from regrow.engines.dense import DenseEngine
from regrow.engines.sparse import SparseLinear

CHUNK = 8192  # connections whose gradient numpy forms at once: two gathers of 4 MB for 128 images


class _CsrLayer:
    """W and its transpose as CSR tensors; the values of W are the parameter, those of the transpose a copy."""

    def __init__(self, layer: SparseLinear) -> None:
        starts, rows, order = layer.by_input
        self.order = torch.from_numpy(order.astype(np.int64))
        self.matrix = _csr(layer.indptr, layer.indices, layer.weight.copy(), (layer.n_out, layer.n_in))
        self.transposed = _csr(starts, rows, layer.weight[order], (layer.n_in, layer.n_out))
        self.values, self.bias = self.matrix.values(), torch.from_numpy(layer.bias.copy())

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias[:, None], self.matrix, x)

    def backward(self, x: Tensor, dy: Tensor, first: bool) -> Tensor | None:
        self.values.grad = torch.sparse.sampled_addmm(self.matrix, dy, x.T, beta=0.0).values()
        self.bias.grad = dy.sum(1)
        if first:
            return None
        torch.index_select(self.values, 0, self.order, out=self.transposed.values())
        return self.transposed @ dy


class TorchCsr:
    """A plain step with torch.sparse: CSR products forward and back, sampled_addmm for the weight gradient."""

    def __init__(self, config: RunConfig, layers: Iterable[SparseLinear]) -> None:
        self.layers = [_CsrLayer(layer) for layer in layers]
        parameters = [p for layer in self.layers for p in (layer.values, layer.bias)]
        self.optimizer = torch.optim.SGD(parameters, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov,
                                         weight_decay=config.weight_decay, fused=True)

    @torch.no_grad()
    def step(self, images: Tensor, labels: Tensor) -> None:
        acts = [images.flatten(1).T.contiguous()]
        for layer in self.layers:
            y = layer.forward(acts[-1])
            acts.append(y if layer is self.layers[-1] else F.relu_(y))
        delta: Tensor | None = _loss_gradient(acts.pop(), labels)
        for layer, x in zip(reversed(self.layers), reversed(acts), strict=True):
            assert delta is not None
            delta = layer.backward(x, delta, layer is self.layers[0])
            if delta is not None:
                delta *= x > 0
        self.optimizer.step()

    def weights(self) -> list[np.ndarray]:
        return [layer.values.numpy() for layer in self.layers]


class Scipy:
    """A plain step with scipy.sparse: CSR times dense, and the gradient of existing connections chunk by chunk."""

    def __init__(self, config: RunConfig, layers: Iterable[SparseLinear]) -> None:
        self.config = config
        self.matrices, self.biases, self.rows = [], [], []
        for layer in layers:
            indptr, indices = layer.indptr.astype(np.int32), layer.indices.astype(np.int32)
            self.matrices.append(sparse.csr_array((layer.weight.copy(), indices, indptr), (layer.n_out, layer.n_in)))
            self.rows.append(np.repeat(np.arange(layer.n_out), np.diff(indptr)))
            self.biases.append(layer.bias.copy())
        self.buffers = [np.zeros_like(values) for values in (*self.weights(), *self.biases)]

    def step(self, images: Tensor, labels: Tensor) -> None:
        acts = [np.ascontiguousarray(images.flatten(1).numpy().T)]
        for matrix, bias in zip(self.matrices, self.biases, strict=True):
            y = matrix @ acts[-1] + bias[:, None]
            acts.append(y if matrix is self.matrices[-1] else np.maximum(y, 0, out=y))
        delta = _loss_gradient(torch.from_numpy(acts.pop()), labels).numpy()
        gradients: list[np.ndarray] = []
        bias_gradients: list[np.ndarray] = []
        for index in range(len(acts) - 1, -1, -1):
            matrix, x = self.matrices[index], acts[index]
            gradients.insert(0, _sampled(delta, x, self.rows[index], matrix.indices))
            bias_gradients.insert(0, delta.sum(1))
            if index:
                delta = (matrix.T @ delta) * (x > 0)
        for value, gradient, buffer in zip((*self.weights(), *self.biases), (*gradients, *bias_gradients),
                                           self.buffers, strict=True):
            self._sgd(value, gradient, buffer)

    def _sgd(self, value: np.ndarray, gradient: np.ndarray, buffer: np.ndarray) -> None:
        config = self.config
        gradient += config.weight_decay * value
        buffer *= config.momentum
        buffer += gradient
        value -= config.lr * (gradient + config.momentum * buffer if config.nesterov else buffer)

    def weights(self) -> list[np.ndarray]:
        return [matrix.data for matrix in self.matrices]


class _OneDnnLinear(torch.autograd.Function):
    """x W^T and its two gradients by oneDNN. PyTorch takes MKL's products, whose widest vectors are for processors by
    Intel; oneDNN looks at what the processor can do."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor]:
        x, weight = ctx.saved_tensors
        return _onednn(dy, weight.T) if ctx.needs_input_grad[0] else None, _onednn(dy.T, x.T)


def take_onednn(engine: DenseEngine) -> None:
    """Let the linear layers of an engine's network take the products of oneDNN."""
    for module in engine.model.modules():
        if isinstance(module, nn.Linear):
            module.forward = partial(_linear, module)  # type: ignore[method-assign]


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    return _OneDnnLinear.apply(x, layer.weight) + layer.bias


def _onednn(a: Tensor, b: Tensor) -> Tensor:
    """a b^T."""
    return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")


def _csr(indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> Tensor:
    starts, columns = (torch.from_numpy(a.astype(np.int32)) for a in (indptr, indices))  # 32 bits are what MKL takes
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")  # that CSR is in beta, and that invariants go unchecked
        return torch.sparse_csr_tensor(starts, columns, torch.from_numpy(values), shape)


def _loss_gradient(logits: Tensor, labels: Tensor) -> Tensor:
    """Of the mean cross-entropy, by logits [classes, images]."""
    gradient = logits.softmax(0)
    gradient[labels, torch.arange(len(labels))] -= 1
    return gradient.div_(len(labels))


def _sampled(dy: np.ndarray, x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    gradient = np.empty(len(rows), dy.dtype)
    for first in range(0, len(rows), CHUNK):
        part = slice(first, first + CHUNK)
        gradient[part] = np.einsum("pb,pb->p", dy.take(rows[part], 0), x.take(columns[part], 0))
    return gradient
