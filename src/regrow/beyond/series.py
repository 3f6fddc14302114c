"""How fast hubs form under other schedules of updates, batches and averages: a few numbers per update of each run.

Whole records of all these runs would be too large to ship; these tables are not. One file per need holds all its runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from regrow import graph, study, table_file
from regrow.config import RunConfig
from regrow.errors import NotRecorded
from regrow.figures import write_atomically
from regrow.record import Record
from regrow.session import SHIPPED, Session
from regrow.store import Store
from regrow.tails import fit_tails

NEEDS = ("schedules", "batches", "schedules300", "batches300")
FOLDER = "beyond"
# What these studies vary, and what a value is called; sizes and rates that follow the batch are not named.
NAMES = {"update_interval": "interval {}", "prune_rate": "$p_0$ = {}", "prune_schedule": "{} decay",
         "batch_size": "batch {}", "growth_beta": r"$\beta$ = {}"}
HUBS = 0.01  # the best connected hundredth of the hidden neurons


@dataclass(frozen=True)
class Measured:
    """A run of which the table is there: what a figure's provenance asks of a record."""

    config: RunConfig
    provenance: dict[str, Any]

    @property
    def key(self) -> str:
        return self.config.key


@dataclass(frozen=True)
class Series:
    """`table` has the columns of `series` with key, strategy, seed, option, validation % and test % in front."""

    table: pd.DataFrame
    runs: list[Measured]

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
    degrees = graph.hidden_degrees(record.in_degree, record.out_degree, record.layers)
    limits, ranked = study.thresholds(record), np.sort(degrees, axis=1)
    top = max(1, round(HUBS * degrees.shape[1]))
    fits = fit_tails(degrees, max(1, limits.high))
    tried = sum(counts.astype(float) for counts in record.explored.values())
    return pd.DataFrame({
        "step": record.steps, "epoch": record.epochs_at, "largest": ranked[:, -1],
        "hubs": 100 * ranked[:, -top:].sum(axis=1) / ranked.sum(axis=1), "spread": degrees.std(axis=1),
        "dormant low": 100 * graph.dormant_counts(degrees, limits.low) / degrees.shape[1],
        "dormant high": 100 * graph.dormant_counts(degrees, limits.high) / degrees.shape[1],
        "n_tail": fits.n_tail, "alpha": fits.alpha, "D": fits.D,
        "explored": 100 * tried / study.total_weights(record)})


def option(config: RunConfig, usual: RunConfig) -> str:
    """What is unusual in a run, in words for a legend; "usual" if nothing is."""
    if config.batch_size != usual.batch_size:
        return NAMES["batch_size"].format(config.batch_size)  # its interval and learning rate go with it
    changed = [text.format(value) for name, text in NAMES.items()
               if (value := getattr(config, name)) != getattr(usual, name)]
    return ", ".join(changed) or "usual"


def measured(records: Sequence[Record], usual: RunConfig) -> Series:
    """The tables of these records under one another; `usual` is the setting that options are named against."""
    parts = []
    for record in records:
        frame = series(record)
        labels = {"key": record.key, "strategy": record.config.method, "seed": record.config.seed,
                  "option": option(record.config, usual), "validation %": float(record.val_accuracy[-1]),
                  "test %": float(record.test_accuracy[-1])}
        for at, (name, value) in enumerate(labels.items()):
            frame.insert(at, name, value)
        parts.append(frame)
    return Series(pd.concat(parts, ignore_index=True), [Measured(r.config, r.provenance) for r in records])


def of(book: Session, need: str) -> Series:
    """The runs of a need that are there: trained in quick, else from the session's store, else as shipped.

    Raises NotRecorded, naming the command, if there is none.
    """
    configs = study.runs(need, book.profile)
    records = book.records(need) if book.quick else _whole(configs, book.store)
    own = measured(records, configs[0]) if records else None
    shipped = None if book.quick else load(SHIPPED, need)
    if own is None and shipped is None:
        raise NotRecorded(f"No run of {need} is there: python -m regrow run --profile paper --only {need} trains them.")
    return together(own, shipped)


def together(first: Series | None, second: Series | None) -> Series:
    """The runs of both, each once; the first's count where both have one."""
    if first is None or second is None:
        found = first or second
        assert found is not None
        return found
    new = [run for run in second.runs if run.key not in {run.key for run in first.runs}]
    rows = second.table[second.table["key"].isin({run.key for run in new})]
    return Series(pd.concat([first.table, rows], ignore_index=True), [*first.runs, *new])


def ship(need: str, store: Store, folder: Path) -> int:
    """Add what a store has of a need to `folder`/beyond/NEED.csv.gz and .json; returns how many runs are there then."""
    configs = study.runs(need, "paper")
    records = _whole(configs, store)
    if not records:
        return 0
    every = together(measured(records, configs[0]), load(folder, need))
    order = {config.key: at for at, config in enumerate(configs)}
    table = every.table.sort_values("key", key=lambda keys: keys.map(order), kind="stable")
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    table_file.write(folder / FOLDER / f"{need}{table_file.END}", table)
    runs = [{"config": run.config.to_dict(), "provenance": run.provenance}
            for run in sorted(every.runs, key=lambda run: order[run.key])]
    write_atomically(folder / FOLDER / f"{need}.json", (json.dumps(runs, indent=1, sort_keys=True) + "\n").encode())
    return len(runs)


def load(folder: Path, need: str) -> Series | None:
    """What was shipped of a need, or None."""
    about, table = (folder / FOLDER / f"{need}{end}" for end in (".json", table_file.END))
    if not about.is_file():
        return None
    runs = [Measured(RunConfig.from_dict(run["config"]), run["provenance"]) for run in json.loads(about.read_text())]
    return Series(table_file.read(table), runs)


def _whole(configs: Sequence[RunConfig], store: Store) -> list[Record]:
    """The records that hold every update; shipped ones may hold both ends only."""
    found = [record for config in configs if (record := store.get(config)) is not None]
    return [record for record in found if len(record.steps) > 2]
