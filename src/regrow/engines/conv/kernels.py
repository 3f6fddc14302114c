"""Compiled loops for convolutions; work is proportional to the connections that exist.

A map is [height, channels, width, 8]: the same place of 8 images is one vector, so a connection is a multiplication by
one number, and all its channels' rows lie close together. Images stand in such maps with their border of zeros. A block
of 2 x 4 outputs is summed up in registers: a connection costs one weight, one 32-bit offset from the block's corner to
the inputs that it sees, and eight multiply-adds. The same loop with the transposed connections gives the gradient of
the inputs. For the gradient of the weights the 2 x 4 output gradients are what stays in registers, and every connection
has a vector of sums, whose 8 numbers are added up once a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from regrow.engines.conv.vectors import (
    LANES,
    ROWS,
    added_up,
    larger,
    load,
    places_of,
    plus,
    repeated,
    splat,
    store,
    vectors_at,
    zeros,
)
from regrow.engines.kernels import INT64, data_of
from regrow.jit import kernel

COLUMNS = 4
WIDER = 6  # columns of a block where blocks of four would leave two over
CODES = 4  # bytes of a pooled vector: for each of the four places, which images have their maximum there
INT8 = ir.IntType(8)


class Wiring(NamedTuple):
    """Connections by output o, starts[o] <= p < starts[o + 1]; int64 [outputs + 1], uint32 and numbers [connections].

    Where they come in groups, o is group * outputs + output. offsets[p] is the way from the corner of what an output
    sees to the input of connection p, in vectors.
    """

    starts: np.ndarray
    offsets: np.ndarray
    weight: np.ndarray


def outputs(builder: ir.IRBuilder, x: ir.Value, row: ir.Value, connections: Sequence[ir.Value],
            before: Sequence[ir.Value], step: int = 1) -> list[ir.Value]:
    """A block of outputs, added to what was `before`; x points at its corner, connections are offsets, weight, start
    and end."""
    offsets, weight, start, end = connections
    columns, lanes = len(before) // ROWS, before[0].type.count

    def body(p: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        number = splat(builder, builder.load(builder.gep(weight, [p])), lanes)
        corner = builder.gep(x, [builder.zext(builder.load(builder.gep(offsets, [p])), INT64)])
        return [plus(builder, total, number, load(builder, place))
                for total, place in zip(sums, places_of(builder, corner, row, columns, step), strict=True)]

    return repeated(builder, start, end, before, body)


def add_products(builder: ir.IRBuilder, sums: ir.Value, d: Sequence[ir.Value], x: ir.Value, row: ir.Value,
                 connections: Sequence[ir.Value], columns: int = COLUMNS, step: int = 1) -> None:
    """sums[p] += what the output gradients d of a block and the inputs that connection p sees multiply to."""
    offsets, start, end = connections

    def body(p: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
        corner = builder.gep(x, [builder.zext(builder.load(builder.gep(offsets, [p])), INT64)])
        target = builder.gep(sums, [p])
        parts = [load(builder, target), zeros(d[0])]
        for k, place in enumerate(places_of(builder, corner, row, columns, step, len(d) // columns)):
            parts[k % 2] = plus(builder, parts[k % 2], d[k], load(builder, place))
        store(builder, builder.fadd(*parts), target)
        return []

    repeated(builder, start, end, [], body)


@intrinsic(prefer_literal=True)
def _convolve(_typing, columns, x, at, row, offsets, weight, start, end, bias, y, to, y_row):
    """A block of 2 x columns outputs from x at vector `at`, written to y at vector `to`. `columns` is a constant."""
    def generate(context, builder, signature, arguments):
        data = [data_of(context, builder, signature.args[a], arguments[a]) for a in (4, 5)]
        here, there = (vectors_at(context, builder, signature.args[a], arguments[a], arguments[a + 1]) for a in (1, 9))
        before = [splat(builder, arguments[8])] * (ROWS * columns.literal_value)
        values = outputs(builder, here, arguments[3], (*data, *arguments[6:8]), before)
        for value, place in zip(values, places_of(builder, there, arguments[11], columns.literal_value), strict=True):
            store(builder, value, place)
        return context.get_dummy_value()

    return types.void(columns, x, at, row, offsets, weight, start, end, bias, y, to, y_row), generate


@intrinsic
def _convolve_and_pool(_typing, x, at, row, offsets, weight, start, end, bias, y, to, codes, code, both):
    """The same with ReLU and 2 x 2 max-pooling: two vectors to y, and to `codes` from byte `code` on where they are
    from. Unless `both`, the second one is not there: 0, and from nowhere."""
    def generate(context, builder, signature, arguments):
        data = [data_of(context, builder, signature.args[a], arguments[a]) for a in (3, 4)]
        here, there = (vectors_at(context, builder, signature.args[a], arguments[a], arguments[a + 1]) for a in (0, 8))
        values = outputs(builder, here, arguments[2], (*data, *arguments[5:7]),
                         [splat(builder, arguments[7])] * (ROWS * COLUMNS))
        marks = builder.gep(data_of(context, builder, signature.args[10], arguments[10]), [arguments[11]])
        zero = zeros(values[0])
        for k in range(2):
            window = [values[i * COLUMNS + 2 * k + j] for i in range(2) for j in range(2)]
            top = larger(builder, larger(builder, window[0], window[1]), larger(builder, window[2], window[3]))
            left = builder.fcmp_unordered(">", top, zero)  # no number is one, so that it is seen
            if k:
                left = builder.and_(left, splat(builder, arguments[12]))
            store(builder, builder.select(left, top, zero), builder.gep(there, [INT64(k)]))
            for place, value in enumerate(window):  # the first of equal ones, as PyTorch has it
                found = left if place == 3 else builder.and_(left, builder.fcmp_ordered("==", value, top))
                left = builder.and_(left, builder.not_(found))
                builder.store(builder.bitcast(found, INT8), builder.gep(marks, [INT64(CODES * k + place)]))
        return context.get_dummy_value()

    return types.void(x, at, row, offsets, weight, start, end, bias, y, to, codes, code, both), generate


@intrinsic
def _gradient(_typing, sums, bias_sums, output, dy, to, dy_row, x, at, row, offsets, start, end):
    """Add to the sums of connections and of the bias what the block of dy at vector `to` gives."""
    def generate(context, builder, signature, arguments):
        there = vectors_at(context, builder, signature.args[3], *arguments[3:5])
        d = [load(builder, place) for place in places_of(builder, there, arguments[5], COLUMNS)]
        _finish(context, builder, signature, arguments, d, 6)
        return context.get_dummy_value()

    return types.void(sums, bias_sums, output, dy, to, dy_row, x, at, row, offsets, start, end), generate


@intrinsic(prefer_literal=True)
def _gradient_of_pooled(_typing, sums, bias_sums, output, dp, to, codes, code, x, at, row, offsets, start, end, keep,
                        dy, dy_to, dy_row):
    """The same from the gradient dp of the pooled map and `codes`. If `keep`, a constant, dy is written as well."""
    def generate(context, builder, signature, arguments):
        pooled = vectors_at(context, builder, signature.args[3], *arguments[3:5])
        marks = builder.gep(data_of(context, builder, signature.args[5], arguments[5]), [arguments[6]])
        d = []
        for i in range(ROWS):
            for j in range(COLUMNS):
                value = load(builder, builder.gep(pooled, [INT64(j // 2)]))
                mark = builder.load(builder.gep(marks, [INT64(j // 2 * CODES + 2 * i + j % 2)]))
                zero = zeros(value)
                d.append(builder.select(builder.bitcast(mark, ir.VectorType(ir.IntType(1), LANES)), value, zero))
        if keep.literal_value:
            there = vectors_at(context, builder, signature.args[14], *arguments[14:16])
            for value, place in zip(d, places_of(builder, there, arguments[16], COLUMNS), strict=True):
                store(builder, value, place)
        _finish(context, builder, signature, arguments, d, 7)
        return context.get_dummy_value()

    return types.void(sums, bias_sums, output, dp, to, codes, code, x, at, row, offsets, start, end, keep, dy, dy_to,
                      dy_row), generate


def _finish(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value],
            d: Sequence[ir.Value], first: int) -> None:
    """Add to both sums; x, at, row, offsets, start and end are the arguments from number `first` on."""
    sums, bias_sums = (vectors_at(context, builder, signature.args[a], arguments[a], at)
                       for a, at in ((0, INT64(0)), (1, arguments[2])))
    store(builder, builder.fadd(load(builder, bias_sums), added_up(builder, d)), bias_sums)
    x = vectors_at(context, builder, signature.args[first], *arguments[first:first + 2])
    offsets = data_of(context, builder, signature.args[first + 3], arguments[first + 3])
    add_products(builder, sums, d, x, arguments[first + 2], (offsets, *arguments[first + 4:first + 6]))


# ---- whole maps ----

@kernel()
def convolve(wiring, bias, x, height, width, y, border):
    """y[h + border, o, w + border] = bias[o] + what the connections of o make of x from [h, :, w] on.

    x and y are maps [H, C, W, 8]. Outputs are height x width, and where these do not divide into blocks a few past them
    are written, so y has room up to an even height and a width of a multiple of four.
    """
    for h in range(0, height, ROWS):
        convolve_rows(wiring, bias, x, h, width, y, border)


@kernel()
def convolve_rows(wiring, bias, x, h, width, y, border):
    """Rows h and h + 1 of `convolve`."""
    row, y_row = np.int64(x.shape[1] * x.shape[2]), np.int64(y.shape[1] * y.shape[2])
    w = 0
    while w < width:
        wider = width - w == WIDER
        for o in range(bias.shape[0]):
            at, to = np.int64(h * row + w), np.int64((h + border) * y_row + o * y.shape[2] + w + border)
            if wider:
                _convolve(WIDER, x, at, row, wiring.offsets, wiring.weight, wiring.starts[o], wiring.starts[o + 1],
                          bias[o], y, to, y_row)
            else:
                _convolve(COLUMNS, x, at, row, wiring.offsets, wiring.weight, wiring.starts[o], wiring.starts[o + 1],
                          bias[o], y, to, y_row)
        w += WIDER if wider else COLUMNS


@kernel()
def convolve_and_pool(wiring, bias, x, height, width, y, border, codes):
    """The same with ReLU and 2 x 2 max-pooling; height and width, both even, are those before it.

    codes uint8 [height / 2, outputs, width / 4 rounded up, 8].
    """
    row, y_row = np.int64(x.shape[1] * x.shape[2]), np.int64(y.shape[1] * y.shape[2])
    for h in range(0, height, ROWS):
        for w in range(0, width, COLUMNS):
            for o in range(bias.shape[0]):
                to = np.int64((h // 2 + border) * y_row + o * y.shape[2] + w // 2 + border)
                code = np.int64(((h // 2 * codes.shape[1] + o) * codes.shape[2] + w // COLUMNS) * codes.shape[3])
                _convolve_and_pool(x, np.int64(h * row + w), row, wiring.offsets, wiring.weight, wiring.starts[o],
                                   wiring.starts[o + 1], bias[o], y, to, codes, code, w + 2 < width)


@kernel()
def add_gradients(wiring, sums, bias_sums, x, dy, border, height, width):
    """sums[p] += the gradient of connection p and bias_sums[o] += that of the bias, from the output gradients
    dy[h + border, o, w + border]; sums [connections, 8], bias_sums [outputs, 8]. Past the outputs dy is 0."""
    row, dy_row = np.int64(x.shape[1] * x.shape[2]), np.int64(dy.shape[1] * dy.shape[2])
    for h in range(0, height, ROWS):
        for w in range(0, width, COLUMNS):
            for o in range(bias_sums.shape[0]):
                _gradient(sums, bias_sums, o, dy, np.int64((h + border) * dy_row + o * dy.shape[2] + w + border),
                          dy_row, x, np.int64(h * row + w), row, wiring.offsets, wiring.starts[o], wiring.starts[o + 1])


@kernel()
def add_gradients_of_pooled(wiring, sums, bias_sums, x, dp, codes, height, width, keep, dy, border):
    """The same from the gradient dp [H, outputs, W, 8] of the pooled map; if `keep`, dy is written."""
    row, dy_row = np.int64(x.shape[1] * x.shape[2]), np.int64(dy.shape[1] * dy.shape[2])
    dp_row = np.int64(dp.shape[1] * dp.shape[2])
    for h in range(0, height, ROWS):
        for w in range(0, width, COLUMNS):
            for o in range(bias_sums.shape[0]):
                at, p = np.int64(h * row + w), np.int64(h // 2 * dp_row + o * dp.shape[2] + w // 2)
                code = np.int64(((h // 2 * codes.shape[1] + o) * codes.shape[2] + w // COLUMNS) * codes.shape[3])
                to = np.int64((h + border) * dy_row + o * dy.shape[2] + w + border)
                if keep:
                    _gradient_of_pooled(sums, bias_sums, o, dp, p, codes, code, x, at, row, wiring.offsets,
                                        wiring.starts[o], wiring.starts[o + 1], 1, dy, to, dy_row)
                else:
                    _gradient_of_pooled(sums, bias_sums, o, dp, p, codes, code, x, at, row, wiring.offsets,
                                        wiring.starts[o], wiring.starts[o + 1], 0, dy, to, dy_row)


@kernel()
def reduce(sums, order, total):
    """total[order[p]] = sum of the numbers of sums[p], which are eight or twice as many."""
    for p in range(total.shape[0]):
        s, lanes = sums[p], sums.shape[1]
        if lanes > LANES:
            for b in range(LANES):
                s[b] += s[b + LANES]
        total[order[p]] = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
