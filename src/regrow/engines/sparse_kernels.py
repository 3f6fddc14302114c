"""The sparse engine's small loops: what happens to every neuron or connection once a step, beside `sparse_products`."""

from __future__ import annotations

import numpy as np
from numba import njit

from regrow.engines.sparse_products import TILE


def aligned(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """Zeros that begin at a multiple of 64 bytes, as vector loads like it."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + size].view(dtype).reshape(shape)


@njit(fastmath=True, cache=True, nogil=True)
def fill_bias(bias, y):
    """y[t, i, :] = bias[i]."""
    for t in range(y.shape[0]):
        for i in range(bias.shape[0]):
            y[t, i, :] = bias[i]


@njit(fastmath=True, cache=True, nogil=True)
def relu(y):
    """max(y, 0), in place."""
    zero = y.dtype.type(0)
    for t in range(y.shape[0]):
        for i in range(y.shape[1]):
            row = y[t, i]
            for b in range(TILE):
                row[b] = row[b] if row[b] > zero else zero


@njit(fastmath=True, cache=True, nogil=True)
def relu_backward(y, dy):
    """dy = 0 where the unit did not fire, in place."""
    zero = y.dtype.type(0)
    for t in range(y.shape[0]):
        for i in range(y.shape[1]):
            row, d = y[t, i], dy[t, i]
            for b in range(TILE):
                d[b] = d[b] if row[b] > zero else zero


@njit(cache=True, nogil=True)
def cross_entropy(logits, labels, dlogits):
    """Mean loss over the images and its gradient; images past len(labels) get gradient 0."""
    count = labels.shape[0]
    scale = logits.dtype.type(1.0 / count)
    classes = logits.shape[1]
    loss = 0.0
    dlogits[:] = logits.dtype.type(0)
    for n in range(count):
        t, b = n // TILE, n % TILE
        top = logits[t, 0, b]
        for c in range(1, classes):
            top = max(top, logits[t, c, b])
        total = logits.dtype.type(0)
        for c in range(classes):
            dlogits[t, c, b] = np.exp(logits[t, c, b] - top)
            total += dlogits[t, c, b]
        loss += np.log(total) - (logits[t, labels[n], b] - top)
        for c in range(classes):
            dlogits[t, c, b] *= scale / total
        dlogits[t, labels[n], b] -= scale
    return loss / count


@njit(fastmath=True, cache=True, nogil=True)
def gather(values, order, out):
    """out = values[order]."""
    for p in range(order.shape[0]):
        out[p] = values[order[p]]


@njit(fastmath=True, cache=True, nogil=True)
def sgd(weight, gradient, buffer, lr, momentum, weight_decay, nesterov):
    """One step of SGD with momentum on the connections that exist, as torch.optim.SGD defines it. In place.

    The numbers come as arrays of one element of the weights' type, so that single precision stays single.
    """
    step, mu, decay = lr[0], momentum[0], weight_decay[0]
    for p in range(weight.shape[0]):
        g = gradient[p] + decay * weight[p]
        buffer[p] = mu * buffer[p] + g
        weight[p] -= step * (g + mu * buffer[p] if nesterov else buffer[p])


@njit(cache=True, nogil=True)
def transpose(indptr, indices, n_in):
    """The same structure by input: indptr [n_in + 1], row of every entry, and its place in CSR order."""
    n_out = indptr.shape[0] - 1
    starts = np.zeros(n_in + 1, np.uint32)
    for p in range(indices.shape[0]):
        starts[indices[p] + 1] += np.uint32(1)
    for j in range(n_in):
        starts[j + 1] += starts[j]
    place = starts[:-1].copy()
    rows = np.empty(indices.shape[0], np.uint32)
    order = np.empty(indices.shape[0], np.uint32)
    for i in range(n_out):
        for p in range(indptr[i], indptr[i + 1]):
            q = place[indices[p]]
            rows[q] = i
            order[q] = p
            place[indices[p]] = q + np.uint32(1)
    return starts, rows, order
