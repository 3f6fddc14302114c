"""A sum of outer products over images that leaves out what is zero.

The gradient of a hidden neuron is zero for every image that it did not answer to: for 55 % of them early in training,
and late, when two of three neurons of the first hidden layer have no connection, for 85 %. What is left is added up
neuron by neuron and image by image, for so few columns at a time that a tile of x stays in the first-level cache and
the sums of all neurons in the second-level one. A matrix product multiplies up to twice as fast, but by every zero.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit

from regrow.engines.sparse_kernels import aligned
from regrow.engines.sparse_products import TILE, add_weighted

COLUMNS = 96  # at a time: their sums fit into the registers of AVX2
DENSE = 0.5  # share of numbers that are not zero, beyond which one matrix product is faster (with AVX2 it is 0.7)


def add_outer_products(total: np.ndarray, dy: np.ndarray, x: np.ndarray) -> None:
    """total += sum over tiles t of dy[t] x[t]^T.

    total [n_out, n_in], dy [tiles, n_out, images], x [tiles, n_in, images], at most 64 images a tile.
    """
    first, neurons, starts, image, number = _entries(dy)
    firing = np.flatnonzero(np.bincount(neurons, minlength=len(total)))
    if len(number) > DENSE * len(firing) * dy.shape[0] * dy.shape[2]:
        ours, theirs = (torch.from_numpy(part).transpose(0, 1).flatten(1) for part in (dy[:, firing], x))
        total[firing] += (ours @ theirs.T).numpy()
    else:
        swapped, sums = aligned((TILE, COLUMNS), dy.dtype), aligned((len(total), COLUMNS), dy.dtype)
        _add(total, first, neurons, starts, image, number, firing, x, _active(x), swapped, sums)


@njit(cache=True, nogil=True)
def _entries(dy):
    """What is not zero in dy [tiles, n_out, images], as first, neurons, starts, image and number.

    Tile t has the rows first[t] <= r < first[t + 1], one for every neuron that has a number there; row r is of neuron
    neurons[r] and has the numbers starts[r] <= p < starts[r + 1], each for image image[p] of the tile.
    """
    tiles, n_out, images = dy.shape
    first = np.zeros(tiles + 1, np.int64)
    neurons, starts = np.zeros(tiles * n_out + 1, np.int32), np.zeros(tiles * n_out + 1, np.int32)
    image, number = np.empty(dy.size + 1, np.uint8), np.empty(dy.size + 1, dy.dtype)
    r = p = 0
    for t in range(tiles):
        for i in range(n_out):
            row = dy[t, i]
            for b in range(images):
                image[p], number[p] = b, row[b]
                p += row[b] != 0
            if p > starts[r]:
                neurons[r] = i
                r += 1
                starts[r] = p
        first[t + 1] = r
    return first, neurons[:r], starts[:r + 1], image[:p], number[:p]


@njit(cache=True, nogil=True)
def _active(x):
    """The columns j with something in x[:, j]; x [tiles, n_in, images]."""
    columns, count = np.empty(x.shape[1], np.int64), 0
    for j in range(x.shape[1]):
        for t in range(x.shape[0]):
            if x[t, j].any():
                columns[count] = j
                count += 1
                break
    return columns[:count]


@njit(cache=True, nogil=True)
def _add(total, first, neurons, starts, image, number, firing, x, columns, swapped, sums):
    """The sum over entries as from `_entries`, for `columns` of x alone; swapped [64, 96], sums [n_out, 96]."""
    for c in range(0, len(columns), COLUMNS):
        chunk = columns[c:c + COLUMNS]
        sums[:] = 0
        for t in range(x.shape[0]):
            for k in range(len(chunk)):
                column = x[t, chunk[k]]
                for b in range(len(column)):
                    swapped[b, k] = column[b]
            for r in range(first[t], first[t + 1]):
                add_weighted(sums[neurons[r]], number, image, np.int64(starts[r]), np.int64(starts[r + 1]), swapped,
                             COLUMNS)
        for i in firing:
            for k in range(len(chunk)):
                total[i, chunk[k]] += sums[i, k]
