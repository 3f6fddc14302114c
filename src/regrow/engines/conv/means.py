"""ReLU and the mean over a map, and the gradient back through both."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import intrinsic

from regrow.engines.conv.vectors import LANES, load, store, vectors_at, zeros
from regrow.jit import kernel


@intrinsic
def _add_positive(_typing, total, to, y, at):
    """Add vector `at` of y to vector `to` of total, where it is above 0."""
    def generate(context, builder, signature, arguments):
        there, here = (vectors_at(context, builder, signature.args[a], *arguments[a:a + 2]) for a in (0, 2))
        value = load(builder, here)
        zero = zeros(value)
        value = builder.select(builder.fcmp_ordered("<", value, zero), zero, value)  # what is no number stays
        store(builder, builder.fadd(load(builder, there), value), there)
        return context.get_dummy_value()

    return types.void(total, to, y, at), generate


@intrinsic
def _where_positive(_typing, dy, to, y, at, gradient, whose):
    """Vector `to` of dy becomes vector `whose` of the gradient where vector `at` of y is above 0, else 0."""
    def generate(context, builder, signature, arguments):
        there, here, given = (vectors_at(context, builder, signature.args[a], *arguments[a:a + 2]) for a in (0, 2, 4))
        value = load(builder, given)
        zero = zeros(value)
        fired = builder.fcmp_ordered(">", load(builder, here), zero)
        store(builder, builder.select(fired, value, zero), there)
        return context.get_dummy_value()

    return types.void(dy, to, y, at, gradient, whose), generate


@kernel()
def average(y, height, width, mean):
    """mean[0, c, 0] = mean of max(y, 0) over height x width places; maps [H, C, W, 8]."""
    part = y.dtype.type(1) / y.dtype.type(height * width)
    for c in range(y.shape[1]):
        mean[0, c, 0] = 0
        for h in range(height):
            for w in range(width):
                _add_positive(mean, np.int64(c * mean.shape[2]), y, np.int64((h * y.shape[1] + c) * y.shape[2] + w))
        for b in range(LANES):
            mean[0, c, 0, b] *= part


@kernel()
def spread(y, height, width, gradient, dy, border):
    """dy[h + border, c, w + border] = gradient[0, c, 0] / places where y is above 0, and 0 elsewhere.

    The gradient, of the mean, becomes that of each of the height x width places.
    """
    part = y.dtype.type(1) / y.dtype.type(height * width)
    for c in range(y.shape[1]):
        for b in range(LANES):
            gradient[0, c, 0, b] *= part
    for h in range(height):
        for c in range(y.shape[1]):
            for w in range(width):
                to = ((h + border) * dy.shape[1] + c) * dy.shape[2] + w + border
                _where_positive(dy, np.int64(to), y, np.int64((h * y.shape[1] + c) * y.shape[2] + w), gradient,
                                np.int64(c * gradient.shape[2]))
