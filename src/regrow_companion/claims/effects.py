"""Effects: numbers that a claim makes a statement about, one per seed, with the interval for their mean.

Intervals are Student's (of a standard deviation: from the chi-squared distribution). With five seeds they are wide and
rest on normality: a sign test cannot get below a p-value of 1/16. An effect without any spread over seeds has no
interval; it is bookkeeping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"
LEVEL = 0.01  # for all intervals of a claim together
FEWEST = 3  # seeds that an interval needs here


class NotMeasured(Exception):
    """Runs that a part of a claim needs are not there; `lacks` names what is missing, for people and for tests."""

    def __init__(self, *lacks: Any) -> None:
        super().__init__(*lacks)
        self.lacks = lacks


@dataclass(frozen=True)
class Effect:
    """A number that a claim makes a statement about: one value per seed, claimed to lie above `threshold` (or below).

    What is judged is the mean of the values; of a `ratio` the mean of logarithms; of a `spread` their standard
    deviation. `level` is the chance that the interval misses.
    """

    label: str
    values: tuple[float, ...]
    threshold: float = 0.0
    above: bool = True
    kind: Literal["mean", "ratio", "spread"] = "mean"
    level: float = LEVEL

    @property
    def mean(self) -> float:
        """The number that is judged: mean, geometric mean or standard deviation."""
        if self.kind == "spread":
            return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else float("nan")
        return float(np.exp(np.mean(np.log(self.values))) if self.kind == "ratio" else np.mean(self.values))

    @property
    def exact(self) -> bool:
        """All seeds agree: there is nothing to infer."""
        return len(self.values) >= FEWEST and float(np.ptp(self.values)) == 0

    @property
    def interval(self) -> tuple[float, float]:
        """The interval for `mean` at 1 - level, over at least FEWEST seeds; with fewer it is unbounded."""
        n = len(self.values)
        if n < FEWEST:
            return (0.0 if self.kind != "mean" else -np.inf), np.inf
        if self.kind == "spread":
            low, high = (self.mean * np.sqrt((n - 1) / stats.chi2.ppf(q, n - 1))
                         for q in (1 - self.level / 2, self.level / 2))
            return float(low), float(high)
        values = np.log(self.values) if self.kind == "ratio" else np.asarray(self.values)
        centre, deviation = float(np.mean(values)), 0.0 if self.exact else float(np.std(values, ddof=1))
        half = float(stats.t.ppf(1 - self.level / 2, n - 1)) * deviation / np.sqrt(n)
        low, high = centre - half, centre + half
        return (float(np.exp(low)), float(np.exp(high))) if self.kind == "ratio" else (low, high)

    @property
    def verdict(self) -> str:
        """By where the whole interval lies; undecided if the threshold is inside. Exactly on it is not beyond it."""
        low, high = self.interval
        if low > self.threshold:
            return REPRODUCED if self.above else NOT_REPRODUCED
        if high < self.threshold:
            return NOT_REPRODUCED if self.above else REPRODUCED
        return NOT_REPRODUCED if low == high else UNDECIDED

    @property
    def miss(self) -> float:
        """By how much the number itself, whatever its interval, lies on the wrong side; negative on the claimed one."""
        return (self.threshold - self.mean) * (1 if self.above else -1)

    @property
    def agreeing(self) -> int:
        """How many seeds by themselves lie on the claimed side."""
        return sum((value - self.threshold) * (1 if self.above else -1) > 0 for value in self.values)

    @property
    def number(self) -> str:
        """The mean as text; a single seed has no standard deviation."""
        return "no number" if np.isnan(self.mean) else f"{self.mean:.3g}"

    @property
    def claimed(self) -> str:
        return f"claimed {'above' if self.above else 'below'} {self.threshold:g}"

    @property
    def scatter(self) -> str:
        """The interval in words."""
        n, (low, high) = len(self.values), self.interval
        if n < FEWEST:
            return f"{n} seed{'s' * (n > 1)}, no interval"
        return f"in all {n} seeds" if self.exact else f"[{low:.3g}, {high:.3g}] over {n} seeds"

    def __str__(self) -> str:
        return f"{self.label}: {self.number}, {self.scatter}, {self.claimed}"


def effect(label: str, values: ArrayLike | pd.Series, threshold: float = 0.0, *, above: bool = True,
           kind: Literal["mean", "ratio", "spread"] = "mean") -> Effect:
    """An Effect from one number per seed. Raises NotMeasured if there is none."""
    numbers = tuple(float(value) for value in np.ravel(np.asarray(values)))
    if not numbers:
        raise NotMeasured(label)
    return Effect(label, numbers, threshold, above, kind)


def within(label: str, values: ArrayLike | pd.Series, limit: float) -> list[Effect]:
    """Both sides of the statement that a number lies between -limit and +limit; they share one interval."""
    return [effect(label, values, limit, above=False), effect(label, values, -limit)]


def paired(ours: pd.Series, theirs: pd.Series) -> pd.Series:
    """Differences of runs that share a seed, and so initial weights, initial wiring and data order."""
    both = ours.index.intersection(theirs.index)
    return ours[both] - theirs[both]


def compared(ours: pd.Series, theirs: pd.Series) -> pd.Series:
    """Ratios of the same. Where both are nothing they are equal."""
    both = ours.index.intersection(theirs.index)
    over, under = ours[both].astype(float), theirs[both].astype(float)
    return (over / under.where(under != 0, np.nan)).where((over != 0) | (under != 0), 1.0)
