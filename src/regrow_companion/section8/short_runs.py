"""Tables of training runs whose whole records would be too large to ship.

One file per table holds all runs of a need: results/beyond/NEED-TABLE.csv.gz (NEED.csv.gz where there is only one), and
NEED.json says where they come from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from regrow import files
from regrow.config import RunConfig
from regrow.errors import NotRecorded
from regrow.record import Record
from regrow.store import Store
from regrow_companion import study
from regrow_companion.section8.cases import FOLDER, Performed
from regrow_companion.session import Session


@dataclass(frozen=True)
class RunTables:
    """The tables of some runs by name; every one has a column `key` that says which run a row is of."""

    frames: dict[str, pd.DataFrame]
    runs: list[Performed]

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.frames[name]


@dataclass(frozen=True)
class Measuring:
    """How the runs of some needs become tables: `measure(records, usual)`, where `usual` is the need's first run.

    `names` are those of the tables, "" for a single one; records that are not `whole` are left alone.
    """

    names: tuple[str, ...]
    measure: Callable[[Sequence[Record], RunConfig], dict[str, pd.DataFrame]]
    whole: Callable[[Record], bool]


def of(book: Session, need: str, kind: Measuring, shipped: Path) -> RunTables:
    """The runs of a need that are there: trained in quick, else from the session's store, else as shipped.

    Raises NotRecorded, naming the command, if there is none.
    """
    configs = study.runs(need, book.profile)
    records = book.records(need) if book.quick else _stored(configs, book.store, kind)
    own = measured(kind, records, configs[0]) if records else None
    found = together(own, None if book.quick else load(shipped, need, kind))
    if found is None:
        raise NotRecorded(f"No run of {need} is there: python -m regrow run --profile paper --only {need} trains them.")
    return found


def measured(kind: Measuring, records: Sequence[Record], usual: RunConfig) -> RunTables:
    """The tables of these records."""
    return RunTables(kind.measure(records, usual),
                  [Performed(record.config, record.provenance, record.key) for record in records])


def together(first: RunTables | None, second: RunTables | None) -> RunTables | None:
    """The runs of both, each once; the first's count where both have one."""
    if first is None or second is None:
        return first or second
    known = {run.key for run in first.runs}
    new = [run for run in second.runs if run.key not in known]
    frames = {name: pd.concat([frame, rows], ignore_index=True)
              if len(rows := second[name][~second[name]["key"].isin(known)]) else frame
              for name, frame in first.frames.items()}
    return RunTables(frames, [*first.runs, *new])


def ship(need: str, kind: Measuring, store: Store, folder: Path) -> int:
    """Add what a store has of a need to the files in `folder`/beyond; returns how many runs are there then."""
    configs = study.runs(need, "paper")
    records = _stored(configs, store, kind)
    if not records:
        return 0
    every = together(measured(kind, records, configs[0]), load(folder, need, kind))
    assert every is not None
    order = {config.key: at for at, config in enumerate(configs)}
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, frame in every.frames.items():
        ordered = frame.sort_values("key", key=lambda keys: keys.map(order), kind="stable")
        files.write_table(_path(folder, need, name), ordered)
    runs = [{"config": run.config.to_dict(), "provenance": run.provenance}
            for run in sorted(every.runs, key=lambda run: order[run.key])]
    files.write(_about(folder, need), (json.dumps(runs, indent=1, sort_keys=True) + "\n").encode())
    return len(runs)


def load(folder: Path, need: str, kind: Measuring) -> RunTables | None:
    """What was shipped of a need, or None."""
    about = _about(folder, need)
    if not about.is_file():
        return None
    configs = [(RunConfig.from_record(run["config"]), run["provenance"]) for run in json.loads(about.read_text())]
    runs = [Performed(config, provenance, config.key) for config, provenance in configs]
    return RunTables({name: files.read_table(_path(folder, need, name)) for name in kind.names}, runs)


def _stored(configs: Sequence[RunConfig], store: Store, kind: Measuring) -> list[Record]:
    """The records from which everything can be measured; shipped ones may lack series or masks."""
    found = [record for config in configs if (record := store.get(config)) is not None]
    return [record for record in found if kind.whole(record)]


def _path(folder: Path, need: str, name: str) -> Path:
    return folder / FOLDER / f"{need}{'-' * bool(name)}{name}{files.TABLE}"


def _about(folder: Path, need: str) -> Path:
    return folder / FOLDER / f"{need}.json"
