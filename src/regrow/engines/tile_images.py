"""A batch of images straight into the sparse engine's tiles: gathered, cropped, flipped, normalised, transposed.

Images lie far apart in memory, and a tile has their pixels one after the other. So 64 of them are first copied,
flipped where chance wants it and with a border around each, to a place that stays in the second-level cache; a crop is
then only another beginning. From there 16 x 16 bytes at a time are transposed in registers.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from regrow.engines.sparse_products import INT64, TILE, data_of, shuffled

SIDE = 16  # bytes in 128 bits


def stage(images: np.ndarray, pad: int) -> np.ndarray:
    """Room for 64 of the images [N, C, H, W] with their borders, black at first, and for reading past the last one."""
    _, channels, height, width = images.shape
    return np.zeros(TILE * channels * (height + 2 * pad) * (width + 2 * pad) + SIDE, np.uint8)


@intrinsic
def _transpose(_typing, rows, first, staged, starts, place):
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(fastmath=True, cache=True, nogil=True)
def load_tiles(images, chosen, offsets, flips, pad, mirrored, scale, shift, staged, tiles):
    """Chosen images into tiles, as data.drawn and data.normalise would make them.

    images uint8 [N, C, H, W]; chosen [B]; offsets [B, 2] and flips [B] as in data.pad_crop_flip, or empty; staged from
    `stage`, and not to be used both with mirrored borders and with black ones. scale and shift [C], or [3] for a grey
    image that enters as three different channels. tiles [tiles, features, 64]: features are repeated until they are all
    filled, places past the last image are 0.
    """
    _, channels, height, width = images.shape
    augmented = offsets.shape[0] > 0
    size, shades = channels * height * width, scale.shape[0] // channels
    line, plane = width + 2 * pad, (width + 2 * pad) * (height + 2 * pad)
    room = staged[:TILE * channels * plane].reshape(TILE, channels, height + 2 * pad, line)
    row = np.empty((max(width, SIDE), TILE), np.uint8)
    starts = np.zeros(TILE, np.int64)
    for t in range(tiles.shape[0]):
        filled = min(TILE, chosen.shape[0] - t * TILE)
        for b in range(filled):
            n = t * TILE + b
            flip = augmented and flips[n]
            _put(images, chosen[n], flip, pad, room, b)
            if mirrored:
                _mirror(room[b], pad)
            dy, dx = (offsets[n, 0], offsets[n, 1]) if augmented else (pad, pad)
            starts[b] = b * channels * plane + dy * line + (2 * pad - dx if flip else dx)
        for c in range(channels):
            for y in range(height):
                for x in range(0, width, SIDE):
                    x = max(0, min(x, width - SIDE))  # the last ones may overlap
                    _transpose(row, np.int64(x), staged, starts, np.int64(c * plane + y * line + x))
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
