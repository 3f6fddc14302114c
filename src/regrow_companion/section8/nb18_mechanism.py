"""`python -m regrow beyond mechanism`: watch the topology runs, keep what was seen, derive the tables of notebook 18.

A watched run is kept whole in the store (`beyond/KEY.npz`, some megabytes); its tables are small and are shipped. It is
a case like those of other experiments (see `cases`), and its key is that of the run: watching changes no bit of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from regrow import data, provenance
from regrow.config import RunConfig
from regrow.cost import total_steps
from regrow.errors import StoreError
from regrow_companion import study
from regrow_companion.section8 import cases, watched
from regrow_companion.section8 import nb18_attachment as attachment
from regrow_companion.section8 import nb18_dormancy as dormancy
from regrow_companion.section8 import nb19_exploration as exploration
from regrow_companion.section8.cases import FOLDER, Case, Experiment, Performed, Tables, Tell
from regrow_companion.section8.watched import Watched

TABLES: dict[str, Callable[[Watched], pd.DataFrame]] = {
    "exponents": attachment.exponents,
    "exploration": exploration.reliable,
    "kernel": attachment.kernel,
    "moments": lambda seen: dormancy.moments(dormancy.neurons(seen), dormancy.limits(seen)),
    "neurons": lambda seen: dormancy.shown(dormancy.neurons(seen)),
    "shells": attachment.by_shell,
}
QUICK_SEEDS = (0, 1)


@dataclass(frozen=True)
class WatchedRun(Case):
    """A run to watch."""

    @property
    def key(self) -> str:
        return self.run.key

    @property
    def labels(self) -> dict[str, Any]:
        return {"strategy": self.run.method, "seed": self.run.seed}


@dataclass(frozen=True)
class WatchedTables:
    """The tables of all watched runs there are, with the columns strategy and seed in front; see TABLES."""

    exponents: pd.DataFrame
    exploration: pd.DataFrame
    kernel: pd.DataFrame
    moments: pd.DataFrame
    neurons: pd.DataFrame
    shells: pd.DataFrame
    low: int  # degrees at or below which a neuron is dormant in the paper's sense, scaled for other networks
    thresholds: str  # says so on a plot
    runs: list[Performed]

    @property
    def first(self) -> RunConfig:
        return self.runs[0].config


def configs(profile: str) -> tuple[RunConfig, ...]:
    """The runs to watch: those of Sections 5.3 and 5.4, one seed of every growth rule after the other; two in quick."""
    runs = study.runs("topology", "quick" if profile == "quick" else "paper")
    seeds = QUICK_SEEDS if profile == "quick" else study.SEEDS
    return tuple(sorted((run for run in runs if run.seed in seeds), key=lambda run: run.seed))


def experiment(store: Path) -> Experiment:
    """How runs are watched and kept in a store."""
    return Experiment(
        "mechanism", lambda profile: [WatchedRun(run) for run in configs(profile)], partial(perform, store),
        lambda case: total_steps(case.run), tuple(TABLES), digits="%.4g", about=partial(_about, store))


def tables(profile: str, store: Path, shipped: Path) -> WatchedTables:
    """The tables of a profile, see `cases.tables`; `quick` watches what is missing, in seconds.

    Raises NotRecorded, naming the command, if there is no run at all.
    """
    found = cases.tables(experiment(store), profile, store, shipped)
    about = found.runs[0].about
    return WatchedTables(**found.tables, low=about["low"], thresholds=about["thresholds"], runs=found.runs)


def perform(store: Path, case: WatchedRun, root: Path | None, tell: Tell) -> tuple[Tables, dict[str, Any]]:
    """The tables of a run, which is trained if it was not watched yet."""
    seen = kept(case.run, store)
    if seen is None:
        dataset = data.load_for(case.run, root=root)
        made = provenance.of_run(device="cpu", engine="sparse", threads=1, data_sha256=dataset.sha256)
        _, seen = watched.observe(case.run, dataset, progress=tell, provenance=made)
        seen.save(_path(case.run, store))
    return {name: derive(seen) for name, derive in TABLES.items()}, seen.provenance


def kept(config: RunConfig, store: Path) -> Watched | None:
    """What was seen of a run, if it was watched; a damaged file counts as nothing and is replaced."""
    try:
        seen = watched.load(_path(config, store))
    except (FileNotFoundError, StoreError):
        return None
    return seen if seen.config == config else None


def _about(store: Path, case: WatchedRun) -> dict[str, Any]:
    seen = kept(case.run, store)
    assert seen is not None, "it was just performed"
    at = dormancy.limits(seen)
    return {"method": case.run.method, "seed": case.run.seed, "steps_per_epoch": seen.steps_per_epoch,
            "updates": len(seen.steps), "low": at.low, "high": at.high, "thresholds": at.sentence}


def _path(config: RunConfig, store: Path) -> Path:
    return store / FOLDER / f"{config.key}.npz"
