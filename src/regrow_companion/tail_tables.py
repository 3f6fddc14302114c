"""The statistics of Section 4.6 along whole runs: a table per run, computed once, kept beside the records and shipped.

A table is addressed by the run's key and the settings, so what was computed for other settings is never shown.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from regrow import files
from regrow.config import RunConfig
from regrow.determinism import one_thread_each
from regrow.errors import StoreError
from regrow.files import move_aside
from regrow.record import Record
from regrow.store import Store
from regrow.tails.compare import NAMES, compare_laws
from regrow.tails.fit import PAPER_XMIN, fit_tail, tail_of
from regrow.tails.goodness import goodness_of_fit, matched_p
from regrow_companion import study
from regrow_companion.console import Progress

POOLED = "all hidden"  # as the paper seems to do
RESULT_VERSION = 2  # raise it when the same settings would give other numbers than before
MATCHED_DRAWS = 5
BLOCK = 8  # time points that a process takes at a time


@dataclass(frozen=True)
class Settings:
    """How every time point is tested; `matched_n` values are what "p matched" cuts every tail down to.

    All hidden neurons together are looked at every `every` updates, each layer by itself every `layers_every`; all at
    the first two and the last.
    """

    xmin: int = PAPER_XMIN
    xmax: int | None = None
    n_sets: int = 2500
    matched_n: int = 300
    every: int = 1
    layers_every: int = 4

    @property
    def key(self) -> str:
        """8 hex digits of everything that can change a table."""
        return hashlib.sha256(json.dumps([RESULT_VERSION, asdict(self)]).encode()).hexdigest()[:8]


def tables(records: Sequence[Record], settings: Settings, folder: Path, *, read_also: Sequence[Path] = (),
           jobs: int = 1) -> pd.DataFrame:
    """The tables of several runs under one another, read from `folder` or `read_also`, the rest computed and kept.

    Columns: strategy, seed, layer ("all hidden", "hidden 1", ...), update, step, epoch, n_tail, alpha, sigma, D,
    D sqrt(n), p, p error, p matched (see `goodness.matched_p`; nan for shorter tails), best (the law of largest AIC
    weight), weight (of the power law), and for each alternative law its ratio and p (see `compare.compare_laws`).
    A time point whose tail is empty or has only one value is a row of nan with n_tail.
    """
    folders = (folder, *read_also)
    found = {record.key: _kept(record, settings, folders) for record in records}
    missing = [record for record in records if found[record.key] is None]
    for record, table in _computed(missing, settings, jobs) if missing else ():
        folder.mkdir(parents=True, exist_ok=True)
        files.write_table(_path(record, settings, folder), table)
        found[record.key] = _kept(record, settings, folders)  # as it reads: the same on the first call as later
    return pd.concat(list(found.values()), ignore_index=True)


def one_time_point(degrees: np.ndarray, settings: Settings, key: tuple[str, str, int]) -> dict[str, Any]:
    """A row of the table, from the degrees of all neurons at one time; `key` seeds its Monte-Carlo test."""
    tail = tail_of(np.asarray(degrees, np.int64), settings.xmin, settings.xmax)
    if len(set(tail.tolist())) < 2:
        return {"n_tail": len(tail)}
    fit = fit_tail(degrees, settings.xmin, settings.xmax)
    test, laws = goodness_of_fit(degrees, fit, settings.n_sets, key=key), compare_laws(degrees, fit)
    row = {"n_tail": fit.n_tail, "alpha": fit.alpha, "sigma": fit.sigma, "D": fit.D, "D sqrt(n)": test.D_sqrt_n,
           "p": test.p, "p error": test.p_error, "p matched": np.nan, "best": laws.best,
           "weight": laws.power_law.weight}
    if fit.n_tail >= settings.matched_n:
        row["p matched"] = matched_p(np.asarray(degrees)[None], settings.matched_n, xmin=settings.xmin,
                                     xmax=settings.xmax, draws=MATCHED_DRAWS, key=key).p[0]
    for name in NAMES:
        row |= {f"ratio {name}": laws[name].ratio, f"p {name}": laws[name].p}
    return row


def _computed(records: Sequence[Record], settings: Settings, jobs: int) -> Iterator[tuple[Record, pd.DataFrame]]:
    """Each run's table as soon as it is whole; time points are spread over processes of one thread each."""
    work = [(record, block) for record in records for block in _blocks(record, settings)]
    rows: dict[str, list[dict[str, Any]]] = {record.key: [] for record in records}
    left = {record.key: sum(of is record for of, _ in work) for record in records}
    with Progress(len(work), "power-law tests") as bar:
        for done, (record, found) in enumerate(_spread(work, settings, jobs), start=1):
            rows[record.key] += found
            left[record.key] -= 1
            bar.set(done)
            if not left[record.key]:
                yield record, _table(record, rows[record.key])


