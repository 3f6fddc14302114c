"""A sweep of equal runs in one process and in several, start of the processes included: what a second core brings."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.table import Table
from bench.timing import interleaved
from regrow import cost
from regrow.config import RunConfig
from regrow.errors import RegrowError
from regrow.store import Store
from regrow_companion import study
from regrow_companion.sweep import drive

COLUMNS = ("workers", "runs", "seconds", "seconds_q1", "seconds_q3", "repeats", "runs_per_hour", "steps_per_second",
           "times_one_worker", "efficiency")
SIZES: dict[str, dict[str, Any]] = {"tiny": {"runs": 2, "epochs": 1, "rounds": 1},
                                    "full": {"runs": 8, "epochs": 30, "rounds": 3}}
WORKERS = (1, 2)


def run(size: str) -> Table:
    """Runs of the quick profile's network, random growth, by seeds: nothing is shared but the machine."""
    options = SIZES[size]
    first = study.runs("fig05", "quick")[0].but(epochs=options["epochs"])
    configs = [first.but(seed=seed) for seed in range(options["runs"])]
    cases = {str(workers): _sweep(configs, workers) for workers in WORKERS}
    timings = interleaved(cases, rounds=options["rounds"], warm_up=0)
    rows = []
    for workers in WORKERS:
        timing = timings[str(workers)]
        low, high = timing.quartiles
        times = timings["1"].median / timing.median
        rows.append({"workers": workers, "runs": len(configs), "seconds": timing.median, "seconds_q1": low,
                     "seconds_q3": high, "repeats": len(timing.seconds),
                     "runs_per_hour": 3600 * len(configs) / timing.median,
                     "steps_per_second": len(configs) * cost.total_steps(first) / timing.median,
                     "times_one_worker": times, "efficiency": times / workers})
    return Table("sweep", f"{len(configs)} runs of {cost.total_steps(first):,} steps, in one process and two", COLUMNS,
                 rows, {"two workers, times one": rows[-1]["times_one_worker"]}, (
        "seconds: from the command to the last record in the store, with starting processes and importing torch.",
        "Cores that something else uses, and memory that both share, make two workers less than twice as fast."))


def _sweep(configs: list[RunConfig], workers: int) -> Callable[[], None]:
    def once() -> None:
        with tempfile.TemporaryDirectory() as folder:
            result = drive.run(configs, Store(Path(folder)), jobs=workers)
        if result.trained != len(configs):
            raise RegrowError(f"{len(result.failed)} runs of the sweep failed: {next(iter(result.failed.values()))}")

    return once
