"""The inner loops of the sparse engine: work proportional to the connections that exist.

Activations are feature-major in tiles of 64 images, [tiles, features, 64]: one feature's 64 numbers are contiguous, so
every connection is a multiply-add of whole vectors, and a tile of the input layer stays in the second-level cache.
Weights are in CSR order, with 32-bit indices: 64-bit ones halve the speed. Eight connections share one pass over the
output forward, four share one in the sampled product; that is what keeps the arithmetic units busy.
"""

from __future__ import annotations

import numpy as np
from numba import njit

TILE = 64  # images


def aligned(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """Zeros that begin at a multiple of 64 bytes, as vector loads like it."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + size].view(dtype).reshape(shape)


@njit(fastmath=True, cache=True, nogil=True)
def multiply(indptr, indices, weight, x, y):
    """y[t, i] += sum over the connections (i, j) of weight * x[t, j]; x [tiles, n_in, 64], y [tiles, n_out, 64]."""
    for t in range(x.shape[0]):
        for i in range(indptr.shape[0] - 1):
            out = y[t, i]
            p, end = indptr[i], indptr[i + 1]
            while p + 8 <= end:
                w0, w1, w2, w3 = weight[p], weight[p + 1], weight[p + 2], weight[p + 3]
                w4, w5, w6, w7 = weight[p + 4], weight[p + 5], weight[p + 6], weight[p + 7]
                x0, x1, x2, x3 = x[t, indices[p]], x[t, indices[p + 1]], x[t, indices[p + 2]], x[t, indices[p + 3]]
                x4, x5, x6, x7 = x[t, indices[p + 4]], x[t, indices[p + 5]], x[t, indices[p + 6]], x[t, indices[p + 7]]
                for b in range(TILE):
                    out[b] += (w0 * x0[b] + w1 * x1[b] + w2 * x2[b] + w3 * x3[b]
                               + w4 * x4[b] + w5 * x5[b] + w6 * x6[b] + w7 * x7[b])
                p += 8
            while p < end:
                w0, x0 = weight[p], x[t, indices[p]]
                for b in range(TILE):
                    out[b] += w0 * x0[b]
                p += 1


@njit(fastmath=True, cache=True, nogil=True)
def sampled_product(indptr, indices, dy, x, gradient):
    """gradient[p] = sum over images of dy[i] * x[j] for every connection p = (i, j), and for no other position."""
    zero = gradient.dtype.type(0)
    gradient[:] = zero
    for t in range(x.shape[0]):
        for i in range(indptr.shape[0] - 1):
            d = dy[t, i]
            p, end = indptr[i], indptr[i + 1]
            while p + 4 <= end:
                x0, x1, x2, x3 = x[t, indices[p]], x[t, indices[p + 1]], x[t, indices[p + 2]], x[t, indices[p + 3]]
                s0, s1, s2, s3 = zero, zero, zero, zero
                for b in range(TILE):
                    v = d[b]
                    s0 += v * x0[b]
                    s1 += v * x1[b]
                    s2 += v * x2[b]
                    s3 += v * x3[b]
                gradient[p] += s0
                gradient[p + 1] += s1
                gradient[p + 2] += s2
                gradient[p + 3] += s3
                p += 4
            while p < end:
                x0 = x[t, indices[p]]
                s0 = zero
                for b in range(TILE):
                    s0 += d[b] * x0[b]
                gradient[p] += s0
                p += 1


@njit(fastmath=True, cache=True, nogil=True)
def fill_bias(bias, y):
    """y[t, i, :] = bias[i]."""
    for t in range(y.shape[0]):
        for i in range(bias.shape[0]):
            y[t, i, :] = bias[i]


@njit(fastmath=True, cache=True, nogil=True)
def sum_images(dy, total):
    """total[i] = sum over all images of dy[:, i, :]."""
    for i in range(dy.shape[1]):
        s = dy.dtype.type(0)
        for t in range(dy.shape[0]):
            row = dy[t, i]
            for b in range(TILE):
                s += row[b]
        total[i] = s


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


@njit(inline="always")
def _reflected(position, n):
    return (n - 1) - abs((n - 1) - abs(position))


@njit(fastmath=True, cache=True, nogil=True)
def load_tiles(images, chosen, offsets, flips, pad, mirrored, scale, shift, tiles):
    """Images straight into tiles: gathered, cropped, flipped and normalised in one pass.

    images uint8 [N, C, H, W]; chosen [B]; offsets [B, 2] and flips [B] as in data.pad_crop_flip, or empty; scale and
    shift [C]. tiles [tiles, features, 64]: the features of a grey image are repeated until they are all filled, places
    past the last image are 0. A row of pixels of 64 images at a time stays in the first-level cache. Unsigned indices
    spare a check for negative ones at every pixel, which halves the time.
    """
    _, channels, height, width = images.shape
    augmented = offsets.shape[0] > 0
    copies = tiles.shape[1] // (channels * height * width)
    size = channels * height * width
    row = np.zeros((width, TILE), np.uint8)
    for t in range(tiles.shape[0]):
        filled = min(TILE, chosen.shape[0] - t * TILE)
        for c in range(channels):
            for y in range(height):
                row[:] = 0
                for b in range(filled):
                    n = t * TILE + b
                    dy, dx = (offsets[n, 0] - pad, offsets[n, 1] - pad) if augmented else (0, 0)
                    if mirrored:
                        source = images[chosen[n], c, _reflected(y + dy, height)]
                        for x in range(width):
                            row[width - 1 - x if flips[n] else x, b] = source[_reflected(x + dx, width)]
                        continue
                    if y + dy < 0 or y + dy >= height:
                        continue
                    lo = max(0, -dx)
                    line = images[chosen[n], c, y + dy, lo + dx:min(width, width - dx) + dx]
                    column = np.uintp(b)
                    if augmented and flips[n]:
                        last = np.uintp(width - 1 - lo)
                        for x in range(np.uintp(line.shape[0])):
                            row[last - x, column] = line[x]
                    else:
                        start = np.uintp(lo)
                        for x in range(np.uintp(line.shape[0])):
                            row[start + x, column] = line[x]
                first = (c * height + y) * width
                for x in range(width):
                    out = tiles[t, first + x]
                    pixels = row[x]
                    s, m = scale[c], shift[c]
                    for b in range(TILE):
                        out[b] = pixels[b] * s + m
        if filled < TILE:
            tiles[t, :size, filled:] = 0
        for copy in range(1, copies):
            tiles[t, copy * size:(copy + 1) * size] = tiles[t, :size]
