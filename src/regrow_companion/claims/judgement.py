"""How a claim is judged: effects, one number per seed; intervals over seeds; parts; verdicts.

A claim has parts, for example one per growth rule or network, and each is judged by itself from the runs there are.
Within a part all effects must hold. Intervals are Student's (of a standard deviation: from the chi-squared
distribution), at a level that is divided by the number of intervals in the ledger (Bonferroni), so that it bounds the
chance of even one that misses. With five seeds such intervals are wide and rest on normality: a sign test cannot get
below a p-value of 1/16. An effect without any spread over seeds has no interval; it is bookkeeping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from regrow_companion.paper import DATASET_NAMES, MODEL_NAMES

REPRODUCED, IN_PART, UNDECIDED = "reproduced", "holds in part", "undecided"
NOT_REPRODUCED, UNDECIDABLE, NOT_MEASURED = "not reproduced", "not decidable", "not yet measured"
VERDICTS = (REPRODUCED, IN_PART, UNDECIDED, NOT_REPRODUCED, UNDECIDABLE, NOT_MEASURED)
CONSTRUCTION, REJECTED_FIT = "by construction", "of a rejected fit"
MARKS = (CONSTRUCTION, REJECTED_FIT)  # claims that are counted apart
LEVEL = 0.05  # for all intervals of the ledger together
FEWEST = 3  # seeds that an interval needs here


class NotMeasured(Exception):
    """Runs that a part of a claim needs are not there; `lacks` names what is missing, for people and for tests."""

    def __init__(self, *lacks: Any) -> None:
        super().__init__(*lacks)
        self.lacks = lacks


# --------------------------------------------------------------------------------------------------------------- effects


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
        return f"{self.label}: {self.mean:.3g}, {self.scatter}, {self.claimed}"


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


# ----------------------------------------------------------------------------------------------------------------- parts


@dataclass(frozen=True)
class Part:
    """What a claim says of one growth rule, network, layer or threshold: effects that must all hold, or `lacks`."""

    name: str
    effects: tuple[Effect, ...] = ()
    lacks: tuple[Any, ...] = ()  # the runs that are missing, where nothing could be measured

    @property
    def seeds(self) -> int:
        return min((len(one.values) for one in self.effects), default=0)

    @property
    def decidable(self) -> bool:
        """Whether it has seeds enough for an interval."""
        return self.seeds >= FEWEST

    @property
    def leaning(self) -> str:
        """Where the seeds of an undecided part lie, if all agree: a sign test that five seeds cannot decide."""
        if self.decidable and all(one.kind != "spread" for one in self.effects):
            if all(one.agreeing == len(one.values) for one in self.effects):
                return ", with every seed on the paper's side"
            if any(one.agreeing == 0 for one in self.effects):
                return ", with every seed on the other side"
        return ""

    @property
    def verdict(self) -> str:
        """Of all effects: reproduced if every one is, not if any is not."""
        if not self.effects:
            return NOT_MEASURED
        if not self.decidable:
            return UNDECIDED
        verdicts = {one.verdict for one in self.effects}
        return NOT_REPRODUCED if NOT_REPRODUCED in verdicts else UNDECIDED if UNDECIDED in verdicts else REPRODUCED


@dataclass(frozen=True)
class Reading:
    """What another reading of the protocol, or of the claim, makes of those parts that it knows."""

    name: str
    before: str  # the verdict on these parts in the ledger's own reading
    verdict: str
    parts: tuple[Part, ...]

    @property
    def changes(self) -> bool:
        return self.verdict != self.before

    def __str__(self) -> str:
        return f"{self.name}: {self.verdict}" if self.changes else f"{self.name}: same"


@dataclass(frozen=True)
class Outcome:
    """What came of a claim."""

    verdict: str
    parts: tuple[Part, ...] = ()
    remark: str = ""  # which parts hold, which do not, what is missing
    paper: str = ""  # what the paper's own numbers say
    readings: tuple[Reading, ...] = ()

    @property
    def effects(self) -> tuple[Effect, ...]:
        """Those of all parts, in order."""
        return tuple(one for part in self.parts for one in part.effects)


Predicate = Callable[..., Iterable[Effect]]  # of the evidence and a part's key


@dataclass(frozen=True)
class Claim:
    """A statement of the paper in our words, and the predicate that decides it from records.

    `predicate(evidence, *key)` gives the effects of the part with that key, or raises NotMeasured. `needs` are ids of
    study.NEEDS. `reading` says how we read what the paper leaves vague, `mark` is one of MARKS with the reason in `why`,
    `printed` what the paper gives where its tables cannot be asked, `readings` names other readings that apply. `most`:
    the claim is about most parts, not all. `main`: one of the paper's conclusions. Without a predicate no measurement
    can decide the claim, and `why` says why.
    """

    id: str
    section: str
    text: str
    needs: tuple[str, ...] = ()
    predicate: Predicate | None = None
    keys: Sequence[tuple[Any, ...]] = ((),)
    reading: str = ""
    mark: str = ""
    why: str = ""
    printed: str = ""
    readings: tuple[str, ...] = ()
    most: bool = False
    main: bool = False

    def parts(self, evidence: Any) -> tuple[Part, ...]:
        """Every part, measured or not."""
        return tuple(self._part(evidence, key) for key in self.keys) if self.predicate else ()

    def _part(self, evidence: Any, key: tuple[Any, ...]) -> Part:
        assert self.predicate is not None
        try:
            return Part(named(key), tuple(self.predicate(evidence, *key)))
        except NotMeasured as missing:
            return Part(named(key), lacks=missing.lacks)


def named(key: Iterable[Any]) -> str:
    """The name of a part: ("mlp", "cifar10") is "MLP, CIFAR-10"."""
    return ", ".join(MODEL_NAMES.get(word) or DATASET_NAMES.get(word) or str(word) for word in key)


# -------------------------------------------------------------------------------------------------------------- verdicts


def at_level(parts: Iterable[Part], level: float) -> tuple[Part, ...]:
    """The parts with intervals at that level."""
    return tuple(replace(part, effects=tuple(replace(one, level=level) for one in part.effects)) for part in parts)


def intervals(parts: Iterable[Part]) -> int:
    """How many different intervals these parts have: of at least FEWEST seeds that do not all agree.

    Two statements about one number share its interval, and so do a difference and its opposite.
    """
    return len({(one.kind, max(one.values, tuple(-value for value in one.values))) for part in parts
                for one in part.effects if len(one.values) >= FEWEST and not one.exact})


def overall(parts: Iterable[Part], most: bool = False) -> str:
    """The verdict of a claim from those parts that have enough seeds; without any: undecided, or not yet measured.

    It holds in part if some parts are reproduced and others not. A claim about `most` parts is decided by a majority.
    """
    parts = tuple(parts)
    verdicts = [part.verdict for part in parts if part.decidable]
    if not verdicts:
        return UNDECIDED if any(part.effects for part in parts) else NOT_MEASURED
    if most:
        return next((one for one in (REPRODUCED, NOT_REPRODUCED) if 2 * verdicts.count(one) > len(verdicts)), UNDECIDED)
    if {REPRODUCED, NOT_REPRODUCED} <= set(verdicts):
        return IN_PART
    return UNDECIDED if UNDECIDED in verdicts else verdicts[0]


def remark(parts: Sequence[Part]) -> str:
    """Which parts hold, fail, are undecided, have too few seeds or no runs."""
    there = [part for part in parts if part.effects]
    words = {"Holds": [part for part in there if part.verdict == REPRODUCED],
             "Fails": [part for part in there if part.verdict == NOT_REPRODUCED]}
    for part in there:
        if not part.decidable:
            words.setdefault(f"Too few seeds ({part.seeds})", []).append(part)
        elif part.verdict == UNDECIDED:
            words.setdefault(f"Undecided{part.leaning}", []).append(part)
    told = [f"{word}: {_names(group)}" if len(parts) > 1 else word for word, group in words.items() if group]
    if len(there) == len(parts) and len(told) == 1 and told[0].split(":")[0] in ("Holds", "Fails", "Undecided"):
        return ""  # as the verdict says
    missing = [part for part in parts if not part.effects]
    return " ".join(f"{one}." for one in (*told, *([f"No runs: {_names(missing, there)}"] if missing else [])))


def _names(parts: Iterable[Part], beside: Iterable[Part] = ()) -> str:
    """The names of parts; of a network of which there is nothing `beside` them, its name alone."""
    known = {part.name.split(", ")[0] for part in beside}
    whole = (part.name if not known or part.name.split(", ")[0] in known else part.name.split(", ")[0] for part in parts)
    return "; ".join(dict.fromkeys(whole))


def paired(ours: pd.Series, theirs: pd.Series) -> pd.Series:
    """Differences of runs that share a seed, and so initial weights, initial wiring and data order."""
    both = ours.index.intersection(theirs.index)
    return ours[both] - theirs[both]


def compared(ours: pd.Series, theirs: pd.Series) -> pd.Series:
    """Ratios of the same. Where both are nothing they are equal."""
    both = ours.index.intersection(theirs.index)
    over, under = ours[both].astype(float), theirs[both].astype(float)
    return (over / under.where(under != 0, np.nan)).where((over != 0) | (under != 0), 1.0)


