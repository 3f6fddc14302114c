"""The end of a network with batch normalisation: the mean over a map, the last layer, the loss, and back from there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from regrow.engines.conv.gradients import add_dense_gradient
from regrow.engines.conv.layer import Layer
from regrow.engines.conv.passes import cross_entropy
from regrow.engines.conv.rows import add_up, make_row, pass_row
from regrow.engines.conv.vectors import WIDE
from regrow.jit import kernel


class Head(NamedTuple):
    """The last layer, and maps of one tile for it: means, logits, and the gradients of both."""

    layer: Layer
    mean: np.ndarray
    logits: np.ndarray
    dlogits: np.ndarray
    dmean: np.ndarray


@kernel()
def classify(source, head, t):
    """The logits of tile t."""
    height, width = source.y.shape[1], source.y.shape[3]
    for r in range(height):
        make_row(source, t, r)
    x, mean = source.maps[t % source.maps.shape[0]], head.mean
    mean[:] = 0
    for h in range(height):
        for c in range(mean.shape[1]):
            for w in range(width):
                for b in range(WIDE):
                    mean[0, c, 0, b] += x[h + source.border, c, w + source.border, b]
    mean /= mean.dtype.type(height * width)
    multiply(head.layer.forward, head.layer.bias, mean, head.logits)


@kernel()
def multiply(wiring, bias, x, y):
    """y = bias + what the connections make of x, both [1, n, 1, WIDE]."""
    for o in range(y.shape[1]):
        for b in range(WIDE):
            y[0, o, 0, b] = bias[o]
        for p in range(wiring.starts[o], wiring.starts[o + 1]):
            for b in range(WIDE):
                y[0, o, 0, b] += wiring.weight[p] * x[0, wiring.offsets[p], 0, b]


@kernel()
def add_gradients(wiring, sums, bias_sums, x, dy):
    """To the sums of connections and of the bias."""
    for o in range(dy.shape[1]):
        for b in range(WIDE):
            bias_sums[o, b] += dy[0, o, 0, b]
        for p in range(wiring.starts[o], wiring.starts[o + 1]):
            for b in range(WIDE):
                sums[p, b] += dy[0, o, 0, b] * x[0, wiring.offsets[p], 0, b]


@kernel()
def classified(source, head, count):
    """Logits [tiles, classes, WIDE] of so many images."""
    tiles = -(-count // WIDE)
    logits = np.empty((tiles, head.logits.shape[1], WIDE), head.logits.dtype)
    for t in range(tiles):
        classify(source, head, t)
        logits[t] = head.logits[0, :, 0]
    return logits


@kernel()
def turn(source, head, labels, dx, target, wanted, k):
    """Mean loss; its gradient in the sums of the last layer and, as in `backward`, where `target` has it."""
    loss, count = 0.0, labels.shape[0]
    height, width, mean = source.y.shape[1], source.y.shape[3], head.mean
    scale, part = mean.dtype.type(1.0 / count), mean.dtype.type(1.0 / (height * width))
    sums = np.zeros((mean.shape[1], WIDE), mean.dtype)
    products = np.zeros_like(sums)
    target.totals[:] = 0
    for t in range(-(-count // WIDE)):
        classify(source, head, t)
        loss += cross_entropy(head.logits, labels[t * WIDE:(t + 1) * WIDE], scale, head.dlogits)
        layer = head.layer
        add_gradients(layer.summed, layer.sums, layer.bias_sums, head.mean, head.dlogits)
        multiply(layer.backward, layer.nothing, head.dlogits, head.dmean)
        if wanted.yes:
            add_dense_gradient(wanted, k, head.mean, head.dlogits, 0, 1, 1)
        for r in range(height):
            for c in range(sums.shape[0]):
                for w in range(width):
                    for b in range(WIDE):
                        dx[r, c, w, b] = head.dmean[0, c, 0, b] * part
            pass_row(source, target, t, r, dx, sums, products)
        add_up(sums, WIDE, target.totals[0])
        add_up(products, WIDE, target.totals[1])
    return loss / count
