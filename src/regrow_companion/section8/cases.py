"""Experiments of Section 8 that are no plain training runs: each case is performed once, its small tables are kept.

A case is a frozen dataclass that says everything that can change its result; its key addresses its tables, as a run's
key addresses its record. Tables of the paper profile are shipped in results/beyond.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from regrow import files
from regrow.config import RunConfig
from regrow.determinism import one_thread
from regrow.errors import NotRecorded
from regrow_companion.console import Progress

FOLDER = "beyond"


@dataclass(frozen=True)
class Case:
    """What an experiment does once. Subclasses add fields that JSON can hold; `run` is the training it starts from."""

    run: RunConfig

    @property
    def key(self) -> str:
        """16 hex digits of everything that can change the result."""
        values = asdict(self) | {"run": self.run.key}
        return hashlib.sha256(json.dumps([type(self).__name__, values], sort_keys=True).encode()).hexdigest()[:16]

    @property
    def labels(self) -> dict[str, Any]:
        """The columns that its tables get in front."""
        return {name: value for name, value in asdict(self).items() if name != "run"} | {"seed": self.run.seed}


Tables = dict[str, pd.DataFrame]
Tell = Callable[[int], None]  # the steps done so far


@dataclass(frozen=True)
class Experiment:
    """How cases are performed: `perform(case, data_root, tell)` returns its tables, named as in `tables`, and its
    provenance (see `provenance.of_run`), which may have results in a few numbers; `steps(case)` is its length."""

    name: str
    cases: Callable[[str], Sequence[Any]]  # by profile, the most wanted first
    perform: Callable[[Any, Path | None, Tell], tuple[Tables, dict[str, Any]]]
    steps: Callable[[Any], int]
    tables: tuple[str, ...]


@dataclass(frozen=True)
class Performed:
    """A case or run whose tables were read: what a figure's provenance asks of a record."""

    config: RunConfig
    provenance: dict[str, Any]
    key: str


@dataclass(frozen=True)
class Found:
    """The tables of all cases there are, with their labels in front, and where they come from."""

    tables: Mapping[str, pd.DataFrame]
    runs: list[Performed]

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.tables[name]


def perform(experiment: Experiment, cases: Sequence[Any], out: Path, data: Path | None = None) -> list[Path]:
    """Perform what is not in `out` yet, on one thread; returns the json of each case, which is written last.

    Each case's tables are kept when it ends: interrupt it and it goes on with the case it was at.
    """
    out.mkdir(parents=True, exist_ok=True)
    done, written = 0, []
    with Progress(sum(experiment.steps(case) for case in cases), experiment.name) as bar, one_thread():
        for case in cases:
            if not complete(case.key, experiment.tables, out):
                tables, provenance = experiment.perform(case, data, partial(move, bar, done))
                assert tuple(tables) == experiment.tables
                for name, table in tables.items():
                    files.write_table(out / f"{case.key}-{name}{files.TABLE}", table)
                about = {"experiment": experiment.name, "key": case.key, "labels": case.labels,
                         "config": case.run.to_dict(), "provenance": provenance}
                text = json.dumps(about, indent=2, sort_keys=True) + "\n"
                files.write(out / f"{case.key}.json", text.encode())
            done += experiment.steps(case)
            bar.set(done)
            written.append(out / f"{case.key}.json")
    return written


def tables(experiment: Experiment, profile: str, store: Path, shipped: Path) -> Found:
    """Read the tables of a profile.

    `quick` performs what is missing. The other profiles read the store's own tables, then `shipped`/beyond, and raise
    NotRecorded, naming the command, if there is none at all.
    """
    own = store / FOLDER / "tables"
    cases = experiment.cases("quick" if profile == "quick" else "paper")
    if profile == "quick":
        perform(experiment, cases, own)
    places = (own,) if profile == "quick" else (own, shipped / FOLDER)
    found = {case: place for case in cases for place in reversed(places)
             if complete(case.key, experiment.tables, place)}
    if not found:
        raise NotRecorded(f"No case of {experiment.name} is there yet: "
                          f"python -m regrow beyond {experiment.name} --profile paper makes them.")
    frames = {name: pd.concat([labelled(files.read_table(place / f"{case.key}-{name}{files.TABLE}"), case.labels)
                               for case, place in found.items()], ignore_index=True) for name in experiment.tables}
    runs = [Performed(case.run, json.loads((place / f"{case.key}.json").read_text())["provenance"], case.key)
            for case, place in found.items()]
    return Found(frames, runs)


def move(bar: Progress, before: int, step: int) -> None:
    """Show `step` steps of a case, after `before` of those that came before it."""
    bar.set(before + step)


def complete(key: str, names: Iterable[str], place: Path) -> bool:
    """Whether all tables of a case are in a folder, and its json; those of an earlier version may not be."""
    ends = (".json", *(f"-{name}{files.TABLE}" for name in names))
    return all((place / f"{key}{end}").is_file() for end in ends)


def labelled(frame: pd.DataFrame, labels: Mapping[str, Any]) -> pd.DataFrame:
    """Put columns of one value each in front of a table, in place."""
    for at, (name, value) in enumerate(labels.items()):
        frame.insert(at, name, [value] * len(frame))
    return frame
