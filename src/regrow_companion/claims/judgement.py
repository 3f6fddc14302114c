"""How a claim is decided: an effect per seed, an interval over seeds, and where the interval lies; and from what.

Intervals are Student's, at a level that is corrected for the number of claims (Bonferroni): with five seeds they are
wide, and only what holds in every seed by a margin is called reproduced. Evidence are full-scale records and the tables
derived from them, never the quick profile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from regrow.config import RunConfig
from regrow.metrics import k_shells
from regrow.record import Record
from regrow.store import Store
from regrow_companion import study, tail_tables

REPRODUCED, NOT_REPRODUCED, MIXED = "reproduced", "not reproduced", "mixed"
UNDECIDABLE, NOT_MEASURED = "not decidable from the paper", "not yet measured"
VERDICTS = (REPRODUCED, NOT_REPRODUCED, MIXED, UNDECIDABLE, NOT_MEASURED)
LEVEL = 0.05  # divided by the number of claims, so that it bounds the chance of one error in the whole ledger
CLAIMS = 48  # those that records can decide; a test holds the ledger to it


@dataclass(frozen=True)
class Effect:
    """A number that a claim makes a statement about: one per seed, claimed to lie above `threshold` (or below).

    A `ratio` is averaged, and its interval taken, in logarithms.
    """

    label: str
    values: tuple[float, ...]
    threshold: float = 0.0
    above: bool = True
    ratio: bool = False

    @property
    def mean(self) -> float:
        return float(np.exp(np.mean(np.log(self.values))) if self.ratio else np.mean(self.values))

    @property
    def interval(self) -> tuple[float, float]:
        """Student's interval for the mean over seeds at level 1 - LEVEL / CLAIMS; unbounded for a single seed."""
        values = np.log(self.values) if self.ratio else np.asarray(self.values)
        n = len(values)
        half = stats.t.ppf(1 - LEVEL / CLAIMS / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n) if n > 1 else np.inf
        low, high = float(np.mean(values) - half), float(np.mean(values) + half)
        return (float(np.exp(low)), float(np.exp(high))) if self.ratio else (low, high)

    @property
    def verdict(self) -> str:
        """Reproduced or not if the whole interval lies on one side of the threshold, else mixed: too close to tell."""
        low, high = self.interval
        if low > self.threshold:
            return REPRODUCED if self.above else NOT_REPRODUCED
        if high < self.threshold:
            return NOT_REPRODUCED if self.above else REPRODUCED
        return MIXED

    def __str__(self) -> str:
        low, high = self.interval
        side = "above" if self.above else "below"
        return (f"{self.label}: {self.mean:.3g} [{low:.3g}, {high:.3g}] over {len(self.values)} seeds, claimed {side} "
                f"{self.threshold:g}")


@dataclass(frozen=True)
class Outcome:
    """What came of a claim: a verdict, the effects behind it, and a sentence where words are needed."""

    verdict: str
    effects: tuple[Effect, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class Claim:
    """A statement of the paper in our words, and the predicate that decides it from records.

    `decide` gets the evidence and returns an Outcome; where the records it needs are not there, the ledger says "not
    yet measured". `needs` are ids of study.NEEDS. `reading` says how we read what the paper leaves vague.
    """

    id: str
    section: str
    text: str
    needs: tuple[str, ...]
    decide: Callable[[Evidence], Outcome]
    reading: str = ""


def effect(label: str, values: ArrayLike, threshold: float = 0.0, *, above: bool = True, ratio: bool = False) -> Effect:
    """An Effect from an array of one number per seed."""
    return Effect(label, tuple(float(value) for value in np.ravel(values)), threshold, above, ratio)


def judged(*effects: Effect, remark: str = "") -> Outcome:
    """The claim holds if every effect does, fails if none does, and is mixed otherwise."""
    verdicts = {one.verdict for one in effects}
    return Outcome(verdicts.pop() if len(verdicts) == 1 else MIXED, tuple(effects), remark)


def undecidable(why: str) -> Callable[[Evidence], Outcome]:
    """A claim that no measurement can decide as it stands."""
    return lambda evidence: Outcome(UNDECIDABLE, (), why)


def paired(ours: ArrayLike, theirs: ArrayLike) -> np.ndarray:
    """Differences of runs that share a seed, and so initial weights, initial wiring and data order."""
    return np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)


class NotMeasured(Exception):
    """Some of the records that a claim needs are not there."""


@dataclass
class Evidence:
    """Records of the paper profile, by growth rule, seeds in order."""

    store: Store
    _shells: dict[tuple[str, int], list[np.ndarray]] = field(default_factory=dict)

    @cached_property
    def topology(self) -> dict[str, list[Record]]:
        """The 15 runs of Sections 5.3 and 5.4."""
        return study.by_method(self.all("topology"))

    @cached_property
    def tails(self) -> pd.DataFrame:
        """Their power-law statistics, see tail_series.tables; all of them or none."""
        records = self.all("fig07")
        if not tail_tables.complete(records, "paper", self.store):
            raise NotMeasured
        return tail_tables.tails(records, "paper", self.store)

    def all(self, need: str) -> list[Record]:
        """Every record of a need; NotMeasured if one is missing."""
        return [self._record(config) for config in study.runs(need, "paper")]

    def accuracy(self, config: RunConfig) -> np.ndarray:
        """Final test accuracies in percent of a run over its five seeds; NotMeasured if one is missing."""
        return np.array([float(self._record(config.but(seed=seed)).test_accuracy[-1]) for seed in study.SEEDS])

    def per_seed(self, rule: str, measure: Callable[[Record], Any]) -> np.ndarray:
        """`measure` of each seed's topology run under a growth rule: [seeds, ...]."""
        return np.array([measure(record) for record in self.topology[rule]])

    def shells(self, record: Record, moment: int) -> list[np.ndarray]:
        """Shells of all neurons at a moment, one array per node layer."""
        key = (record.key, moment)
        if key not in self._shells:
            self._shells[key] = k_shells(record.masks(moment).values())
        return self._shells[key]

    def _record(self, config: RunConfig) -> Record:
        record = self.store.get(config)
        if record is None:
            raise NotMeasured
        return record


def at(record: Record, fraction: float) -> int:
    """Index of the last update at or before a fraction of training."""
    return int(np.searchsorted(record.steps, fraction * record.steps[-1], side="right")) - 1
