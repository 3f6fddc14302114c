"""The ledger of claims as rows of a page: a verdict in a word and a mark, effects with their intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import yaml

from regrow_companion.claims import Entry, conclusions, counts
from regrow_companion.claims.effects import NOT_REPRODUCED, REPRODUCED, UNDECIDED, Effect
from regrow_companion.claims.judgement import IN_PART, MARKS, NOT_MEASURED, UNDECIDABLE
from regrow_companion.site.shared import TEMPLATES

SIGNS = {REPRODUCED: "✓", IN_PART: "◐", UNDECIDED: "≈", NOT_REPRODUCED: "✗", UNDECIDABLE: "?", NOT_MEASURED: "○"}


@dataclass(frozen=True)
class Number:
    """An effect: what was measured, its mean over seeds, the interval, and what the paper claims."""

    label: str
    mean: str
    interval: str
    claimed: str


@dataclass(frozen=True)
class Row:
    """A claim on the page. `anchor` is its place there, `apart` why it is counted apart, `paper` what the paper's own
    numbers say, `readings` what other readings say."""

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
    apart: str
    paper: str
    readings: str


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
                claim.reading, outcome.verdict, SIGNS[outcome.verdict], tone(outcome.verdict),
                tuple(map(_number, outcome.effects)), outcome.remark,
                f"{claim.mark.capitalize()}: {claim.why[0].lower()}{claim.why[1:]}" if claim.mark else "",
                outcome.paper, _sentence(outcome.other_readings)) for claim, outcome in entries]


def groups(entries: Sequence[Entry]) -> list[Group]:
    """The rows by verdict, in the order of VERDICTS; verdicts that nobody got are left out."""
    every = rows(entries)
    found = {verdict: tuple(row for row in every if row.verdict == verdict) for verdict in SIGNS}
    return [Group(verdict, SIGNS[verdict], tone(verdict), those) for verdict, those in found.items() if those]


def first_page(entries: Sequence[Entry]) -> list[Row]:
    """The rows of the paper's conclusions, those that stand first."""
    return rows(conclusions(entries))


def apart(entries: Sequence[Entry]) -> list[str]:
    """How many claims are counted apart and why: "3 by construction (3 reproduced)"."""
    found = {mark: {verdict: n for verdict, n in counts(entries, mark).items() if n} for mark in MARKS}
    return [f"{sum(those.values())} {mark} ({', '.join(f'{n} {verdict}' for verdict, n in those.items())})"
            for mark, those in found.items() if those]


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
    return Number(effect.label, effect.number, effect.scatter, effect.claimed.removeprefix("claimed "))


def _sentence(said: str) -> str:
    return f"{said[0].upper()}{said[1:]}." if said else ""
