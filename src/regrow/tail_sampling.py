"""Exact draws from a discrete power law, and the generators that make them reproducible."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regrow import tail_kernels
from regrow.errors import ConfigError

LARGEST_TABLE = 8192  # integers above xmin whose probabilities are tabulated; beyond, draws are found by bisection
SMALLEST_TABLE = 256
GUIDE = 4096
Key = int | str | tuple[object, ...]


def generator(purpose: str, key: Key) -> np.random.Generator:
    """A fresh numpy generator that depends only on (purpose, key), as regrow.determinism does it for torch.

    `key` is a seed or a tuple such as (run, layer, update): the same key gives the same numbers on any machine.
    """
    words = "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{purpose}/{words}".encode()).digest()[:16], "big"))


@dataclass(frozen=True)
class Sampler:
    """The law P(k) ~ k ** -alpha on start <= k < end with the tables that make drawing fast."""

    alpha: float
    start: float
    end: float
    table: NDArray[np.float64]
    guide: NDArray[np.int64]


def sampler(alpha: float, xmin: int, xmax: int | None = None) -> Sampler:
    """Tables for drawing from xmin <= k <= xmax (None: unbounded). Raises ConfigError for a law that does not exist."""
    if xmin < 1:
        raise ConfigError(f"xmin must be a whole number of 1 or more, not {xmin}: a power law has no value at 0.")
    if xmax is not None and xmax < xmin:
        raise ConfigError(f"xmax = {xmax} lies below xmin = {xmin}; no integer is left between them.")
    if not np.isfinite(alpha) or (xmax is None and alpha <= 1):
        raise ConfigError(f"A power law without an upper end needs a finite alpha above 1, not {alpha}; pass xmax.")
    start, end = float(xmin), np.inf if xmax is None else xmax + 1.0
    size = LARGEST_TABLE
    if alpha > 1:  # as far as one draw in ten thousand goes
        size = int(min(size, max(SMALLEST_TABLE, start * 1e4 ** min(1 / (alpha - 1), 20.0))))
    size = int(min(size, end - start))
    table = tail_kernels.survival_table(float(alpha), start, end, size)
    return Sampler(float(alpha), start, end, table, tail_kernels.guide_table(table, GUIDE))


def sample(alpha: float, xmin: int, size: int, rng: np.random.Generator, xmax: int | None = None) -> NDArray[np.int64]:
    """`size` independent draws, int64, from P(k) = k ** -alpha / sum of j ** -alpha, xmin <= k <= xmax (None: no end).

    By inversion of the exact survival function: a table near xmin, doubling and bisection beyond it, no rounding of a
    continuous law. Draws above 2 ** 62, which only alpha < 2 can give, are returned as 2 ** 62. Raises ConfigError for
    xmin < 1, xmax < xmin, or alpha <= 1 without xmax.
    """
    law = sampler(alpha, xmin, xmax)
    out = np.empty(size, np.int64)
    tail_kernels.draws(1.0 - rng.random(size), law.table, law.guide, law.alpha, law.start, law.end, out)
    return out
