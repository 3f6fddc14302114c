"""`python -m regrow ship`: compact copies of full-scale records, and results/runs.csv with what each of them is."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from regrow import compact, files
from regrow.config import RunConfig
from regrow.record import Record
from regrow_companion import study, tail_tables
from regrow_companion.section8 import cases
from regrow_companion.section8 import nb21_schedules as series
from regrow_companion.section8 import nb24_channels as channels
from regrow_companion.study import SHIPPED, needs_of, store_of

# Always there, to find a run by; `method` is what figures call it.
IDENTITY = ("dataset", "model", "method", "prune", "sparsity", "epochs", "seed")
ORDER = ["dataset", "model", "sparsity", "prune", "method", "seed"]


def ship(arguments: Namespace) -> int:
    """Compact copies of the paper profile's finished runs, and results/runs.csv with what each of them is."""
    arguments.profile = "paper"
    store = store_of(arguments)
    copied = 0
    needs = needs_of(arguments)
    as_tables = {need: module.KIND for module in (series, channels) for need in module.NEEDS}
    short = sum(cases.ship(need, as_tables[need], store, SHIPPED) for need in needs if need in as_tables)
    for config in study.distinct([need for need in needs if need not in as_tables], "paper"):
        record = store.get(config)
        target = SHIPPED / "records" / f"{config.key}.npz"
        if record is not None and not (arguments.accuracy_only and target.is_file()):
            compact.save(record, target, topology=not arguments.accuracy_only)
            copied += 1
    shipped = [record for config in study.distinct(tail_tables.NEEDS, "paper") if (record := store.get(config))]
    tables = tail_tables.ship(shipped, store, SHIPPED)
    print(f"{copied} records, {tables} tables of statistics and the tables of {short} short runs copied; "
          f"{write_list(SHIPPED)} lists all records that are there.")
    return 0


def write_list(folder: Path) -> Path:
    """Write folder/runs.csv from folder/records and return its path."""
    records = [compact.load(path) for path in sorted((folder / "records").glob("*.npz"))]
    path = folder / "runs.csv"
    files.write(path, table(records).to_csv(index=False, lineterminator="\n").encode())
    return path


def table(records: Sequence[Record]) -> pd.DataFrame:
    """A row per record, sorted: its key, IDENTITY, every key of RunConfig in which any two records differ, its results.

    So two rows that agree in all keys of RunConfig are one and the same run. Accuracies are in percent, empty for
    Boltzmann machines; epochs count from 1.
    """
    keys = varied([record.config for record in records])
    rows = pd.DataFrame([_row(record, keys) for record in records])
    if rows.empty:
        return rows
    rows["best validation epoch"] = rows["best validation epoch"].astype("Int64")  # whole numbers beside empty cells
    return rows.sort_values([*ORDER, *keys], kind="stable")


def varied(configs: Sequence[RunConfig]) -> list[str]:
    """The keys in which any two of the configs differ and that are not in IDENTITY anyway, in RunConfig's order."""
    return [f.name for f in fields(RunConfig)
            if f.name not in IDENTITY and len({getattr(config, f.name) for config in configs}) > 1]


def _row(record: Record, keys: Sequence[str]) -> dict[str, Any]:
    config, made = record.config, record.provenance
    last, best = record.accuracy("last"), record.accuracy("best validation")
    return {"key": record.key, **{name: getattr(config, name) for name in IDENTITY},
            **{name: _text(getattr(config, name)) for name in keys},
            "validation %": _percent(last.validation), "test %": _percent(last.test),
            "best validation epoch": best.epoch or None, "test % at best validation": _percent(best.test),
            "diverged": record.diverged, "collapsed": record.collapsed, "updates recorded": len(record.steps) - 1,
            "engine": made["engine"], "seconds": made["seconds"], "hardware": made["hardware"],
            "commit": made["commit"], "data sha256": made["data_sha256"][:16]}


def _text(value: Any) -> Any:
    """Tuples as they are typed on the command line."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def _percent(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)
