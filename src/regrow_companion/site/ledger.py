"""The ledger of claims as rows of a page: a verdict in a word and a mark, effects with their intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import yaml

from regrow_companion.claims import Entry, counts
from regrow_companion.claims.judgement import MIXED, NOT_MEASURED, NOT_REPRODUCED, REPRODUCED, UNDECIDABLE, Effect
from regrow_companion.site.shared import TEMPLATES

MARKS = {REPRODUCED: "✓", NOT_REPRODUCED: "✗", MIXED: "≈", UNDECIDABLE: "?", NOT_MEASURED: "○"}


@dataclass(frozen=True)
class Number:
    """An effect: what was measured, its mean over seeds, the interval, and what the paper claims."""

    label: str
    mean: str
    interval: str
    claimed: str


@dataclass(frozen=True)
class Row:
    """A claim on the page. `anchor` is its place there."""

    anchor: str
    id: str
    sections: tuple[str, ...]
    text: str
    reading: str
    verdict: str
    mark: str
    tone: str
    numbers: tuple[Number, ...]
    remark: str


@dataclass(frozen=True)
class Group:
    """All claims with one verdict."""

    verdict: str
    mark: str
    tone: str
    rows: tuple[Row, ...]


def tone(verdict: str) -> str:
    """A verdict as an anchor and a class of the style sheet."""
    return re.sub(r"\W+", "-", verdict)


def rows(entries: Sequence[Entry]) -> list[Row]:
    """A row per claim, in the ledger's order."""
    return [Row(f"claim-{claim.id}", claim.id, tuple(part.strip() for part in claim.section.split(",")), claim.text,
                claim.reading, outcome.verdict, MARKS[outcome.verdict], tone(outcome.verdict),
                tuple(map(_number, outcome.effects)), outcome.remark) for claim, outcome in entries]


def groups(entries: Sequence[Entry]) -> list[Group]:
    """The rows by verdict, in the order of VERDICTS; verdicts that nobody got are left out."""
    every = rows(entries)
    return [Group(verdict, MARKS[verdict], tone(verdict), tuple(row for row in every if row.verdict == verdict))
            for verdict, n in counts(entries).items() if n]


def by_section(every: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The rows of every section of the paper, the abstract first; a claim made in two sections is in both."""
    names = {section for row in every for section in row.sections}

    def place(name: str) -> tuple[int, list[int], str]:
        if name[:1].isdigit():
            return 1, [int(part) for part in name.split(".")], ""
        return (0, [], "") if name == "abstract" else (2, [], name)

    return [(name, [row for row in every if name in row.sections]) for name in sorted(names, key=place)]


@cache
def claims_of_figures() -> Mapping[str, tuple[str, ...]]:
    """The ids of the claims that a figure or table is about, by its stem (assets/site/claims.yml)."""
    raw = yaml.safe_load((TEMPLATES / "claims.yml").read_text(encoding="utf-8"))
    return {stem: tuple(names) for stem, names in raw.items()}


def _number(effect: Effect) -> Number:
    low, high = effect.interval
    interval = f"[{low:.3g}, {high:.3g}]" if abs(low) < float("inf") else "no interval from one seed"
    return Number(effect.label, f"{effect.mean:.3g}", f"{interval} over {len(effect.values)} seeds"
                  if len(effect.values) > 1 else interval,
                  f"{'above' if effect.above else 'below'} {effect.threshold:g}")
