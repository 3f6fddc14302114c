"""The two products of the sparse engine, whose work is proportional to the connections that exist.

Activations are feature-major in tiles of 64 images, [tiles, features, 64]: one feature's 64 numbers are contiguous, so
a connection is a multiply-add of a few whole vectors, and a tile of the input layer stays in the second-level cache.
Weights are in CSR order, with 32-bit indices: 64-bit ones halve the speed.

The inner loops are written in vectors of 64 bytes, which the compiler splits for processors that have shorter ones.
Given as a loop over 64 numbers, a connection can cost twice as much: the compiler does not know that rows never
overlap, so it compares their addresses and keeps sums in memory instead of in registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

TILE = 64  # images
VECTOR_BYTES = 64
FOUR = 4  # connections whose gradients are summed up together
FAST = ("fast",)
INT32, INT64 = ir.IntType(32), ir.IntType(64)


def _vectors(context: Any, number: Any) -> ir.VectorType:
    """The vector type of 64 bytes for a numba number type."""
    element = context.get_value_type(number)
    return ir.VectorType(element, VECTOR_BYTES // element.get_abi_size(context.target_data))


def data_of(context: Any, builder: ir.IRBuilder, array_type: Any, array: ir.Value) -> ir.Value:
    return context.make_array(array_type)(context, builder, value=array).data


def _row(builder: ir.IRBuilder, data: ir.Value, row: ir.Value, vector: ir.VectorType,
         length: int = TILE) -> list[ir.Value]:
    """The numbers of row `row` of [rows, length] as vectors."""
    start = builder.bitcast(builder.gep(data, [builder.mul(row, INT64(length))]), vector.as_pointer())
    return [_load(builder, builder.gep(start, [INT64(v)])) for v in range(length // vector.count)]


def _load(builder: ir.IRBuilder, pointer: ir.Value) -> ir.Value:
    value = builder.load(pointer)
    value.align = 4  # what any array keeps; aligned ones are as fast
    return value


def _store(builder: ir.IRBuilder, values: Sequence[ir.Value], data: ir.Value) -> None:
    start = builder.bitcast(data, values[0].type.as_pointer())
    for v, value in enumerate(values):
        builder.store(value, builder.gep(start, [INT64(v)])).align = 4


def shuffled(builder: ir.IRBuilder, one: ir.Value, other: ir.Value, lanes: Sequence[int]) -> ir.Value:
    """The vector of these lanes, numbered through both."""
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(INT32, len(lanes)), list(lanes)))


def _dot(builder: ir.IRBuilder, one: Sequence[ir.Value], other: Sequence[ir.Value]) -> ir.Value:
    """Products of two rows, added up to one vector."""
    total = builder.fmul(one[0], other[0], flags=FAST)
    for a, b in zip(one[1:], other[1:], strict=True):
        total = builder.fadd(total, builder.fmul(a, b, flags=FAST), flags=FAST)
    return total


def _sums(builder: ir.IRBuilder, parts: Sequence[ir.Value]) -> ir.Value:
    """A vector of the sums of FOUR vectors.

    Neighbours are added up and two vectors become one, again and again, which takes a third of the instructions that
    adding up each by itself does. First within 128 bits, then those as a whole: what processors shuffle in one go.
    """
    lanes = parts[0].type.count
    inner = 16 * lanes // VECTOR_BYTES  # numbers in 128 bits
    added = 1
    while added < lanes:
        group, unit = (inner, 1) if added < inner else (lanes, inner)
        even, odd = ([vector + first + place + number for first in range(0, lanes, group) for vector in (0, lanes)
                      for place in range(start, group, 2 * unit) for number in range(unit)] for start in (0, unit))
        pairs = zip(parts[::2], parts[1::2], strict=True) if len(parts) > 1 else [(parts[0], parts[0])]
        parts = [builder.fadd(shuffled(builder, a, b, even), shuffled(builder, a, b, odd), flags=FAST)
                 for a, b in pairs]
        added *= 2
    return shuffled(builder, parts[0], parts[0], range(FOUR))


@intrinsic(prefer_literal=True)
def add_weighted(_typing, out, weight, indices, start, end, x, length):
    """out += sum over start <= p < end of weight[p] * x[indices[p]]; out [length], x [n, length], start and end int64.

    `length` is a constant, a multiple of 16.
    """
    numbers = length.literal_value

    def generate(context, builder, signature, arguments):
        out, weight, indices, x = (data_of(context, builder, signature.args[a], arguments[a]) for a in (0, 1, 2, 5))
        start, end = arguments[3], arguments[4]
        vector = _vectors(context, signature.args[1].dtype)
        before, first = _row(builder, out, INT64(0), vector, numbers), builder.block
        loop, done = builder.append_basic_block("connection"), builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed("<", start, end), loop, done)

        builder.position_at_end(loop)
        p, *sums = (builder.phi(value.type) for value in (start, *before))
        number = shuffled(builder, builder.insert_element(vector(ir.Undefined), builder.load(builder.gep(weight, [p])),
                                                          INT32(0)), vector(ir.Undefined), [0] * vector.count)
        row = builder.zext(builder.load(builder.gep(indices, [p])), INT64)
        after = [builder.fadd(s, builder.fmul(number, v, flags=FAST), flags=FAST)
                 for s, v in zip(sums, _row(builder, x, row, vector, numbers), strict=True)]
        following = builder.add(p, INT64(1))
        for phi, at_first, later in zip((p, *sums), (start, *before), (following, *after), strict=True):
            phi.add_incoming(at_first, first)
            phi.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed("<", following, end), loop, done)

        builder.position_at_end(done)
        results = [builder.phi(vector) for _ in before]
        for phi, at_first, later in zip(results, before, after, strict=True):
            phi.add_incoming(at_first, first)
            phi.add_incoming(later, loop)
        _store(builder, results, out)
        return context.get_dummy_value()

    return types.void(out, weight, indices, start, end, x, length), generate


@intrinsic
def _add_dots(_typing, sums, place, indices, start, last, d, x):
    """sums[place + k] += d . x[indices[min(start + k, last)]] for k < FOUR; d [64], x [n, 64]."""
    def generate(context, builder, signature, arguments):
        sums, indices, d, x = (data_of(context, builder, signature.args[a], arguments[a]) for a in (0, 2, 5, 6))
        place, start, last = arguments[1], arguments[3], arguments[4]
        vector = _vectors(context, signature.args[0].dtype)
        row, parts = _row(builder, d, INT64(0), vector), []
        for k in range(FOUR):
            p = builder.add(start, INT64(k))
            p = builder.select(builder.icmp_signed("<", p, last), p, last)
            j = builder.zext(builder.load(builder.gep(indices, [p])), INT64)
            parts.append(_dot(builder, row, _row(builder, x, j, vector)))
        total, target = _sums(builder, parts), builder.gep(sums, [place])
        before = _load(builder, builder.bitcast(target, total.type.as_pointer()))
        _store(builder, [builder.fadd(before, total, flags=FAST)], target)
        return context.get_dummy_value()

    return types.void(sums, place, indices, start, last, d, x), generate


@intrinsic
def _sum(_typing, values):
    """The sum of 64 numbers."""
    def generate(context, builder, signature, arguments):
        vector = _vectors(context, signature.args[0].dtype)
        total, *others = _row(builder, data_of(context, builder, signature.args[0], arguments[0]), INT64(0), vector)
        for other in others:
            total = builder.fadd(total, other, flags=FAST)
        lanes = vector.count
        while lanes > 1:
            lanes //= 2
            total = builder.fadd(total, shuffled(builder, total, total, [(lane + lanes) % vector.count for lane in
                                                                         range(vector.count)]), flags=FAST)
        return builder.extract_element(total, INT32(0))

    return values.dtype(values), generate


@njit(cache=True, nogil=True)
def multiply(indptr, indices, weight, x, y):
    """y[t, i] += sum over the connections (i, j) of weight * x[t, j]; x [tiles, n_in, 64], y [tiles, n_out, 64]."""
    for t in range(x.shape[0]):
        for i in range(indptr.shape[0] - 1):
            add_weighted(y[t, i], weight, indices, np.int64(indptr[i]), np.int64(indptr[i + 1]), x[t], TILE)


@njit(cache=True, nogil=True)
def sampled_product(indptr, indices, dy, x, gradient):
    """gradient[p] = sum over images of dy[i] * x[j] for every connection p = (i, j), and for no other position.

    Late in training many neurons do not answer to any image of a tile: their rows cost nothing.
    """
    gradient[:] = 0
    rest = np.empty(FOUR, gradient.dtype)
    for t in range(x.shape[0]):
        for i in range(indptr.shape[0] - 1):
            d, p, end = dy[t, i], np.int64(indptr[i]), np.int64(indptr[i + 1])
            if not d.any():
                continue
            while p + FOUR <= end:
                _add_dots(gradient, p, indices, p, end - 1, d, x[t])
                p += FOUR
            if p < end:
                rest[:] = 0
                _add_dots(rest, 0, indices, p, end - 1, d, x[t])
                for k in range(end - p):
                    gradient[p + k] += rest[k]


@njit(cache=True, nogil=True)
def sum_images(dy, total):
    """total[i] = sum over all images of dy[:, i, :]."""
    total[:] = 0
    for t in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            total[i] += _sum(dy[t, i])