Block = list[tuple[str, int, np.ndarray]]  # layer, update, degrees


def _blocks(record: Record, settings: Settings) -> Iterator[Block]:
    layers = record.hidden_layer_degrees()
    times = range(len(record.steps))
    # The first updates are where most happens, and where a power law comes nearest to fitting.
    some, few = (sorted({*times[:3], *times[::every], times[-1]}) for every in (settings.every, settings.layers_every))
    points: Block = [(POOLED, u, np.concatenate([degrees[u] for degrees in layers])) for u in some]
    points += [(f"hidden {i}", u, degrees[u]) for i, degrees in enumerate(layers, start=1) for u in few]
    for first in range(0, len(points), BLOCK):
        yield points[first:first + BLOCK]


def _spread(work: Sequence[tuple[Record, Block]], settings: Settings,
            jobs: int) -> Iterator[tuple[Record, list[dict[str, Any]]]]:
    if jobs <= 1 or len(work) <= 1:
        for record, block in work:
            yield record, _rows(record.key, block, settings)
        return
    with one_thread_each(), ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        tasks = {pool.submit(_rows, record.key, block, settings): record for record, block in work}
        for task in as_completed(tasks):
            yield tasks[task], task.result()


def _rows(key: str, block: Block, settings: Settings) -> list[dict[str, Any]]:
    return [{"layer": layer, "update": update, **one_time_point(degrees, settings, (key, layer, update))}
            for layer, update, degrees in block]


def _table(record: Record, rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows).sort_values(["layer", "update"], ignore_index=True)
    frame.insert(0, "strategy", record.config.method)
    frame.insert(1, "seed", record.config.seed)
    frame.insert(4, "step", record.steps[frame["update"]])
    frame.insert(5, "epoch", record.epochs_at[frame["update"]])
    return frame


def _path(record: Record, settings: Settings, folder: Path) -> Path:
    return folder / file_name(record, settings)


def _kept(record: Record, settings: Settings, folders: Sequence[Path]) -> pd.DataFrame | None:
    """A run's table, or None. A damaged one in the first folder is moved aside, elsewhere left where it is."""
    for folder in folders:
        if (path := _path(record, settings, folder)).is_file():
            try:
                return files.read_table(path)
            except StoreError as error:
                move_aside(path, folders[0].parent, error)
    return None


def file_name(record: Record, settings: Settings) -> str:
    """What a run's table is called."""
    return f"{record.key}-{settings.key}{files.TABLE}"


def find(record: Record, settings: Settings, folders: Iterable[Path]) -> Path | None:
    """Where a run's table is kept, or None."""
    paths = (_path(record, settings, folder) for folder in folders)
    return next((path for path in paths if path.is_file()), None)


FOLDER = "tails"
NEEDS = ("fig07", "sec5.3")  # what reads them


def tail_settings(record: Record, profile: str) -> Settings:
    """The paper's xmin of 110, scaled like the dormancy threshold for other networks; fewer synthetic sets in quick.

    A run with more updates than the paper's is looked at as often, at the same steps.
    """
    xmin = record.thresholds.high
    if profile == "quick":
        return Settings(xmin, n_sets=500, matched_n=50, every=5, layers_every=10)
    every = max(1, RunConfig().update_interval // record.config.update_interval)
    return Settings(xmin, every=every, layers_every=4 * every)


def tails(records: Sequence[Record], profile: str, store: Store, *, jobs: int = 1) -> pd.DataFrame:
    """The statistics of several runs of one network, see `tables`: read where they are, else computed."""
    return tables(records, tail_settings(records[0], profile), store.root / FOLDER, jobs=jobs,
                              read_also=[root / FOLDER for root in store.read_also])


def complete(records: Sequence[Record], profile: str, store: Store) -> bool:
    """Whether the tables of all these runs are there, so that `tails` computes nothing."""
    folders = [root / FOLDER for root in (store.root, *store.read_also)]
    return all(find(record, tail_settings(records[0], profile), folders) for record in records)


def ensure(needs: Iterable[str], profile: str, store: Store, *, jobs: int = 1) -> None:
    """Compute what the figures among `needs` read and the store lacks, for the runs that are recorded."""
    for need in set(needs) & set(NEEDS):
        records = [record for config in study.runs(need, profile) if (record := store.get(config)) is not None]
        if records:
            tails(records, profile, store, jobs=jobs)


def ship(records: Sequence[Record], store: Store, folder: Path) -> int:
    """Copy the paper profile's tables of these runs to `folder`; return how many there were."""
    copied = 0
    for record in records:
        name = file_name(record, tail_settings(record, "paper"))
        source = store.root / FOLDER / name
        if source.is_file():
            (folder / FOLDER).mkdir(parents=True, exist_ok=True)
            files.write(folder / FOLDER / name, source.read_bytes())
            copied += 1
    return copied
