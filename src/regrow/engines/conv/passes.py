"""A tile of eight images through the ConvNet, forwards and backwards in one go: nothing but sums leaves it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from regrow.engines.conv.gradients import add_dense_gradient
from regrow.engines.conv.kernels import add_gradients, add_gradients_of_pooled, convolve, convolve_and_pool
from regrow.engines.conv.means import average, spread
from regrow.engines.conv.vectors import LANES
from regrow.engines.kernels import SIDE, TILE, stage_tile, transpose_bytes
from regrow.jit import kernel


class Memory(NamedTuple):
    """Maps [H, C, W, 8] of one tile, for layers k = 0, 1, ...; a layer's map has its border of zeros."""

    maps: tuple[np.ndarray, ...]  # inputs of layers 1, 2, ...
    gradients: tuple[np.ndarray, ...]  # of these, without a border
    deltas: tuple[np.ndarray, ...]  # gradients of every layer's outputs, with the border that they need
    codes: tuple[np.ndarray, ...]  # of every layer that is pooled, see convolve_and_pool
    plain: np.ndarray  # outputs of the convolution that is averaged, before ReLU
    logits: np.ndarray
    sizes: np.ndarray  # int64 [layers, 6]: height and width of inputs and of outputs, borders of input and of delta


@kernel()
def load_images(images, chosen, offsets, flips, pad, mirrored, scale, shift, staged, border, tiles):
    """Chosen images into maps [tiles, H, C, W, lanes] with a border; the other arguments as in kernels.load_tiles.

    Channels are repeated until all are filled, places past the last image are 0.
    """
    _, channels, height, width = images.shape
    line, plane = width + 2 * pad, (width + 2 * pad) * (height + 2 * pad)
    shades = scale.shape[0]
    row = np.empty((max(width, SIDE), TILE), np.uint8)
    starts = np.zeros(TILE, np.int64)
    groups, lanes = TILE // LANES, tiles.shape[4]
    for t in range(-(-chosen.shape[0] // TILE)):
        filled = stage_tile(images, chosen, offsets, flips, pad, mirrored, staged, t, starts)
        for c in range(channels):
            for y in range(height):
                for x in range(0, width, SIDE):
                    x = max(0, min(x, width - SIDE))  # the last ones may overlap
                    transpose_bytes(row, np.int64(x), staged, starts, np.int64(c * plane + y * line + x))
                for channel in range(c, tiles.shape[2], channels):
                    s, m = scale[channel % shades], shift[channel % shades]
                    for g in range(min(groups, tiles.shape[0] * lanes // LANES - t * groups)):
                        place = t * TILE + g * LANES
                        out, first = tiles[place // lanes, y + border, channel], place % lanes
                        for x in range(width):
                            for b in range(LANES):
                                out[x + border, first + b] = row[x, g * LANES + b] * s + m
        last, left = (t * TILE + filled) // lanes, (t * TILE + filled) % lanes
        if filled < TILE and last < tiles.shape[0]:
            tiles[last, :, :, :, left:] = 0


@kernel()
def forward(layers, image, memory):
    """Logits of a tile of images."""
    x, sizes = image, memory.sizes
    pooled = len(memory.codes)
    for k in range(pooled):
        convolve_and_pool(layers[k].forward, layers[k].bias, x, sizes[k, 2], sizes[k, 3], memory.maps[k],
                          sizes[k + 1, 4], memory.codes[k])
        x = memory.maps[k]
    k = pooled
    convolve(layers[k].forward, layers[k].bias, x, sizes[k, 2], sizes[k, 3], memory.plain, 0)
    average(memory.plain, sizes[k, 2], sizes[k, 3], memory.maps[k])
    convolve(layers[k + 1].forward, layers[k + 1].bias, memory.maps[k], 1, 1, memory.logits, 0)


@kernel()
def cross_entropy(logits, labels, scale, dlogits):
    """Sum of the losses of the images that the labels are of, and in dlogits `scale` times its gradient, 0 elsewhere.

    logits and dlogits [..., classes, ..., lanes] in the first row and column of a map.
    """
    classes, loss = logits.shape[1], 0.0
    dlogits[0, :, 0] = 0
    for b in range(labels.shape[0]):
        top = logits[0, 0, 0, b]
        for c in range(1, classes):
            top = max(top, logits[0, c, 0, b])
        total = logits.dtype.type(0)
        for c in range(classes):
            dlogits[0, c, 0, b] = np.exp(logits[0, c, 0, b] - top)
            total += dlogits[0, c, 0, b]
        loss += np.log(total) - (logits[0, labels[b], 0, b] - top)
        for c in range(classes):
            dlogits[0, c, 0, b] *= scale / total
        dlogits[0, labels[b], 0, b] -= scale
    return loss


@kernel()
def backward(layers, image, memory, wanted):
    """Add to every layer's sums, from the gradient of the logits, and to the dense gradients if they are wanted."""
    sizes, maps, deltas, averaged = memory.sizes, memory.maps, memory.deltas, len(memory.codes)
    for k in range(len(layers) - 1, -1, -1):
        layer, x, dy = layers[k], maps[k - 1] if k else image, deltas[k]
        in_height, in_width, height, width, _, border = sizes[k]
        if k < averaged:
            add_gradients_of_pooled(layer.summed, layer.sums, layer.bias_sums, x, memory.gradients[k],
                                    memory.codes[k], height, width, k > 0, dy, border)
        else:
            if k == averaged:
                spread(memory.plain, height, width, memory.gradients[k], dy, border)
            add_gradients(layer.summed, layer.sums, layer.bias_sums, x, dy, border, height, width)
        if k:
            convolve(layer.backward, layer.nothing, dy, in_height, in_width, memory.gradients[k - 1], 0)
            if wanted.yes:
                add_dense_gradient(wanted, k - 1, x, dy, border, height, width)


@kernel()
def train(layers, tiles, labels, memory, wanted):
    """Mean loss over the images of a batch; its gradients are in every layer's sums, and in wanted.totals if `yes`."""
    loss, count = 0.0, labels.shape[0]
    scale = memory.logits.dtype.type(1.0 / count)
    for t in range(tiles.shape[0]):
        forward(layers, tiles[t], memory)
        loss += cross_entropy(memory.logits, labels[t * LANES:(t + 1) * LANES], scale, memory.deltas[len(layers) - 1])
        backward(layers, tiles[t], memory, wanted)
    return loss / count


@kernel()
def classify(layers, tiles, memory, logits):
    """logits [tiles, classes, 8] of a batch."""
    for t in range(tiles.shape[0]):
        forward(layers, tiles[t], memory)
        logits[t] = memory.logits[0, :, 0]
