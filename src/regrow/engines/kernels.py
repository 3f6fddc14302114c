"""The sparse engine's compiled loops; work is proportional to the connections that exist.

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
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from regrow.jit import kernel

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
    """The address of an array's first number."""
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


@kernel()
def multiply(indptr, indices, weight, x, y):
    """y[t, i] += sum over the connections (i, j) of weight * x[t, j]; x [tiles, n_in, 64], y [tiles, n_out, 64]."""
    for t in range(x.shape[0]):
        for i in range(indptr.shape[0] - 1):
            add_weighted(y[t, i], weight, indices, np.int64(indptr[i]), np.int64(indptr[i + 1]), x[t], TILE)


@kernel()
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


@kernel()
def sum_images(dy, total):
    """total[i] = sum over all images of dy[:, i, :]."""
    total[:] = 0
    for t in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            total[i] += _sum(dy[t, i])


# Small loops: what happens to every neuron or connection once a step.

def aligned(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """Zeros that begin at a multiple of 64 bytes, as vector loads like it."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start:start + size].view(dtype).reshape(shape)


@kernel(fastmath=True)
def fill_bias(bias, y):
    """y[t, i, :] = bias[i]."""
    for t in range(y.shape[0]):
        for i in range(bias.shape[0]):
            y[t, i, :] = bias[i]


@kernel(fastmath=True)
def relu(y):
    """max(y, 0), in place."""
    zero = y.dtype.type(0)
    for t in range(y.shape[0]):
        for i in range(y.shape[1]):
            row = y[t, i]
            for b in range(TILE):
                row[b] = row[b] if row[b] > zero else zero


@kernel(fastmath=True)
def relu_backward(y, dy):
    """dy = 0 where the unit did not fire, in place."""
    zero = y.dtype.type(0)
    for t in range(y.shape[0]):
        for i in range(y.shape[1]):
            row, d = y[t, i], dy[t, i]
            for b in range(TILE):
                d[b] = d[b] if row[b] > zero else zero


@kernel()
def cross_entropy(logits, labels, dlogits):
    """Mean loss over the images and its gradient; images past len(labels) get gradient 0."""
    count = labels.shape[0]
    scale = logits.dtype.type(1.0 / count)
    classes = logits.shape[1]
    loss = 0.0
    dlogits[:] = logits.dtype.type(0)
    for n in range(count):
        t, b = n // TILE, n % TILE
        top = logits[t, 0, b]
        for c in range(1, classes):
            top = max(top, logits[t, c, b])
        total = logits.dtype.type(0)
        for c in range(classes):
            dlogits[t, c, b] = np.exp(logits[t, c, b] - top)
            total += dlogits[t, c, b]
        loss += np.log(total) - (logits[t, labels[n], b] - top)
        for c in range(classes):
            dlogits[t, c, b] *= scale / total
        dlogits[t, labels[n], b] -= scale
    return loss / count


@kernel(fastmath=True)
def gather(values, order, out):
    """out = values[order]."""
    for p in range(order.shape[0]):
        out[p] = values[order[p]]


@kernel(fastmath=True)
def sgd(weight, gradient, buffer, lr, momentum, weight_decay, nesterov):
    """One step of SGD with momentum on the connections that exist, as torch.optim.SGD defines it. In place.

    The numbers come as arrays of one element of the weights' type, so that single precision stays single.
    """
    step, mu, decay = lr[0], momentum[0], weight_decay[0]
    for p in range(weight.shape[0]):
        g = gradient[p] + decay * weight[p]
        buffer[p] = mu * buffer[p] + g
        weight[p] -= step * (g + mu * buffer[p] if nesterov else buffer[p])


@kernel()
def transpose(indptr, indices, n_in):
    """The same structure by input: indptr [n_in + 1], row of every entry, and its place in CSR order."""
    n_out = indptr.shape[0] - 1
    starts = np.zeros(n_in + 1, np.uint32)
    for p in range(indices.shape[0]):
        starts[indices[p] + 1] += np.uint32(1)
    for j in range(n_in):
        starts[j + 1] += starts[j]
    place = starts[:-1].copy()
    rows = np.empty(indices.shape[0], np.uint32)
    order = np.empty(indices.shape[0], np.uint32)
    for i in range(n_out):
        for p in range(indptr[i], indptr[i + 1]):
            q = place[indices[p]]
            rows[q] = i
            order[q] = p
            place[indices[p]] = q + np.uint32(1)
    return starts, rows, order


# A sum of outer products over images that leaves out what is zero. The gradient of a hidden neuron is zero for every
# image that it did not answer to: for 55 % of them early in training, and late, when two of three neurons of the first
# hidden layer have no connection, for 85 %. What is left is added up neuron by neuron and image by image, for so few
# columns at a time that a tile of x stays in the first-level cache and the sums of all neurons in the second-level one.
# A matrix product multiplies up to twice as fast, but by every zero.

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


@kernel()
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


@kernel()
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


@kernel()
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


# A batch of images straight into tiles: gathered, cropped, flipped, normalised, transposed. Images lie far apart in
# memory, and a tile has their pixels one after the other. So 64 of them are first copied, flipped where chance wants it
# and with a border around each, to a place that stays in the second-level cache; a crop is then only another beginning.
# From there 16 x 16 bytes at a time are transposed in registers.

SIDE = 16  # bytes in 128 bits


def stage(images: np.ndarray, pad: int) -> np.ndarray:
    """Room for 64 of the images [N, C, H, W] with their borders, black at first, and for reading past the last one."""
    _, channels, height, width = images.shape
    return np.zeros(TILE * channels * (height + 2 * pad) * (width + 2 * pad) + SIDE, np.uint8)


@intrinsic
def transpose_bytes(_typing, rows, first, staged, starts, place):
    """rows[first + k, b] = staged[starts[b] + place + k] for 16 k and 64 b; rows uint8 [n, 64], starts int64 [64]."""
    def generate(context, builder, signature, arguments):
        rows, staged, starts = (data_of(context, builder, signature.args[a], arguments[a]) for a in (0, 2, 3))
        first, place = arguments[1], arguments[4]
        short, whole = ir.VectorType(ir.IntType(8), SIDE), ir.VectorType(ir.IntType(8), TILE)

        def line(b: int) -> ir.Value:
            at = builder.add(builder.load(builder.gep(starts, [INT64(b)])), place)
            value = builder.load(builder.bitcast(builder.gep(staged, [at]), short.as_pointer()))
            value.align = 1
            return value

        # Vector i has line i of each group of 16 images side by side; what follows stays within groups.
        lines = [[line(group * SIDE + i) for group in range(TILE // SIDE)] for i in range(SIDE)]
        vectors = [shuffled(builder, shuffled(builder, a, b, range(2 * SIDE)), shuffled(builder, c, d, range(2 * SIDE)),
                            range(TILE)) for a, b, c, d in lines]
        low, high = ([group + half + k + vector for group in range(0, TILE, SIDE) for k in range(SIDE // 2)
                      for vector in (0, TILE)] for half in (0, SIDE // 2))
        for _ in range(4):  # interleaving with the vector half of them further on, four times, transposes
            vectors = [shuffled(builder, vectors[k], vectors[k + SIDE // 2], lanes) for k in range(SIDE // 2)
                       for lanes in (low, high)]
        for k, vector in enumerate(vectors):
            at = builder.gep(rows, [builder.mul(builder.add(first, INT64(k)), INT64(TILE))])
            builder.store(vector, builder.bitcast(at, whole.as_pointer())).align = 1
        return context.get_dummy_value()

    return types.void(rows, first, staged, starts, place), generate


@intrinsic
def _copy(_typing, target, to, source, start, flip):
    """target[to + k] = source[start + k], or source[start + 15 - k] if flip, for 16 k; uint8, flip boolean."""
    def generate(context, builder, signature, arguments):
        target, source = (data_of(context, builder, signature.args[a], arguments[a]) for a in (0, 2))
        pointer = ir.VectorType(ir.IntType(8), SIDE).as_pointer()
        value = builder.load(builder.bitcast(builder.gep(source, [arguments[3]]), pointer))
        value.align = 1
        value = builder.select(arguments[4], shuffled(builder, value, value, range(SIDE - 1, -1, -1)), value)
        builder.store(value, builder.bitcast(builder.gep(target, [arguments[1]]), pointer)).align = 1
        return context.get_dummy_value()

    return types.void(target, to, source, start, flip), generate


@kernel()
def _put(images, n, flip, pad, room, b):
    """Image n, flipped or not, into the middle of place b of room [64, C, H + 2 pad, W + 2 pad]."""
    _, channels, height, width = images.shape
    pixels, places = images.reshape(-1), room.reshape(-1)
    for c in range(channels):
        for y in range(height):
            start = np.int64(((n * channels + c) * height + y) * width)
            to = np.int64(((b * channels + c) * room.shape[2] + y + pad) * room.shape[3] + pad)
            if width < SIDE:
                for x in range(width):
                    places[to + x] = pixels[start + (width - 1 - x if flip else x)]
            for x in range(0, width if width >= SIDE else 0, SIDE):
                x = min(x, width - SIDE)
                _copy(places, to + (width - SIDE - x if flip else x), pixels, start + x, flip)


@kernel()
def _mirror(room, pad):
    """Fill the border of one image [C, H + 2 pad, W + 2 pad] with its reflection."""
    channels, height, width = room.shape
    for c in range(channels):
        image = room[c]
        for y in range(pad, height - pad):
            for x in range(pad):
                image[y, x] = image[y, 2 * pad - x]
                image[y, width - 1 - x] = image[y, width - 1 - (2 * pad - x)]
        for y in range(pad):
            image[y] = image[2 * pad - y]
            image[height - 1 - y] = image[height - 1 - (2 * pad - y)]


@kernel()
def stage_tile(images, chosen, offsets, flips, pad, mirrored, staged, t, starts):
    """Put the chosen images number 64 t and following where `transpose_bytes` finds them; return how many there are.

    Arguments as in `load_tiles`. starts [64] becomes where the first pixel of each is, in `staged`.
    """
    _, channels, height, width = images.shape
    augmented = offsets.shape[0] > 0
    line, plane = width + 2 * pad, (width + 2 * pad) * (height + 2 * pad)
    room = staged[:TILE * channels * plane].reshape(TILE, channels, height + 2 * pad, line)
    filled = min(TILE, chosen.shape[0] - t * TILE)
    for b in range(filled):
        n = t * TILE + b
        flip = augmented and flips[n]
        _put(images, chosen[n], flip, pad, room, b)
        if mirrored:
            _mirror(room[b], pad)
        dy, dx = (offsets[n, 0], offsets[n, 1]) if augmented else (pad, pad)
        starts[b] = b * channels * plane + dy * line + (2 * pad - dx if flip else dx)
    return filled


@kernel(fastmath=True)
def load_tiles(images, chosen, offsets, flips, pad, mirrored, scale, shift, staged, tiles):
    """Chosen images into tiles, as data.drawn and data.normalise would make them.

    images uint8 [N, C, H, W]; chosen [B]; offsets [B, 2] and flips [B] as in data.pad_crop_flip, or empty; staged from
    `stage`, and not to be used both with mirrored borders and with black ones. scale and shift [C], or [3] for a grey
    image that enters as three different channels. tiles [tiles, features, 64]: features are repeated until they are all
    filled, places past the last image are 0.
    """
    _, channels, height, width = images.shape
    size, shades = channels * height * width, scale.shape[0] // channels
    line, plane = width + 2 * pad, (width + 2 * pad) * (height + 2 * pad)
    row = np.empty((max(width, SIDE), TILE), np.uint8)
    starts = np.zeros(TILE, np.int64)
    for t in range(tiles.shape[0]):
        filled = stage_tile(images, chosen, offsets, flips, pad, mirrored, staged, t, starts)
        for c in range(channels):
            for y in range(height):
                for x in range(0, width, SIDE):
                    x = max(0, min(x, width - SIDE))  # the last ones may overlap
                    transpose_bytes(row, np.int64(x), staged, starts, np.int64(c * plane + y * line + x))
                for shade in range(c, scale.shape[0], channels):
                    first = (shade * height + y) * width
                    s, m = scale[shade], shift[shade]
                    for x in range(width):
                        out, pixels = tiles[t, first + x], row[x]
                        for b in range(TILE):
                            out[b] = pixels[b] * s + m
        if filled < TILE:
            tiles[t, :shades * size, filled:] = 0
        for copy in range(shades, tiles.shape[1] // size):
            tiles[t, copy * size:(copy + 1) * size] = tiles[t, :size]
