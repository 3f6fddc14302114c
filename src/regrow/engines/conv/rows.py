"""A convolution between two batch normalisations, over all tiles of a batch, two rows at a time.

A tile's rows are made, convolved and added up while they are in the cache; on the way back likewise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from regrow.engines.conv.gradients import add_dense_gradient
from regrow.engines.conv.kernels import COLUMNS
from regrow.engines.conv.norms import (
    convolve_and_cut,
    convolve_and_sum,
    cut,
    differentiate,
    gradient,
    normalise,
    pool,
    unpool,
)
from regrow.engines.conv.vectors import ROWS, TALL, WIDE
from regrow.jit import kernel

READY, NORMALISED, JOINED, POOLED = range(4)  # how a unit's inputs are made
FIRST, CUT, ADDED, UNPOOLED, KEPT = range(5)  # what becomes of their gradient


class Source(NamedTuple):
    """How inputs are made from the outputs y of another unit, all [tiles, H, C, W, WIDE]; maps has borders of zeros.

    max(0, scale y + shift), with factor * other added if JOINED and 2 x 2 max-pooling if POOLED. With one map instead
    of one for every tile they are made anew on the way back.
    """

    how: int
    maps: np.ndarray
    border: int
    y: np.ndarray
    scale: np.ndarray  # [C, WIDE]
    shift: np.ndarray
    other: np.ndarray
    other_border: int
    factor: np.ndarray


class Target(NamedTuple):
    """Where the gradient of the inputs goes: as that of the normalised y to dz, ADDED to `other`; or KEPT in dz."""

    what: int
    dz: np.ndarray
    other: np.ndarray
    totals: np.ndarray  # float64 [2, C]: sums of dz and of dz * y


class Sizes(NamedTuple):
    """height and width of the outputs, the stride, and how much wider the border of the inputs is than needed."""

    height: int
    width: int
    step: int
    skip: int
    delta_border: int


@kernel()
def make_row(source, t, r):
    """Row r of the inputs of tile t."""
    x, y = source.maps[t % source.maps.shape[0]], source.y[t]
    channels, width, border = y.shape[1], y.shape[2], source.border
    ahead = np.int64(ROWS * channels * width)
    for c in range(channels):
        to = np.int64(((r + border) * channels + c) * x.shape[2] + border)
        if source.how == POOLED:
            pool(np.int64(width // 2), y, np.int64((2 * r * channels + c) * width), np.int64(channels * width),
                 source.scale, source.shift, c, x, to)
            continue
        at = np.int64((r * channels + c) * width)
        other, edge = source.other[t % source.other.shape[0]], source.other_border
        beside = np.int64(((r + edge) * channels + c) * other.shape[2] + edge)
        far = np.int64(ROWS * channels * other.shape[2])
        if source.how == JOINED:
            normalise(1, np.int64(width), y, at, source.scale, source.shift, c, x, to, other, beside, source.factor,
                      ahead, far)
        else:
            normalise(0, np.int64(width), y, at, source.scale, source.shift, c, x, to, other, beside, source.factor,
                      ahead, far)


@kernel()
def _convolve_rows(wiring, x, h, sizes, width, y, sums, squares):
    """Rows h and h + 1 of the outputs y, `width` wide, and what they add up to."""
    row, y_row, n_out = np.int64(x.shape[1] * x.shape[2]), np.int64(y.shape[1] * y.shape[2]), sums.shape[0]
    groups = (wiring.starts.shape[0] - 1) // n_out
    for w in range(0, width, COLUMNS):
        at = np.int64((h * sizes.step + sizes.skip) * row + w * sizes.step + sizes.skip)
        for g in range(groups):
            for o in range(n_out):
                to = np.int64(h * y_row + o * y.shape[2] + w)
                start, end = wiring.starts[g * n_out + o], wiring.starts[g * n_out + o + 1]
                if sizes.step == 2:
                    convolve_and_sum(COLUMNS, 2, x, at, 2 * row, wiring.offsets, wiring.weight, start, end, g > 0,
                                     g == groups - 1, y, to, y_row, sums, squares, o)
                elif width < COLUMNS:
                    convolve_and_sum(2, 1, x, at, row, wiring.offsets, wiring.weight, start, end, g > 0,
                                     g == groups - 1, y, to, y_row, sums, squares, o)
                else:
                    convolve_and_sum(COLUMNS, 1, x, at, row, wiring.offsets, wiring.weight, start, end, g > 0,
                                     g == groups - 1, y, to, y_row, sums, squares, o)


@kernel()
def _cut_rows(wiring, dy, h, source, target, t, sums, products):
    """Rows h and h + 1 of the gradient of the inputs of tile t, on the way as in `pass_row`."""
    y, x, dz = source.y[t], source.maps[t % source.maps.shape[0]], target.dz[t]
    row, x_row, y_row = (np.int64(dy.shape[1] * dy.shape[2]), np.int64(x.shape[1] * x.shape[2]),
                         np.int64(y.shape[1] * y.shape[2]))
    n_in = y.shape[1]
    groups = (wiring.starts.shape[0] - 1) // n_in
    for w in range(0, y.shape[2], COLUMNS):
        at = np.int64(h * row + w)
        for g in range(groups):
            resumed, last = g > 0 or target.what == ADDED, g == groups - 1
            other = dz if g else target.other[t]
            for c in range(n_in):
                start, end = wiring.starts[g * n_in + c], wiring.starts[g * n_in + c + 1]
                beside = np.int64((h + source.border) * x_row + c * x.shape[2] + w + source.border)
                to = np.int64(h * y_row + c * y.shape[2] + w)
                if y.shape[2] < COLUMNS:
                    convolve_and_cut(2, dy, at, row, wiring.offsets, wiring.weight, start, end, resumed, last, x,
                                     beside, x_row, other, y, dz, to, y_row, sums, products, c)
                else:
                    convolve_and_cut(COLUMNS, dy, at, row, wiring.offsets, wiring.weight, start, end, resumed, last, x,
                                     beside, x_row, other, y, dz, to, y_row, sums, products, c)


@kernel()
def _gradient_rows(wiring, sums, x, h, sizes, dy):
    """What TALL rows from h on of the output gradients, or the only two, add to the sums of connections."""
    row, dy_row, step = np.int64(x.shape[1] * x.shape[2]), np.int64(dy.shape[1] * dy.shape[2]), sizes.step
    n_out, border = dy.shape[1], sizes.delta_border
    for w in range(0, sizes.width, COLUMNS):
        at = np.int64((h * step + sizes.skip) * row + w * step + sizes.skip)
        for g in range((wiring.starts.shape[0] - 1) // n_out):
            for o in range(n_out):
                to = np.int64((h * step + border) * dy_row + o * dy.shape[2] + w * step + border)
                start, end = wiring.starts[g * n_out + o], wiring.starts[g * n_out + o + 1]
                if step == 2:
                    gradient(TALL, COLUMNS, 2, sums, dy, to, 2 * dy_row, 2, x, at, 2 * row, wiring.offsets, start, end)
                elif sizes.width < COLUMNS:
                    gradient(2, 2, 1, sums, dy, to, dy_row, 1, x, at, row, wiring.offsets, start, end)
                else:
                    gradient(TALL, COLUMNS, 1, sums, dy, to, dy_row, 1, x, at, row, wiring.offsets, start, end)


@kernel()
def add_up(sums, lanes, total):
    """total[c] += the numbers of the first `lanes` images of sums[c], which become 0."""
    for c in range(sums.shape[0]):
        for b in range(lanes):
            total[c] += sums[c, b]
    sums[:] = 0


@kernel()
def forward(wiring, source, sizes, y, count, totals):
    """Outputs y [tiles, H, C, W, WIDE]; totals float64 [2, C], sums of them and of their squares over all images."""
    sums = np.zeros((y.shape[2], WIDE), y.dtype)
    squares = np.zeros_like(sums)
    totals[:] = 0
    for t in range(-(-count // WIDE)):
        made, x = 0, source.maps[t % source.maps.shape[0]]
        for h in range(0, sizes.height, ROWS):
            seen = min(sizes.height * sizes.step, (h + 1) * sizes.step + 2)
            if source.how != READY:
                for r in range(made, seen):
                    make_row(source, t, r)
                made = seen
            _convolve_rows(wiring, x, h, sizes, sizes.width, y[t], sums, squares)
        lanes = min(WIDE, count - t * WIDE)
        add_up(sums, lanes, totals[0])
        add_up(squares, lanes, totals[1])


@kernel()
def backward(layer, source, sizes, y, dz, coefficients, dy, dx, target, count, wanted, k):
    """From the gradient dz of the normalised outputs: what it adds to layer.sums, and the gradient of the inputs.

    coefficients [2, 3, C, WIDE] are a, b and g, and those of the last tile. For dy and dx one map each is reused.
    """
    channels, width = y.shape[2], y.shape[3]
    sums = np.zeros((source.y.shape[2], WIDE), y.dtype)
    products, tiles, ahead = np.zeros_like(sums), -(-count // WIDE), np.int64(ROWS * channels * width)
    unused, plain = np.zeros_like(sums), Sizes(0, 0, 1, 0, 0)
    target.totals[:] = 0
    for t in range(tiles):
        now = coefficients[1 if t == tiles - 1 else 0]
        a, b, g = now[0], now[1], now[2]
        x = source.maps[t % source.maps.shape[0]]
        done, made = 0, 0
        for h in range(0, sizes.height, ROWS):
            for r in range(done, min(sizes.height, h + 3)):
                for c in range(channels):
                    at = np.int64((r * channels + c) * width)
                    to = ((r * sizes.step + sizes.delta_border) * channels + c) * dy.shape[2] + sizes.delta_border
                    if sizes.step == 2:
                        differentiate(2, np.int64(width), dz[t], y[t], at, a, b, g, c, dy, np.int64(to), ahead)
                    else:
                        differentiate(1, np.int64(width), dz[t], y[t], at, a, b, g, c, dy, np.int64(to), ahead)
            done = min(sizes.height, h + 3)
            if source.how != READY and source.maps.shape[0] == 1:
                for r in range(made, min(sizes.height * sizes.step, (h + 1) * sizes.step + 2)):
                    make_row(source, t, r)
                made = min(sizes.height * sizes.step, (h + 1) * sizes.step + 2)
            if sizes.height < TALL:
                _gradient_rows(layer.summed, layer.sums, x, h, sizes, dy)
            elif h % TALL == TALL - ROWS:
                _gradient_rows(layer.summed, layer.sums, x, h + ROWS - TALL, sizes, dy)
            if target.what != FIRST:
                for r in range(h * sizes.step, (h + ROWS) * sizes.step, ROWS):
                    if target.what == CUT or target.what == ADDED:
                        _cut_rows(layer.backward, dy, r, source, target, t, sums, products)
                        continue
                    out = target.dz[t] if target.what == KEPT else dx
                    _convolve_rows(layer.backward, dy, r, plain, sizes.width * sizes.step, out, unused, unused)
                    if target.what == UNPOOLED:
                        for one in range(r, r + ROWS):
                            pass_row(source, target, t, one, dx, sums, products)
        if wanted.yes:
            add_dense_gradient(wanted, k, x, dy, sizes.delta_border, sizes.height, sizes.width, sizes.step, sizes.skip)
        add_up(sums, WIDE, target.totals[0])
        add_up(products, WIDE, target.totals[1])


@kernel()
def pass_row(source, target, t, r, dx, sums, products):
    """The gradient dx of row r of the inputs of tile t becomes that of what they were made from, and is added up."""
    y, x, dz = source.y[t], source.maps[t % source.maps.shape[0]], target.dz[t]
    channels, width, border = y.shape[1], y.shape[2], source.border
    for c in range(channels):
        whose = np.int64((r * channels + c) * dx.shape[2])
        if target.what == UNPOOLED:
            unpool(np.int64(width // 2), y, np.int64((2 * r * channels + c) * width), np.int64(channels * width),
                   source.scale, source.shift, c, dx, whose, dz, sums, products)
            continue
        beside = np.int64(((r + border) * channels + c) * x.shape[2] + border)
        at = np.int64((r * channels + c) * width)
        cut(np.int64(width), dx, whose, x, beside, y, at, dz, sums, products, c)


@kernel()
def add_products(dz, y, count, totals):
    """totals float64 [2, C] = sums of dz and of dz * y; both [tiles, H, C, W, WIDE]."""
    totals[:] = 0
    sums, products = np.zeros((y.shape[2], WIDE), y.dtype), np.zeros((y.shape[2], WIDE), y.dtype)
    for t in range(-(-count // WIDE)):
        for h in range(y.shape[1]):
            for c in range(y.shape[2]):
                for w in range(y.shape[3]):
                    for b in range(WIDE):
                        sums[c, b] += dz[t, h, c, w, b]
                        products[c, b] += dz[t, h, c, w, b] * y[t, h, c, w, b]
        add_up(sums, WIDE, totals[0])
        add_up(products, WIDE, totals[1])
