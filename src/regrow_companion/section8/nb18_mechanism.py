"""`python -m regrow beyond mechanism`: watch the topology runs, keep what was seen, derive the tables of notebook 18.

A watched run is kept whole in the store (`beyond/KEY.npz`, some megabytes); its tables are small and are shipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from regrow import files
from regrow.config import RunConfig
from regrow.cost import total_steps
from regrow.determinism import one_thread
from regrow.errors import NotRecorded, StoreError
from regrow_companion import study
from regrow_companion.console import Progress
from regrow_companion.section8 import nb18_attachment as attachment
from regrow_companion.section8 import nb18_dormancy as dormancy
from regrow_companion.section8 import nb19_exploration as exploration
from regrow_companion.section8 import watched
from regrow_companion.section8.cases import FOLDER, Performed, complete, labelled, move
from regrow_companion.section8.watched import Watched

TABLES: dict[str, Callable[[Watched], pd.DataFrame]] = {
    "exponents": attachment.exponents,
    "exploration": exploration.reliable,
    "kernel": attachment.kernel,
    "moments": lambda seen: dormancy.moments(dormancy.neurons(seen), dormancy.limits(seen)),
    "neurons": lambda seen: dormancy.shown(dormancy.neurons(seen)),
}
QUICK_SEEDS = (0, 1)


def configs(profile: str) -> tuple[RunConfig, ...]:
    """The runs to watch: those of Sections 5.3 and 5.4, one seed of every growth rule after the other; two in quick."""
    runs = study.runs("fig05", "quick" if profile == "quick" else "paper")
    seeds = QUICK_SEEDS if profile == "quick" else study.SEEDS
    return tuple(sorted((run for run in runs if run.seed in seeds), key=lambda run: run.seed))


def watch(wanted: Sequence[RunConfig], store: Path, out: Path, *, data: Path | None = None) -> list[Path]:
    """Train what was not watched yet, and write the tables of every run to `out`; returns the json of each.

    Runs come one after the other, each is kept when it ends: interrupt it and it goes on with the run it was at.
    """
    written = []
    with Progress(sum(total_steps(config) for config in wanted), "watched runs") as bar:
        for done, config in enumerate(wanted):
            before = sum(total_steps(earlier) for earlier in wanted[:done])
            seen = kept(config, store) or _watched(config, store, data, partial(move, bar, before))
            written.append(write_tables(seen, out))
            bar.set(before + total_steps(config))
    return written


def kept(config: RunConfig, store: Path) -> Watched | None:
    """What was seen of a run, if it was watched; a damaged file counts as nothing and is replaced."""
    try:
        seen = watched.load(store / FOLDER / f"{config.key}.npz")
    except (FileNotFoundError, StoreError):
        return None
    return seen if seen.config == config else None


def write_tables(seen: Watched, out: Path) -> Path:
    """Derive the tables of a run: out/KEY-exponents.csv.gz and so on, and KEY.json with where they come from, last."""
    out.mkdir(parents=True, exist_ok=True)
    key = seen.config.key
    for name, derive in TABLES.items():
        files.write_table(out / f"{key}-{name}{files.TABLE}", derive(seen), "%.4g")
    at = dormancy.limits(seen)
    about = {"key": key, "method": seen.config.method, "seed": seen.config.seed, "config": seen.config.to_dict(),
             "steps_per_epoch": seen.steps_per_epoch, "updates": len(seen.steps), "low": at.low, "high": at.high,
             "thresholds": at.sentence, "provenance": seen.provenance}
    path = out / f"{key}.json"
    files.write(path, (json.dumps(about, indent=2, sort_keys=True) + "\n").encode())
    return path


@dataclass(frozen=True)
class WatchedTables:
    """The tables of all watched runs there are, with the columns strategy and seed in front; see TABLES."""

    exponents: pd.DataFrame
    exploration: pd.DataFrame
    kernel: pd.DataFrame
    moments: pd.DataFrame
    neurons: pd.DataFrame
    low: int  # degrees at or below which a neuron is dormant in the paper's sense, scaled for other networks
    thresholds: str  # says so on a plot
    runs: list[Performed]

    @property
    def first(self) -> RunConfig:
        return self.runs[0].config


def tables(profile: str, store: Path, shipped: Path) -> WatchedTables:
    """Read the tables of a profile.

    `quick` watches what is missing, in seconds. The other profiles read `shipped`/beyond, then the store's own tables;
    runs with a black border stand in as long as there is none with the mirrored one. NotRecorded, naming the command,
    is raised if there is no run at all.
    """
    own = store / FOLDER / "tables"
    if profile == "quick":
        watch([config for config in configs(profile) if not complete(config.key, TABLES, own)], store, own)
    places = (own,) if profile == "quick" else (shipped / FOLDER, own)
    older = study.runs("black_border", profile)  # watched before the border of the paper's crops was known
    for runs in (configs(profile), older):
        found = {config: place for config in runs for place in reversed(places)
                 if complete(config.key, TABLES, place)}
        if found:
            break
    else:
        raise NotRecorded("No run was watched yet: python -m regrow beyond mechanism --profile paper does it.")
    about = [json.loads((place / f"{config.key}.json").read_text()) for config, place in found.items()]
    frames = {name: pd.concat(
        [labelled(files.read_table(place / f"{config.key}-{name}{files.TABLE}"),
                  {"strategy": config.method, "seed": config.seed}) for config, place in found.items()],
        ignore_index=True) for name in TABLES}
    return WatchedTables(**frames, low=about[0]["low"], thresholds=about[0]["thresholds"],
                  runs=[Performed(config, run["provenance"], config.key)
                        for config, run in zip(found, about, strict=True)])


def _watched(config: RunConfig, store: Path, root: Path | None, progress: Callable[[int], None]) -> Watched:
    from regrow import data, provenance
    from regrow_companion.section8 import watched

    dataset = data.load_for(config, root=root)
    with one_thread():
        made = provenance.of_run(device="cpu", engine="sparse", threads=1, data_sha256=dataset.sha256)
        _, seen = watched.observe(config, dataset, progress=progress, provenance=made)
    seen.save(store / FOLDER / f"{config.key}.npz")
    return seen
