"""Convolutions between batch normalisations: what happens to two rows of a map while they are in the cache.

Outputs y of a convolution are kept as they are. Normalised, added to a shortcut and cut at 0 they are made row by row,
where the next convolution reads them, and again on the way back. The gradient of y is dy = a dz + b y + g, affine in
each channel, from the gradient dz of the normalised outputs and its sums over the batch.

Coefficients are [channels, WIDE], one for every image of a tile: 0 for those that are not there, in the last one.
Where connections come in groups, sums of the earlier groups wait in memory for the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from regrow.engines.conv.kernels import add_products, outputs
from regrow.engines.conv.vectors import (
    ROWS,
    WIDE,
    larger,
    load,
    places_of,
    plus,
    prefetch,
    repeated,
    store,
    vectors_at,
    zeros,
)
from regrow.engines.kernels import INT64, data_of

wide_at = partial(vectors_at, lanes=WIDE)  # all vectors here are of WIDE numbers


def _begun(builder: ir.IRBuilder, resumed: ir.Value, places: Sequence[ir.Value]) -> list[ir.Value]:
    """The vectors at these places if `resumed`, else zeros."""
    before, nothing = builder.block, ir.Constant(places[0].type.pointee, [0.0] * WIDE)
    with builder.if_then(resumed):
        found, there = [load(builder, place) for place in places], builder.block
    values = [builder.phi(value.type) for value in found]
    for phi, value in zip(values, found, strict=True):
        phi.add_incoming(nothing, before)
        phi.add_incoming(value, there)
    return values


@intrinsic(prefer_literal=True)
def convolve_and_sum(_typing, columns, step, x, at, row, offsets, weight, start, end, resumed, last, y, to, y_row, sums,
                     squares, o):
    """A block of 2 x columns outputs, inputs `step` apart, added to those in y if `resumed`; when they are the `last`
    ones, added up in vector o of sums and of squares."""
    def generate(context, builder, signature, arguments):
        data = [data_of(context, builder, signature.args[a], arguments[a]) for a in (5, 6)]
        here, there = (wide_at(context, builder, signature.args[a], arguments[a], arguments[a + 1]) for a in (2, 11))
        targets = places_of(builder, there, arguments[13], columns.literal_value)
        before = _begun(builder, arguments[9], targets)
        values = outputs(builder, here, arguments[4], (*data, *arguments[7:9]), before, step.literal_value)
        for value, place in zip(values, targets, strict=True):
            store(builder, value, place)
        with builder.if_then(arguments[10]):
            places = [wide_at(context, builder, signature.args[a], arguments[a], arguments[16]) for a in (14, 15)]
            total, square = (load(builder, place) for place in places)
            next_rows = builder.mul(arguments[13], INT64(ROWS))
            for value, place in zip(values, targets, strict=True):
                prefetch(builder, place, next_rows, write=True)
                total, square = builder.fadd(total, value), plus(builder, square, value, value)
            for value, place in zip((total, square), places, strict=True):
                store(builder, value, place)
        return context.get_dummy_value()

    return types.void(columns, step, x, at, row, offsets, weight, start, end, resumed, last, y, to, y_row, sums,
                      squares, o), generate


@intrinsic(prefer_literal=True)
def convolve_and_cut(_typing, columns, dy, at, row, offsets, weight, start, end, resumed, last, x, beside, x_row, other,
                     y, dz, to, y_row, sums, products, c):
    """A block of 2 x columns of the gradient of inputs x, from dy at vector `at`, added to those in `other` if
    `resumed`, to dz; when they are the `last` ones, what `cut` does to rows of them."""
    def generate(context, builder, signature, arguments):
        data = [data_of(context, builder, signature.args[k], arguments[k]) for k in (4, 5)]
        here, seen = (wide_at(context, builder, signature.args[k], *arguments[k:k + 2]) for k in (1, 10))
        size, (x_row, y_row) = columns.literal_value, (arguments[12], arguments[17])
        add, out, target = (places_of(builder, wide_at(context, builder, signature.args[k], arguments[k],
                                                       arguments[16]), y_row, size) for k in (13, 14, 15))
        before = _begun(builder, arguments[8], add)
        values = outputs(builder, here, arguments[3], (*data, *arguments[6:8]), before)
        with builder.if_else(arguments[9]) as (then, otherwise):
            with then:
                places = [wide_at(context, builder, signature.args[k], arguments[k], arguments[20]) for k in (18, 19)]
                total, product = (load(builder, place) for place in places)
                next_rows, far = builder.mul(y_row, INT64(ROWS)), builder.mul(x_row, INT64(2 * ROWS))
                for k, place in enumerate(places_of(builder, seen, x_row, size)):
                    value = builder.select(builder.fcmp_ordered(">", load(builder, place), zeros(values[k])), values[k],
                                           zeros(values[k]))
                    store(builder, value, target[k])
                    total, product = builder.fadd(total, value), plus(builder, product, value, load(builder, out[k]))
                    prefetch(builder, out[k], next_rows)
                    prefetch(builder, target[k], next_rows, write=True)
                    prefetch(builder, place, far)
                for value, place in zip((total, product), places, strict=True):
                    store(builder, value, place)
            with otherwise:
                for value, place in zip(values, target, strict=True):
                    store(builder, value, place)
        return context.get_dummy_value()

    return types.void(columns, dy, at, row, offsets, weight, start, end, resumed, last, x, beside, x_row, other, y, dz,
                      to, y_row, sums, products, c), generate


@intrinsic(prefer_literal=True)
def gradient(_typing, rows, columns, step, sums, dy, to, dy_row, apart, x, at, row, offsets, start, end):
    """Add to the sums of connections what a block of rows x columns gives; columns of dy are `apart` vectors from each
    other, those of x `step`."""
    def generate(context, builder, signature, arguments):
        dy = wide_at(context, builder, signature.args[4], *arguments[4:6])
        d = [load(builder, place) for place in places_of(builder, dy, arguments[6], columns.literal_value,
                                                         apart.literal_value, rows.literal_value)]
        total = wide_at(context, builder, signature.args[3], arguments[3], INT64(0))
        x = wide_at(context, builder, signature.args[8], *arguments[8:10])
        offsets = data_of(context, builder, signature.args[11], arguments[11])
        add_products(builder, total, d, x, arguments[10], (offsets, *arguments[12:14]), columns.literal_value,
                     step.literal_value)
        return context.get_dummy_value()

    return types.void(rows, columns, step, sums, dy, to, dy_row, apart, x, at, row, offsets, start, end), generate


@intrinsic(prefer_literal=True)
def normalise(_typing, joined, count, y, at, scale, shift, c, out, to, other, beside, factor, ahead, far):
    """`count` vectors of a row of channel c: out = max(0, scale y + shift), plus factor * other if `joined`.

    What comes `ahead` vectors later in y, and `far` in other, is asked for.
    """
    def generate(context, builder, signature, arguments):
        y, out, other = (wide_at(context, builder, signature.args[a], *arguments[a:a + 2]) for a in (2, 7, 9))
        scale, shift, factor = (load(builder, wide_at(context, builder, signature.args[a], arguments[a],
                                                         arguments[6])) for a in (4, 5, 11))

        def body(p, _):
            value = plus(builder, shift, scale, load(builder, builder.gep(y, [p])))
            prefetch(builder, builder.gep(y, [p]), arguments[12])
            if joined.literal_value:
                prefetch(builder, builder.gep(other, [p]), arguments[13])
                value = plus(builder, value, factor, load(builder, builder.gep(other, [p])))
            positive = builder.select(builder.fcmp_ordered("<", value, zeros(value)), zeros(value), value)
            store(builder, positive, builder.gep(out, [p]))
            return []

        repeated(builder, INT64(0), arguments[1], [], body)
        return context.get_dummy_value()

    return types.void(joined, count, y, at, scale, shift, c, out, to, other, beside, factor, ahead, far), generate


@intrinsic
def pool(_typing, count, y, at, row, scale, shift, c, out, to):
    """`count` vectors: out = the largest of max(0, scale y + shift) in 2 x 2 windows of two rows of channel c."""
    def generate(context, builder, signature, arguments):
        y, out = (wide_at(context, builder, signature.args[a], *arguments[a:a + 2]) for a in (1, 7))
        scale, shift = (load(builder, wide_at(context, builder, signature.args[a], arguments[a], arguments[6]))
                        for a in (4, 5))

        def body(p, _):
            corner = builder.gep(y, [builder.mul(p, INT64(2))])
            window = [plus(builder, shift, scale, load(builder, place))
                      for place in places_of(builder, corner, arguments[3], 2)]
            top = larger(builder, larger(builder, window[0], window[1]), larger(builder, window[2], window[3]))
            positive = builder.select(builder.fcmp_ordered("<", top, zeros(top)), zeros(top), top)
            store(builder, positive, builder.gep(out, [p]))
            return []

        repeated(builder, INT64(0), arguments[0], [], body)
        return context.get_dummy_value()

    return types.void(count, y, at, row, scale, shift, c, out, to), generate


@intrinsic
def unpool(_typing, count, y, at, row, scale, shift, c, given, whose, dz, sums, products):
    """The gradient of `pool`, from `count` vectors of `given`, to dz (at the same vectors as y) and into both sums."""
    def generate(context, builder, signature, arguments):
        y, given = (wide_at(context, builder, signature.args[a], *arguments[a:a + 2]) for a in (1, 7))
        dz = wide_at(context, builder, signature.args[9], arguments[9], arguments[2])
        scale, shift = (load(builder, wide_at(context, builder, signature.args[a], arguments[a], arguments[6]))
                        for a in (4, 5))
        places = [wide_at(context, builder, signature.args[a], arguments[a], arguments[6]) for a in (10, 11)]

        def body(p, totals):
            at = builder.mul(p, INT64(2))
            raw = [load(builder, place) for place in places_of(builder, builder.gep(y, [at]), arguments[3], 2)]
            window = [plus(builder, shift, scale, value) for value in raw]
            top = larger(builder, larger(builder, window[0], window[1]), larger(builder, window[2], window[3]))
            value = load(builder, builder.gep(given, [p]))
            left, (total, product) = builder.fcmp_unordered(">", top, zeros(top)), totals
            for k, place in enumerate(places_of(builder, builder.gep(dz, [at]), arguments[3], 2)):
                found = left if k == 3 else builder.and_(left, builder.fcmp_ordered("==", window[k], top))
                left = builder.and_(left, builder.not_(found))
                one = builder.select(found, value, zeros(value))
                store(builder, one, place)
                total, product = builder.fadd(total, one), plus(builder, product, one, raw[k])
            return [total, product]

        for value, place in zip(repeated(builder, INT64(0), arguments[0], [load(builder, place) for place in places],
                                         body), places, strict=True):
            store(builder, value, place)
        return context.get_dummy_value()

    return types.void(count, y, at, row, scale, shift, c, given, whose, dz, sums, products), generate


@intrinsic
def cut(_typing, count, given, whose, x, beside, y, at, dz, sums, products, c):
    """`count` vectors of a row of channel c: dz = given where x is above 0, else 0. Added up are dz and dz * y.

    y and dz have the row at vector `at`.
    """
    def generate(context, builder, signature, arguments):
        given, x, y = (wide_at(context, builder, signature.args[k], *arguments[k:k + 2]) for k in (1, 3, 5))
        dz = wide_at(context, builder, signature.args[7], arguments[7], arguments[6])
        places = [wide_at(context, builder, signature.args[k], arguments[k], arguments[10]) for k in (8, 9)]

        def body(p, totals):
            value = load(builder, builder.gep(given, [p]))
            fired = builder.fcmp_ordered(">", load(builder, builder.gep(x, [p])), zeros(value))
            value = builder.select(fired, value, zeros(value))
            store(builder, value, builder.gep(dz, [p]))
            return [builder.fadd(totals[0], value), plus(builder, totals[1], value, load(builder, builder.gep(y, [p])))]

        for value, place in zip(repeated(builder, INT64(0), arguments[0], [load(builder, place) for place in places],
                                         body), places, strict=True):
            store(builder, value, place)
        return context.get_dummy_value()

    return types.void(count, given, whose, x, beside, y, at, dz, sums, products, c), generate


@intrinsic(prefer_literal=True)
def differentiate(_typing, apart, count, dz, y, at, a, b, g, c, dy, to, ahead):
    """`count` vectors of a row of channel c: dy = a dz + b y + g, `apart` vectors from each other.

    What comes `ahead` vectors later in dz and y is asked for.
    """
    def generate(context, builder, signature, arguments):
        dz, y = (wide_at(context, builder, signature.args[k], arguments[k], arguments[4]) for k in (2, 3))
        a, b, g = (load(builder, wide_at(context, builder, signature.args[k], arguments[k], arguments[8]))
                   for k in (5, 6, 7))
        dy = wide_at(context, builder, signature.args[9], *arguments[9:11])

        def body(p, _):
            for one in (dz, y):
                prefetch(builder, builder.gep(one, [p]), arguments[11])
            value = plus(builder, plus(builder, g, b, load(builder, builder.gep(y, [p]))), a,
                         load(builder, builder.gep(dz, [p])))
            store(builder, value, builder.gep(dy, [builder.mul(p, INT64(apart.literal_value))]))
            return []

        repeated(builder, INT64(0), arguments[1], [], body)
        return context.get_dummy_value()

    return types.void(apart, count, dz, y, at, a, b, g, c, dy, to, ahead), generate
