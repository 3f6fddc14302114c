"""Vectors in LLVM's terms, one number for every image of a tile: what the compiled loops for convolutions are made of.

Multiplication and addition may become one instruction, and nothing else about a sum is left to the compiler: it has the
same order, and the same bits, whatever the length of the processor's vectors. Only networks with normalisation, whose
tiles are as wide as these are long, add up in the order that suits the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features

from regrow.engines.kernels import INT32, INT64, data_of, shuffled

LANES = 8  # images in a tile
WIDE = 2 * LANES if get_host_cpu_features().get("avx512f") else LANES  # in one of a network with normalisation
ROWS = 2  # of a block of outputs
TALL = ROWS * WIDE // LANES  # of a block of their gradients: AVX-512 has twice as many registers, too
CONTRACT = ("contract",)


def zeros(value: ir.Value) -> ir.Constant:
    """Zeros of the type of a vector."""
    return ir.Constant(value.type, [0.0] * value.type.count)


def vectors_at(context: Any, builder: ir.IRBuilder, array_type: Any, array: ir.Value, at: ir.Value,
               lanes: int = LANES) -> ir.Value:
    """Pointer to vector number `at` of an array."""
    vector = ir.VectorType(context.get_value_type(array_type.dtype), lanes)
    return builder.gep(builder.bitcast(data_of(context, builder, array_type, array), vector.as_pointer()), [at])


def load(builder: ir.IRBuilder, pointer: ir.Value) -> ir.Value:
    """The vector that a pointer is at."""
    value = builder.load(pointer)
    value.align = 4  # what any array keeps; aligned ones are as fast
    return value


def store(builder: ir.IRBuilder, value: ir.Value, pointer: ir.Value) -> None:
    """Write a vector where a pointer is at."""
    builder.store(value, pointer).align = 4


def plus(builder: ir.IRBuilder, total: ir.Value, one: ir.Value, other: ir.Value) -> ir.Value:
    """total + one * other, in one instruction where there is one."""
    return builder.fadd(total, builder.fmul(one, other, flags=CONTRACT), flags=CONTRACT)


def splat(builder: ir.IRBuilder, number: ir.Value, lanes: int = LANES) -> ir.Value:
    """A vector of equal numbers."""
    nothing = ir.VectorType(number.type, lanes)(ir.Undefined)
    return shuffled(builder, builder.insert_element(nothing, number, INT32(0)), nothing, [0] * lanes)


def prefetch(builder: ir.IRBuilder, pointer: ir.Value, ahead: ir.Value, *, write: bool = False) -> None:
    """Ask for what lies `ahead` vectors further on, maybe past the end, to be in the cache when its time comes."""
    place = builder.bitcast(builder.gep(pointer, [ahead]), ir.IntType(8).as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [place.type, INT32, INT32, INT32])
    builder.call(builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind),
                 [place, INT32(int(write)), INT32(3), INT32(1)])


def larger(builder: ir.IRBuilder, one: ir.Value, other: ir.Value) -> ir.Value:
    """The larger of each pair of numbers; `other` where one is no number."""
    return builder.select(builder.fcmp_ordered(">", one, other), one, other)


def places_of(builder: ir.IRBuilder, corner: ir.Value, row: ir.Value, columns: int, step: int = 1,
              rows: int = ROWS) -> list[ir.Value]:
    """Pointers to the vectors of a block of rows x columns: rows `row` vectors apart, columns `step`."""
    starts = [corner]
    for _ in range(rows - 1):
        starts.append(builder.gep(starts[-1], [row]))
    return [builder.gep(start, [INT64(step * j)]) for start in starts for j in range(columns)]


def repeated(builder: ir.IRBuilder, start: ir.Value, end: ir.Value, before: Sequence[ir.Value],
              body: Callable[[ir.Value, list[ir.Value]], Sequence[ir.Value]]) -> list[ir.Value]:
    """The values after body(p, values) -> values for start <= p < end."""
    first = builder.block
    loop, done = builder.append_basic_block("connection"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed("<", start, end), loop, done)
    builder.position_at_end(loop)
    p, *values = (builder.phi(value.type) for value in (start, *before))
    after, following = body(p, values), builder.add(p, INT64(1))
    for phi, at_first, later in zip((p, *values), (start, *before), (following, *after), strict=True):
        phi.add_incoming(at_first, first)
        phi.add_incoming(later, loop)
    builder.cbranch(builder.icmp_signed("<", following, end), loop, done)
    builder.position_at_end(done)
    results = [builder.phi(value.type) for value in before]
    for phi, at_first, later in zip(results, before, after, strict=True):
        phi.add_incoming(at_first, first)
        phi.add_incoming(later, loop)
    return results


def added_up(builder: ir.IRBuilder, values: Sequence[ir.Value]) -> ir.Value:
    """Sum of eight vectors, neighbours first."""
    while len(values) > 1:
        values = [builder.fadd(one, other) for one, other in zip(values[::2], values[1::2], strict=True)]
    return values[0]
