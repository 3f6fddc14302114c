"""The gradient of every weight of a layer, connected or not, as growth by gradient or momentum wants it.

At least three of four output gradients in front of a 2 x 2 pooling are 0, and so are those of outputs that did not
fire. What is left is added up number by number: one output gradient of one image times the row of inputs that it sees,
[channels] for every column of the kernel on end. That is for the CPU a sum of rows with weights, kept in registers for
96 places at a time. A matrix product multiplies somewhat faster, but by every zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from regrow.engines.conv.vectors import LANES, load, plus, repeated, splat, store, vectors_at, zeros
from regrow.engines.kernels import INT64, data_of
from regrow.jit import kernel


class Wanted(NamedTuple):
    """What `add_dense_gradient` needs of every layer but the first, if `yes`; nothing is read or written otherwise."""

    yes: bool
    totals: tuple[np.ndarray, ...]
    room: np.ndarray
    number: np.ndarray
    start: np.ndarray


class RunningAverage:
    """The running average v of one layer's dense gradient (Eq. 10): v <- beta v + (1 - beta) gradient."""

    def __init__(self, gradient: Tensor, beta: float) -> None:
        """0, in the shape of a gradient and in its order in memory."""
        self.beta, self.value = beta, torch.zeros_like(gradient)

    def add(self, gradient: Tensor) -> None:
        self.value.lerp_(gradient, 1 - self.beta)

    def flush(self) -> Tensor:
        return self.value.contiguous()

    def reset(self) -> None:
        """Forget everything: the next window begins."""
        self.value.zero_()

    def state(self) -> dict[str, Tensor]:
        return {"value": self.value.contiguous()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.value.copy_(state["value"])


@intrinsic
def _found(_typing, x, at):
    """Which of the eight numbers of vector `at` are not 0, as bits."""
    def generate(context, builder, signature, arguments):
        value = load(builder, vectors_at(context, builder, signature.args[0], *arguments))
        zero = zeros(value)
        return builder.zext(builder.bitcast(builder.fcmp_unordered("!=", value, zero), ir.IntType(LANES)), INT64)

    return types.int64(x, at), generate


@intrinsic
def _lowest(_typing, bits):
    """The number of the lowest bit that is set."""
    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(bits), generate


@intrinsic(prefer_literal=True)
def _add_rows(_typing, vectors, total, to, number, start, count, x, shift):
    """total[to + k] += sum over p < count of number[p] * x[start[p] + shift + k], for 8 * vectors numbers k."""
    def generate(context, builder, signature, arguments):
        size = vectors.literal_value
        total, number, start, x = (data_of(context, builder, signature.args[a], arguments[a]) for a in (1, 3, 4, 6))
        kind = ir.VectorType(context.get_value_type(signature.args[1].dtype), LANES)

        def row(at: ir.Value) -> list[ir.Value]:
            return [builder.gep(builder.bitcast(at, kind.as_pointer()), [INT64(k)]) for k in range(size)]

        target, x = row(builder.gep(total, [arguments[2]])), builder.gep(x, [arguments[7]])

        def body(p: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            one = splat(builder, builder.load(builder.gep(number, [p])))
            here = row(builder.gep(x, [builder.zext(builder.load(builder.gep(start, [p])), INT64)]))
            return [plus(builder, value, one, load(builder, place)) for value, place in zip(sums, here, strict=True)]

        sums = repeated(builder, INT64(0), arguments[5], [load(builder, place) for place in target], body)
        for value, place in zip(sums, target, strict=True):
            store(builder, value, place)
        return context.get_dummy_value()

    return types.void(vectors, total, to, number, start, count, x, shift), generate


@kernel()
def add_dense_gradient(wanted, k, x, dy, border, height, width, step=1, skip=0):
    """totals[k][o, y, x, c] += the gradient of every weight, from a tile's inputs x and output gradients dy.

    The maps as in kernels.add_gradients; a total is [outputs, kernel height, kernel width, channels], the last two
    together a multiple of 16. `room` holds 8 images of the inputs that are seen, number and start (uint32) as many
    output gradients of one channel. With a stride, `step`, output gradients are as far from each other in dy; `skip` is
    how much wider the border of x is than the kernel needs.
    """
    for first in range(0, x.shape[3], LANES):
        _add_of_eight(wanted, k, x, dy, border, height, width, step, skip, first)


@kernel()
def _add_of_eight(wanted, k, x, dy, border, height, width, step, skip, first):
    """The same of the eight images from number `first` of the tile on: so many fit the cache."""
    total, room, number, start = wanted.totals[k], wanted.room, wanted.number, wanted.start
    n_out, tall, broad, channels = total.shape
    tall_in, broad_in = (height - 1) * step + tall, (width - 1) * step + broad
    line = broad_in * channels
    image = tall_in * line
    for h in range(tall_in):  # images one after the other, the channels of a place together
        for w in range(broad_in):
            to = h * line + w * channels
            for c in range(channels):
                for b in range(LANES):
                    room[b * image + to + c] = x[h + skip, c, w + skip, first + b]
    flat, length = total.reshape(-1), broad * channels
    for o in range(n_out):
        count = 0
        for h in range(height):
            for w in range(width):
                place = ((h * step + border) * dy.shape[1] + o) * dy.shape[2] + w * step + border
                bits = _found(dy, np.int64((place * dy.shape[3] + first) // LANES))
                while bits:
                    b = _lowest(bits)
                    number[count] = dy[h * step + border, o, w * step + border, first + b]
                    start[count] = b * image + (h * line + w * channels) * step
                    count += 1
                    bits &= bits - 1
        for y in range(tall):
            to, shift, left = np.int64((o * tall + y) * length), np.int64(y * line), length // LANES
            while left > 0:
                if left >= 12:
                    _add_rows(12, flat, to, number, start, count, room, shift)
                    done = 12
                elif left >= 6:
                    _add_rows(6, flat, to, number, start, count, room, shift)
                    done = 6
                else:
                    _add_rows(2, flat, to, number, start, count, room, shift)
                    done = 2
                to, shift, left = to + done * LANES, shift + done * LANES, left - done
