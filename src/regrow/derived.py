"""Tables computed from records, kept beside them: the power-law statistics along the topology runs (Section 4.6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from regrow import files, study
from regrow.record import Record
from regrow.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from regrow.tail_series import Settings

FOLDER = "tails"
NEEDS = ("fig07",)  # what reads them


def tail_settings(record: Record, profile: str) -> Settings:
    """The paper's xmin of 110, scaled like the dormancy threshold for other networks; fewer synthetic sets in quick."""
    from regrow.tail_series import Settings

    xmin = record.thresholds.high
    quick = Settings(xmin, n_sets=500, matched_n=50, every=5, layers_every=10)
    return quick if profile == "quick" else Settings(xmin)


def tails(records: Sequence[Record], profile: str, store: Store, *, jobs: int = 1) -> pd.DataFrame:
    """The statistics of several runs of one network, see `tail_series.tables`: read where they are, else computed."""
    from regrow import tail_series

    return tail_series.tables(records, tail_settings(records[0], profile), store.root / FOLDER, jobs=jobs,
                              read_also=[root / FOLDER for root in store.read_also])


def complete(records: Sequence[Record], profile: str, store: Store) -> bool:
    """Whether the tables of all these runs are there, so that `tails` computes nothing."""
    from regrow import tail_series

    folders = [root / FOLDER for root in (store.root, *store.read_also)]
    return all(tail_series.find(record, tail_settings(records[0], profile), folders) for record in records)


def ensure(needs: Iterable[str], profile: str, store: Store, *, jobs: int = 1) -> None:
    """Compute what the figures among `needs` read and the store lacks, for the runs that are recorded."""
    for need in set(needs) & set(NEEDS):
        records = [record for config in study.runs(need, profile) if (record := store.get(config)) is not None]
        if records:
            tails(records, profile, store, jobs=jobs)


def ship(records: Sequence[Record], store: Store, folder: Path) -> int:
    """Copy the paper profile's tables of these runs to `folder`; return how many there were."""
    from regrow import tail_series

    copied = 0
    for record in records:
        name = tail_series.file_name(record, tail_settings(record, "paper"))
        source = store.root / FOLDER / name
        if source.is_file():
            (folder / FOLDER).mkdir(parents=True, exist_ok=True)
            files.write(folder / FOLDER / name, source.read_bytes())
            copied += 1
    return copied
