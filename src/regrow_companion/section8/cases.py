"""The tables of Section 8's experiments: made once, kept, read and shipped, all in one way.

What is too large to ship is kept as a few small tables. There are two kinds of it:

- A *case* is no plain training run. It is a frozen dataclass that says everything that can change its result; its key
  addresses its tables, as a run's key addresses its record. An `Experiment` performs each case once. The files are
  KEY-TABLE.csv.gz and KEY.json, in STORE/beyond/tables and, of the paper profile, in results/beyond.
- *Runs of a need* are plain training runs, whose records are in the store; `Measuring` says how a record becomes
  tables. One file per table ships all runs of a need: results/beyond/NEED-TABLE.csv.gz (NEED.csv.gz where there is only
  one), and NEED.json says where they come from.

Of both kinds the user's own store wins over what is shipped wherever the two have the same case or run; what only one
of them has is read from there. `together` carries that out, for all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd

from regrow import files
from regrow.config import RunConfig
from regrow.determinism import one_thread
from regrow.errors import NotRecorded
from regrow.record import Record
from regrow.store import Store
from regrow_companion import study
from regrow_companion.console import Progress
from regrow_companion.session import Session

FOLDER = "beyond"
Tables = dict[str, pd.DataFrame]
Tell = Callable[[int], None]  # the steps done so far


@dataclass(frozen=True)
class Case:
    """What an experiment does once. Subclasses add fields that JSON can hold; `run` is the training it starts from."""

    run: RunConfig

    @property
    def key(self) -> str:
        """16 hex digits of everything that can change the result."""
        values = asdict(self) | {"run": self.run.key}
        return sha256(json.dumps([type(self).__name__, values], sort_keys=True).encode()).hexdigest()[:16]

    @property
    def labels(self) -> dict[str, Any]:
        """The columns that its tables get in front."""
        return {name: value for name, value in asdict(self).items() if name != "run"} | {"seed": self.run.seed}


@dataclass(frozen=True)
class Experiment:
    """How cases are performed: `perform(case, data_root, tell)` returns its tables, named as in `tables`, and its
    provenance (see `provenance.of_run`), which may have results in a few numbers; `steps(case)` is its length."""

    name: str
    cases: Callable[[str], Sequence[Any]]  # by profile, the most wanted first
    perform: Callable[[Any, Path | None, Tell], tuple[Tables, dict[str, Any]]]
    steps: Callable[[Any], int]
    tables: tuple[str, ...]
    # What the json of a case says beside key, config and provenance; its labels and the experiment's name unless given.
    about: Callable[[Any], dict[str, Any]] | None = None
    digits: str = "%.6g"  # of numbers in its tables


@dataclass(frozen=True)
class Measuring:
    """How a run of some needs becomes tables: `measure(record, usual)`, where `usual` is the need's first run.

    `tables` are their names, "" for a single one; each has a column `key` that says which run a row is of. Records that
    are not `whole` are left alone: shipped ones may lack series or masks.
    """

    tables: tuple[str, ...]
    measure: Callable[[Record, RunConfig], Tables]
    whole: Callable[[Record], bool]


@dataclass(frozen=True)
class Performed:
    """A case or run whose tables were read: what a figure's provenance asks of a record."""

    config: RunConfig
    provenance: dict[str, Any]
    key: str
    about: Mapping[str, Any] = field(default_factory=dict)  # all that the json of a case says


@dataclass(frozen=True)
class Found:
    """The tables of all cases or runs there are, one under the other, and where they come from."""

    tables: Tables
    runs: list[Performed]

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.tables[name]


Kept = Mapping[str, tuple[Performed, Tables]]  # by the key of the case or run


def together(own: Kept, shipped: Kept, order: Iterable[str]) -> Found | None:
    """What the user has and what is shipped, each case or run once and the user's own where both have it.

    They come in the order of these keys, any others last. None if there is nothing.
    """
    every, at = {**shipped, **own}, {key: place for place, key in enumerate(order)}
    chosen = [every[key] for key in sorted(every, key=lambda key: at.get(key, len(at)))]
    return Found({name: pd.concat([tables[name] for _, tables in chosen], ignore_index=True) for name in chosen[0][1]},
                 [performed for performed, _ in chosen]) if chosen else None


def own_tables(store: Path) -> Path:
    """Where a user's own tables of cases are."""
    return store / FOLDER / "tables"


# ---------------------------------------------------------------------------------------------------------------- cases


def perform(experiment: Experiment, cases: Sequence[Any], out: Path, data: Path | None = None, *,
            anew: bool = False) -> list[Path]:
    """Perform what is not in `out` yet, or all if `anew`, on one thread; returns the json of each case.

    Each case's tables are kept when it ends, the json last: interrupt it and it goes on with the case it was at.
    """
    out.mkdir(parents=True, exist_ok=True)
    done = 0
    with Progress(sum(experiment.steps(case) for case in cases), experiment.name) as bar, one_thread():
        for case in cases:
            if anew or not complete(case.key, experiment.tables, out):
                tell = partial(lambda before, step: bar.set(before + step), done)
                tables, made = experiment.perform(case, data, tell)
                assert tuple(tables) == experiment.tables
                for name, table in tables.items():
                    files.write_table(_file(out, case.key, name), table, experiment.digits)
                more = experiment.about(case) if experiment.about else {"experiment": experiment.name,
                                                                        "labels": case.labels}
                _write_json(out, case.key, {"key": case.key, "config": case.run.to_dict(), "provenance": made} | more)
            else:
                bar.before += experiment.steps(case)
            done += experiment.steps(case)
            bar.set(done)
    return [out / f"{case.key}.json" for case in cases]


