"""How a claim is judged: from parts, and what makes a verdict.

A claim has parts, for example one per growth rule or network, and each is judged by itself from the runs there are.
Within a part all effects must hold. The level of the intervals is divided by their number in the claim (Bonferroni), so
that it bounds the chance that even one of them misses, and with it that of a wrong verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from regrow_companion.claims.effects import FEWEST, NOT_REPRODUCED, REPRODUCED, UNDECIDED, Effect, NotMeasured
from regrow_companion.paper import DATASET_NAMES, MODEL_NAMES

IN_PART, UNDECIDABLE, NOT_MEASURED = "holds in part", "not decidable", "not yet measured"
VERDICTS = (REPRODUCED, IN_PART, UNDECIDED, NOT_REPRODUCED, UNDECIDABLE, NOT_MEASURED)
CONSTRUCTION, REJECTED_FIT = "by construction", "of a rejected fit"
MARKS = (CONSTRUCTION, REJECTED_FIT)  # claims that are counted apart


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

    @property
    def few(self) -> str:
        """A word of warning where there are too few seeds."""
        seeds = min(part.seeds for part in self.parts)
        return f" ({seeds} seed{'s' * (seeds > 1)})" if seeds < FEWEST else ""


@dataclass(frozen=True)
class Outcome:
    """What came of a claim."""

    verdict: str
    parts: tuple[Part, ...] = ()
    remark: str = ""  # which parts hold, which do not, what is missing
    paper: str = ""  # what the paper's own numbers say
    readings: tuple[Reading, ...] = ()

    @property
    def other_readings(self) -> str:
        """What changes, and with which readings nothing does."""
        changed, same = ([one for one in self.readings if one.changes is way] for way in (True, False))
        word = "" if self.verdict == NOT_MEASURED else "changes "
        told = [f"{word}with {one.name}: {one.verdict}{one.few}" for one in changed]
        return "; ".join([*told, *([f"same with {', '.join(one.name for one in same)}"] if same else [])])

    @property
    def effects(self) -> tuple[Effect, ...]:
        """Those of all parts, in order."""
        return tuple(one for part in self.parts for one in part.effects)


Predicate = Callable[..., Iterable[Effect]]  # of the evidence and a part's key


@dataclass(frozen=True)
class Claim:
    """A statement of the paper in our words, and the predicate that decides it from records.

    `predicate(evidence, *key)` gives the effects of the part with that key, or raises NotMeasured. Without a predicate
    no measurement can decide the claim, and `why` says why.
    """

    id: str
    section: str
    text: str
    needs: tuple[str, ...] = ()  # ids of study.NEEDS
    predicate: Predicate | None = None
    keys: Sequence[tuple[Any, ...]] = ((),)
    reading: str = ""  # how we read what the paper leaves vague
    mark: str = ""  # one of MARKS, the reason in `why`
    why: str = ""
    printed: str = ""  # what the paper gives where its tables cannot be asked
    readings: tuple[str, ...] = ()  # other ones that apply, see evidence.READINGS
    command: str = ""  # makes what is missing where that is no run of `needs`
    most: bool = False  # it is about most parts, not all
    main: bool = False  # one of the paper's conclusions

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


# ------------------------------------------------------------------------------------------------------------- verdicts


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
    """The names of parts, no longer than it takes to say that nothing of the kind is `beside` them."""
    known = [part.name.split(", ") for part in beside]

    def short(words: list[str]) -> str:
        return ", ".join(next((words[:n] for n in range(1, len(words)) if known and words[:n] not in
                               (one[:n] for one in known)), words))

    return "; ".join(dict.fromkeys(short(part.name.split(", ")) for part in parts))
