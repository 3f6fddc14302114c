"""Exercises of notebook 17: the verdict."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import numpy as np
from scipy import stats

from regrow.record import Record
from regrow.store import Store, require
from regrow_companion import claims, study
from regrow_companion.claims.effects import LEVEL
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number, table
from regrow_companion.session import Session

EARLY = 5  # updates
NEARLY = 0.8  # of the largest degree under gradient growth, as the claim momentum-fast reads "nearly as fast"


def _topology(book: Session) -> dict[str, list[Record]]:
    """The full-scale runs, in any profile. Raises NotRecorded, naming the command."""
    store = Store(book.store.root, read_also=(study.SHIPPED,))
    return study.by_method(require(store, list(study.runs("topology", "paper")),
                                   "python -m regrow run --profile paper --only topology trains them."))


@cache
def entries(root: Path) -> list[claims.Entry]:
    """The ledger, as the notebook has it."""
    return claims.evaluate(claims.Evidence(Store(root, read_also=(study.SHIPPED,))))


def seeds_needed(book: Session, m: int = 0, normal: bool = False) -> int:
    """Seeds that take the interval of momentum-fast off its threshold, with mean and spread as they are; `m` stands in
    for the number of the claim's intervals."""
    largest = {rule: np.array([record.hidden_degrees(EARLY).max() for record in group])
               for rule, group in _topology(book).items()}
    x = np.log(largest["momentum"] / largest["gradient"]) - np.log(NEARLY)
    (parts,) = (outcome.parts for claim, outcome in entries(book.store.root) if claim.id == "momentum-fast")
    tail = 1 - LEVEL / (m or claims.intervals(parts)) / 2

    def half(n: int) -> float:
        return float((stats.norm.ppf(tail) if normal else stats.t.ppf(tail, n - 1)) * x.std(ddof=1) / np.sqrt(n))

    return next(n for n in range(2, 100_000) if half(n) < abs(x.mean()))


@cache
def p_values(root: Path) -> list[float]:
    """Of all means and ratios of the ledger that have an interval, the smallest first."""
    p = []
    for effect in claims.with_intervals(entries(root)):
        if effect.kind != "spread":
            values = np.asarray(effect.values, dtype=float)
            off = np.log(values / effect.threshold) if effect.kind == "ratio" else values - effect.threshold
            p.append(float(stats.ttest_1samp(off, 0).pvalue))
    return sorted(p)


def rejected(book: Session, tests: int = 0, level: float = 0.05) -> dict[str, int]:
    """Hypotheses that Bonferroni and Holm reject; `tests` stands in for their number."""
    p = p_values(book.store.root)
    n = tests or len(p)
    holm = next((i for i, one in enumerate(p) if one > level / max(n - i, 1)), len(p))
    return {"Bonferroni": sum(one < level / n for one in p), "Holm": holm}


def richer_at_the_end(book: Session, early: int = EARLY, backwards: bool = False) -> float:
    """How many neurons are above the early richest one at the end, mean over seeds of gradient growth."""
    found = []
    for record in _topology(book)["gradient"]:
        then, end = record.hidden_degrees(early), record.hidden_degrees(-1)
        one, other = (end, then) if backwards else (then, end)
        found.append(int((other > other[one.argmax()]).sum()))
    return float(np.mean(found))


EXERCISES = {
    "1": Exercise("a whole number of seeds", seeds_needed, number(rel=0), (
        Slip("This is for a single interval; the claim has more.", partial(seeds_needed, m=1)),
        Slip("The quantile is Student's, and it depends on the number of seeds itself.",
             partial(seeds_needed, normal=True)))),
    "2": Exercise("a table of two counts", rejected, table(number(rel=0)), (
        Slip("Here nothing is corrected for the number of tests.",
             lambda book: dict.fromkeys(("Bonferroni", "Holm"), rejected(book, tests=1)["Bonferroni"])),
        Slip("The number to divide by is that of the effects tested here, not of the claims.",
             partial(rejected, tests=len(claims.LEDGER))))),
    "3": Exercise("a number of neurons, mean over seeds", richer_at_the_end, number(rel=0.001), (
        Slip("This is the question backwards: how rich was the final winner after five updates?",
             partial(richer_at_the_end, backwards=True)),
        Slip("This begins after the first update; `hidden_degrees(5)` is after the fifth.",
             partial(richer_at_the_end, early=1)))),
}
