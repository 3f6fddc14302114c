"""One number with an interval from many updates of several seeds: weighted means and a bootstrap in blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BLOCK = 8  # updates that are drawn together, since what follows each other is alike
DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Pooled:
    """A weighted mean and its bootstrap interval."""

    value: float
    low: float
    high: float
    seeds: int


def pooled(frame: pd.DataFrame, value: str, weight: str, *, draws: int = DRAWS, level: float = LEVEL,
           block: int = BLOCK) -> Pooled:
    """The mean of column `value` with the weights in column `weight`, over the rows of all seeds (column `seed`).

    The bootstrap draws seeds with replacement, then blocks of `block` successive updates within each; with one seed
    it draws blocks only, so that the interval says nothing of other seeds. Rows without a value are left out.
    """
    known = frame[np.isfinite(frame[value]) & (frame[weight] > 0)].sort_values("step")
    sums = [_blocks(seed[value].to_numpy(float), seed[weight].to_numpy(float), block)
            for _, seed in known.groupby("seed", sort=True)]
    if not sums:
        return Pooled(np.nan, np.nan, np.nan, 0)
    chance = np.random.default_rng(0)
    replicas = np.empty(draws)
    for draw in range(draws):
        chosen = [sums[i] for i in chance.integers(len(sums), size=len(sums))]
        total = sum(seed[chance.integers(len(seed), size=len(seed))].sum(axis=0) for seed in chosen)
        replicas[draw] = total[0] / total[1]
    everything = np.concatenate(sums).sum(axis=0)
    low, high = np.quantile(replicas, [(1 - level) / 2, (1 + level) / 2])
    return Pooled(float(everything[0] / everything[1]), float(low), float(high), len(sums))


def _blocks(values: NDArray[np.float64], weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """[blocks, 2]: sum of weighted values and of weights."""
    starts = np.arange(0, len(values), size)
    return np.stack([np.add.reduceat(values * weights, starts), np.add.reduceat(weights, starts)], axis=1)
