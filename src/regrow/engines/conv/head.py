"""The end of a network with batch normalisation: the mean over a map, the last layer, the loss, and back from there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from regrow.engines.conv.gradients import add_dense_gradient
from regrow.engines.conv.kernels import add_gradients, convolve
from regrow.engines.conv.layer import Layer
from regrow.engines.conv.means import average
from regrow.engines.conv.passes import cross_entropy
from regrow.engines.conv.rows import add_up, make_row, pass_row
from regrow.engines.conv.vectors import LANES


class Head(NamedTuple):
    """The last layer, and maps of one tile for it: means, logits, and the gradients of both."""

    layer: Layer
    mean: np.ndarray
    logits: np.ndarray
    dlogits: np.ndarray
    dmean: np.ndarray


@njit(cache=True, nogil=True)
def classify(source, head, t):
    """The logits of tile t."""
    height, width = source.y.shape[1], source.y.shape[3]
    for r in range(height):
        make_row(source, t, r)
    average(source.maps[t % source.maps.shape[0]], height, width, head.mean, source.border)
    convolve(head.layer.forward, head.layer.bias, head.mean, 1, 1, head.logits, 0)


@njit(cache=True, nogil=True)
def classified(source, head, count):
    """Logits [tiles, classes, 8] of so many images."""
    tiles = -(-count // LANES)
    logits = np.empty((tiles, head.logits.shape[1], LANES), head.logits.dtype)
    for t in range(tiles):
        classify(source, head, t)
        logits[t] = head.logits[0, :, 0]
    return logits


@njit(cache=True, nogil=True)
def turn(source, head, labels, dx, target, wanted, k):
    """Mean loss; its gradient in the sums of the last layer and, as in `backward`, where `target` has it."""
    loss, count = 0.0, labels.shape[0]
    height, width, mean = source.y.shape[1], source.y.shape[3], head.mean
    scale, part = mean.dtype.type(1.0 / count), mean.dtype.type(1.0 / (height * width))
    sums = np.zeros((mean.shape[1], LANES), mean.dtype)
    products = np.zeros_like(sums)
    target.totals[:] = 0
    for t in range(-(-count // LANES)):
        classify(source, head, t)
        loss += cross_entropy(head.logits, labels[t * LANES:(t + 1) * LANES], scale, head.dlogits)
        layer = head.layer
        add_gradients(layer.summed, layer.sums, layer.bias_sums, head.mean, head.dlogits, 0, 1, 1)
        convolve(layer.backward, layer.nothing, head.dlogits, 1, 1, head.dmean, 0)
        if wanted.yes:
            add_dense_gradient(wanted, k, head.mean, head.dlogits, 0, 1, 1)
        for r in range(height):
            for c in range(sums.shape[0]):
                for w in range(width):
                    for b in range(LANES):
                        dx[r, c, w, b] = head.dmean[0, c, 0, b] * part
            pass_row(source, target, t, r, dx, sums, products)
        add_up(sums, LANES, target.totals[0])
        add_up(products, LANES, target.totals[1])
    return loss / count
