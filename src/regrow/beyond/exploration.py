"""In-time over-parameterisation: how many places for a connection a network has tried, and how many well (Section 8).

Liu et al. (ICML 2021, "Do We Actually Need Dense Over-Parameterization?") count the places that ever held a connection,
and hold that accuracy needs those explored *reliably*: whose connection grew enough to escape the next pruning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from regrow.beyond.observation import Observation
from regrow.config import RunConfig
from regrow.record import Record


def by_chance(connections: int, places: int, prune_rates: ArrayLike) -> NDArray[np.float64]:
    """Expected share of places ever connected, [U + 1], under growth that takes any free place (Eq. 8).

    At each update G = round(p n) connections grow on F = places - n + G free places, so a place that was never tried
    stays so with probability 1 - G / F. `prune_rates` are those of the U updates.
    """
    grown = np.round(np.asarray(prune_rates, dtype=float) * connections)
    free = places - connections + grown
    missed = np.divide(grown, free, out=np.zeros_like(grown), where=free > 0)
    untried = (places - connections) / places * np.cumprod(np.concatenate([[1.0], 1 - missed]))
    return 1 - untried


def comparable(records: Iterable[Record], like: RunConfig) -> list[Record]:
    """Each record once that differs from `like` in nothing but seed, augmentation and growth rule, static included."""
    found = {}
    for record in records:
        config = record.config
        if not config.is_dense and config.prune in (like.prune, "none") and config.but(
                seed=like.seed, augment=like.augment, prune=like.prune, grow=like.grow) == like:
            found[record.key] = record
    return list(found.values())


def explored(records: Iterable[Record]) -> pd.DataFrame:
    """Share of all maskable weights ever active, and what chance would give, a row per run and recorded update.

    Columns: key, strategy, augment, seed, epoch, percent, chance (percent; nan for a static run), accuracy (of the
    validation images, at the end).
    """
    parts = []
    for record in records:
        places = {layer: prod(shape) for layer, shape in record.shapes.items()}
        total = sum(places.values())
        tried = sum(series.astype(float) for series in record.explored.values())
        rates = record.prune_rates[1:]
        chance = sum(places[layer] * by_chance(count, places[layer], rates)
                     for layer, count in record.connections.items())
        whole = len(record.steps) > 2 or not record.config.is_dynamic  # some shipped records keep both ends only
        parts.append(pd.DataFrame({
            "key": record.key, "strategy": record.config.method, "augment": record.config.augment,
            "seed": record.config.seed, "epoch": record.epochs_at, "percent": 100 * tried / total,
            "chance": 100 * chance / total if whole and record.config.is_dynamic else np.nan,
            "accuracy": float(record.val_accuracy[-1])}))
    return pd.concat(parts, ignore_index=True)


COLUMNS = ("step", "epoch", "layer", "places", "explored", "reliable")


def reliable(seen: Observation) -> pd.DataFrame:
    """Places of each rewired layer ever connected, and of these with a connection that outlived a pruning.

    A row per update and layer, with COLUMNS; none for runs that were watched before this was counted.
    """
    rows = [(int(step), step / seen.steps_per_epoch, layer, prod(seen.shapes[layer]), int(tried[u]),
             int(seen.reliable[layer][u]))
            for layer, tried in seen.explored.items() for u, step in enumerate(seen.steps)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def final(frame: pd.DataFrame) -> pd.DataFrame:
    """The last row of every run of `explored`."""
    return frame.loc[frame.groupby("key", sort=False)["epoch"].idxmax()].reset_index(drop=True)


def rank_correlation(x: Sequence[float], y: Sequence[float], draws: int = 2000) -> tuple[float, float, float]:
    """Spearman's rho of two sequences [n] and its 95 % bootstrap interval over the pairs."""
    from regrow.beyond.dormancy import spearman

    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    chance = np.random.default_rng(0)
    picks = chance.integers(len(first), size=(draws, len(first)))
    low, high = np.nanquantile([spearman(first[pick], second[pick]) for pick in picks], [0.025, 0.975])
    return spearman(first, second), float(low), float(high)
