"""How fast hubs form under other schedules of updates, batches and averages: a few numbers per update of each run.

Whole records of all these runs would be too large to ship; these tables are not. One file per need holds all its runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from regrow import metrics
from regrow.beyond import short_runs
from regrow.beyond.cases import Performed
from regrow.beyond.short_runs import Kind, Tables
from regrow.config import RunConfig
from regrow.record import Record
from regrow.session import Session
from regrow.store import Store
from regrow.study import SHIPPED
from regrow.tails.fit import fit_tails

NEEDS = ("schedules", "batches", "schedules300", "batches300")
TABLE = ""  # the only one of each need
# What these studies vary, and what a value is called; sizes and rates that follow the batch are not named.
NAMES = {"update_interval": "interval {}", "prune_rate": "$p_0$ = {}", "prune_schedule": "{} decay",
         "batch_size": "batch {}", "growth_beta": r"$\beta$ = {}"}
HUBS = 0.01  # the best connected hundredth of the hidden neurons


@dataclass(frozen=True)
class Series:
    """`table` has the columns of `series` with key, strategy, seed, option, validation % and test % in front."""

    table: pd.DataFrame
    runs: list[Performed]

    def last(self) -> pd.DataFrame:
        """The row of each run after its last update."""
        return self.table.groupby("key", sort=False).tail(1).reset_index(drop=True)


def series(record: Record) -> pd.DataFrame:
    """Hidden degrees along a run, a row per recorded update, the start included.

    Columns: step, epoch, largest (degree), hubs (percent of all connection ends that the best connected hundredth of
    the hidden neurons have), spread (standard deviation of the degrees), dormant low and dormant high (percent of the
    hidden neurons at or below the thresholds of Section 5.4), n_tail, alpha and D of the tail from the high threshold
    on, explored (percent of all places that were ever connected).
    """
    degrees = record.hidden_degrees()
    limits, ranked = record.thresholds, np.sort(degrees, axis=1)
    top = max(1, round(HUBS * degrees.shape[1]))
    fits = fit_tails(degrees, max(1, limits.high))
    tried = sum(counts.astype(float) for counts in record.explored.values())
    return pd.DataFrame({
        "step": record.steps, "epoch": record.epochs_at, "largest": ranked[:, -1],
        "hubs": 100 * ranked[:, -top:].sum(axis=1) / ranked.sum(axis=1), "spread": degrees.std(axis=1),
        "dormant low": 100 * metrics.dormant_counts(degrees, limits.low) / degrees.shape[1],
        "dormant high": 100 * metrics.dormant_counts(degrees, limits.high) / degrees.shape[1],
        "n_tail": fits.n_tail, "alpha": fits.alpha, "D": fits.D,
        "explored": 100 * tried / record.total_weights})


def option(config: RunConfig, usual: RunConfig) -> str:
    """What is unusual in a run, in words for a legend; "usual" if nothing is."""
    if config.batch_size != usual.batch_size:
        return NAMES["batch_size"].format(config.batch_size)  # its interval and learning rate go with it
    changed = [text.format(value) for name, text in NAMES.items()
               if (value := getattr(config, name)) != getattr(usual, name)]
    return ", ".join(changed) or "usual"


def measured(records: Sequence[Record], usual: RunConfig) -> Series:
    """The tables of these records under one another; `usual` is the setting that options are named against."""
    return _series(short_runs.measured(KIND, records, usual))


def of(book: Session, need: str) -> Series:
    """The runs of a need that are there, see `short_runs.of`."""
    return _series(short_runs.of(book, need, KIND, SHIPPED))


def ship(need: str, store: Store, folder: Path) -> int:
    """Add what a store has of a need to `folder`/beyond/NEED.csv.gz and .json; returns how many runs are there then."""
    return short_runs.ship(need, KIND, store, folder)


def _measure(records: Sequence[Record], usual: RunConfig) -> dict[str, pd.DataFrame]:
    parts = []
    for record in records:
        frame = series(record)
        labels = {"key": record.key, "strategy": record.config.method, "seed": record.config.seed,
                  "option": option(record.config, usual), "validation %": float(record.val_accuracy[-1]),
                  "test %": float(record.test_accuracy[-1])}
        for at, (name, value) in enumerate(labels.items()):
            frame.insert(at, name, value)
        parts.append(frame)
    return {TABLE: pd.concat(parts, ignore_index=True)}


def _series(tables: Tables) -> Series:
    return Series(tables[TABLE], tables.runs)


# Shipped records may hold both ends only.
KIND = Kind((TABLE,), _measure, whole=lambda record: len(record.steps) > 2)