def tables(experiment: Experiment, profile: str, store: Path, shipped: Path) -> Found:
    """Read the tables of a profile, with the labels of each case in front.

    `quick` performs what is missing and reads the store's own tables only. The other profiles read those and
    `shipped`/beyond, see `together`, and raise NotRecorded, naming the command, if there is none at all.
    """
    own, scale = own_tables(store), "quick" if profile == "quick" else "paper"
    wanted = experiment.cases(scale)
    if scale == "quick" and not all(complete(case.key, experiment.tables, own) for case in wanted):
        perform(experiment, wanted, own)  # not without need: it shows a bar, and every answer to an exercise comes here
    theirs = {} if scale == "quick" else _kept(wanted, experiment.tables, shipped / FOLDER)
    found = together(_kept(wanted, experiment.tables, own), theirs, [case.key for case in wanted])
    if found is None:
        raise NotRecorded(f"No case of {experiment.name} is there yet: "
                          f"python -m regrow beyond {experiment.name} --profile paper makes them.")
    return found


def complete(key: str, names: Iterable[str], place: Path) -> bool:
    """Whether all tables of a case are in a folder, and its json; those of an earlier version may not be."""
    return all(path.is_file() for path in (place / f"{key}.json", *(_file(place, key, name) for name in names)))


def labelled(frame: pd.DataFrame, labels: Mapping[str, Any]) -> pd.DataFrame:
    """Put columns of one value each in front of a table, in place."""
    for at, (name, value) in enumerate(labels.items()):
        frame.insert(at, name, [value] * len(frame))
    return frame


# ------------------------------------------------------------------------------------------------------- runs of a need


def of_need(book: Session, need: str, kind: Measuring, shipped: Path) -> Found:
    """The runs of a need: trained in quick, else from the session's store and as shipped, see `together`.

    Raises NotRecorded, naming the command, if there is none.
    """
    if (found := if_there(book, need, kind, shipped)) is None:
        raise NotRecorded(f"No run of {need} is there: python -m regrow run --profile paper --only {need} trains them.")
    return found


def if_there(book: Session, need: str, kind: Measuring, shipped: Path) -> Found | None:
    """As `of_need`, but None where it raises and where the profile has no such runs."""
    configs = study.runs(need, book.profile)
    own = measured(kind, book.available(need), configs[0]) if configs else {}
    return together(own, {} if book.quick else _shipped(shipped, need, kind), [config.key for config in configs])


def measured(kind: Measuring, records: Sequence[Record], usual: RunConfig) -> Kept:
    """The tables of each of these records that is whole."""
    return {record.key: (Performed(record.config, record.provenance, record.key), kind.measure(record, usual))
            for record in records if kind.whole(record)}


def ship(need: str, kind: Measuring, store: Store, folder: Path) -> int:
    """Add what a store has of a need to the files in `folder`/beyond; returns how many runs are there then, 0 if the
    store has none and nothing was written."""
    usual, *_ = configs = study.runs(need, "paper")
    own = measured(kind, [record for config in configs if (record := store.get(config)) is not None], usual)
    every = together(own, _shipped(folder, need, kind), [config.key for config in configs])
    if not own or every is None:
        return 0
    for name, frame in every.tables.items():
        files.write_table(_file(folder / FOLDER, need, name), frame)
    _write_json(folder / FOLDER, need, [{"config": run.config.to_dict(), "provenance": run.provenance}
                                        for run in every.runs], indent=1)
    return len(every.runs)


# ---------------------------------------------------------------------------------------------------------------- files


def _kept(cases: Sequence[Any], names: Sequence[str], place: Path) -> Kept:
    """The cases whose tables are in a folder."""
    found = {}
    for case in cases:
        if complete(case.key, names, place):
            about = json.loads((place / f"{case.key}.json").read_text())
            found[case.key] = (Performed(case.run, about["provenance"], case.key, about),
                               {name: labelled(files.read_table(_file(place, case.key, name)), case.labels)
                                for name in names})
    return found


def _shipped(folder: Path, need: str, kind: Measuring) -> Kept:
    """The runs of a need that were shipped."""
    about = folder / FOLDER / f"{need}.json"
    if not about.is_file():
        return {}
    frames = {name: files.read_table(_file(folder / FOLDER, need, name)) for name in kind.tables}
    runs = [Performed(config := RunConfig.from_record(run["config"]), run["provenance"], config.key)
            for run in json.loads(about.read_text())]
    return {run.key: (run, {name: frame[frame["key"] == run.key] for name, frame in frames.items()}) for run in runs}


def _file(place: Path, of: str, name: str) -> Path:
    return place / f"{of}{'-' * bool(name)}{name}{files.TABLE}"


def _write_json(place: Path, of: str, what: Any, indent: int = 2) -> None:
    files.write(place / f"{of}.json", (json.dumps(what, indent=indent, sort_keys=True) + "\n").encode())
