"""The one line of set-up in every notebook: `book = session.start("05", profile=profile, store=store, out=out)`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.config import RunConfig
from regrow.errors import RegrowError
from regrow.files import place
from regrow.record import Record
from regrow.store import Store, require
from regrow_companion import exercises, figures, study, style
from regrow_companion.study import SHIPPED, default_store, figure_folder

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Session:
    """What a notebook has at hand: its records and a way to save figures."""

    notebook: str
    profile: str
    store: Store
    out: Path

    @property
    def quick(self) -> bool:
        return self.profile == "quick"

    def records(self, need: str) -> list[Record]:
        """All records that a figure or table needs. `quick` trains what is missing, with a progress bar.

        Raises NotRecorded, naming the command, in the other profiles.
        """
        configs = list(study.runs(need, self.profile))
        if self.quick:
            train_missing(configs, self.store)
        return require(self.store, configs, f"python -m regrow run --profile paper --only {need} trains them.")

    def available(self, need: str) -> list[Record]:
        """Those records that exist, for tables that are filled cell by cell."""
        if self.quick:
            return self.records(need)
        return [record for config in study.runs(need, self.profile) if (record := self.store.get(config))]

    def tails(self, records: Sequence[Record]) -> pd.DataFrame:
        """Power-law statistics along these runs, a row per time and layer (see `tail_tables.tables`).

        They are computed where they are not kept already, which takes minutes at the paper's scale.
        """
        from regrow_companion import tail_tables  # pandas and torch, for the few notebooks that need them
        from regrow_companion.sweep import drive

        return tail_tables.tails(records, self.profile, self.store, jobs=drive.default_jobs())

    def check(self, number: int | str, answer: Any) -> exercises.Verdict:
        """What is to be said of an answer to an exercise of this notebook: right, or what is off. Never raises."""
        return exercises.check(self, number, answer)

    def save(self, fig: Figure, stem: str, *, data: pd.DataFrame, alt: str, caption: str = "",
             records: Sequence[Record] = (), exact: bool = False) -> None:
        """Write svg, png, csv and json through `save_figure`, which marks quick figures as such.

        `exact` is for figures that need no training and are at the paper's scale in every profile.
        """
        figures.save_figure(fig, stem, data=data, alt=alt, out=self.out, profile="paper" if exact else self.profile,
                            caption=caption, records=records)

    def save_table(self, frame: pd.DataFrame, stem: str, *, caption: str, records: Sequence[Record] = (),
                   exact: bool = False) -> None:
        """Write csv, md and json; `exact` as in `save`."""
        figures.save_table(frame, stem, out=self.out, profile="paper" if exact else self.profile, caption=caption,
                           records=records)


def start(notebook: str, *, profile: str = "auto", store: str = "", out: str = "") -> Session:
    """Set a notebook up. `auto` replays shipped full-scale records when results/ has them, else it is `quick`.

    Environment variables REGROW_PROFILE and REGROW_STORE stand in for empty parameters (the tests use them).
    """
    if profile == "auto":
        profile = os.environ.get("REGROW_PROFILE") or ("replay" if (SHIPPED / "records").is_dir() else "quick")
    study.check_profile(profile)
    study.load_own_rules()
    style.use_style()
    shipped = (SHIPPED,) if profile == "replay" else ()
    return Session(notebook, profile, Store(store or default_store(profile), read_also=shipped),
                   place(out) if out else figure_folder(profile))


def train_missing(configs: Sequence[RunConfig], store: Store) -> None:
    """Train what the store lacks, in as many processes as there are cores, or here if it is only one run."""
    from regrow_companion.sweep import drive  # torch: most notebooks only read

    result = drive.run(configs, store)
    if result.failed:
        raise RegrowError(f"{len(result.failed)} runs failed: {next(iter(result.failed.values()))}")
