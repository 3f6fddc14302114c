"""Sums of smooth functions over ranges of whole numbers, infinite ones too, as a few hundred weighted terms.

The first integers are taken one by one. After them come blocks with a Gauss rule each for the sum over its integers:
nodes are the zeros of the discrete Chebyshev (Gram) polynomials, as those of Legendre are for integrals. It is exact
for polynomials of degree 2 NODES - 1, and to rounding for the laws of regrow.tail_laws.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

NODES = 16  # per block
ONE_BY_ONE = 64  # integers, so that a law may fall as steeply as it likes
SHARPEST = 4.0  # square roots of its values that a block spans at the peak, so that a Poisson law shows its shape there
FARTHEST = 2.0**80  # where an infinite sum ends; terms must have become negligible by then


@lru_cache(maxsize=64)
def gauss_sum(start: int, end: float, peak: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes x and weights w such that sum(w * f(x)) is the sum of f(k) over start <= k < end (inf: no end).

    f may have a peak near `peak` that is as narrow as that of a Poisson law, and may fall as steeply as it likes from
    `start` on; elsewhere it should vary as powers and exponentials do.
    """
    last = min(end, FARTHEST)
    at = min(start + float(ONE_BY_ONE), last)
    nodes, weights = [np.arange(start, at)], [np.ones(int(at) - start)]
    while at < last:
        # No wider than the way from the start, so that exp(-rate * k) is resolved wherever it is not negligible, nor
        # than the way from the peak; powers of 2, so that few different blocks are needed.
        away = at - peak if at > peak else (peak - at) / 2
        width = max(min(at - start, max(away, SHARPEST * np.sqrt(at))), NODES)
        size = float(min(2.0 ** np.floor(np.log2(width)), last - at))
        x, w = _block(size)
        nodes.append(at + x)
        weights.append(w)
        at += size
    return np.concatenate(nodes), np.concatenate(weights)


@lru_cache(maxsize=4096)
def _block(size: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss rule for the sum over 0, 1, ..., size - 1 (Golub and Welsch, with the recurrence of Gram polynomials)."""
    if size <= NODES:
        return np.arange(size), np.ones(int(size))
    j = np.arange(1.0, NODES)
    off_diagonal = 0.5 * j * np.sqrt((size - j) * (size + j) / (4.0 * j * j - 1.0))
    shifts, vectors = eigh_tridiagonal(np.zeros(NODES), off_diagonal)
    return 0.5 * (size - 1.0) + shifts, size * vectors[0] ** 2
