"""Every testable statement of the paper with its verdict: `python -m regrow claims` (notebook 17)."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from regrow_companion.claims import accuracy, degrees, power_law, structure
from regrow_companion.claims.judgement import (
    CLAIMS,
    LEVEL,
    NOT_MEASURED,
    VERDICTS,
    Claim,
    Evidence,
    NotMeasured,
    Outcome,
)

LEDGER: tuple[Claim, ...] = (*degrees.CLAIMS, *structure.CLAIMS, *power_law.CLAIMS, *accuracy.CLAIMS,
                             *degrees.MECHANISM)
Entry = tuple[Claim, Outcome]


def evaluate(evidence: Evidence, claims: Iterable[Claim] = LEDGER) -> list[Entry]:
    """The outcome of every claim; "not yet measured" where records are missing."""
    return [(claim, _decided(claim, evidence)) for claim in claims]


def _decided(claim: Claim, evidence: Evidence) -> Outcome:
    try:
        return claim.decide(evidence)
    except NotMeasured:
        command = f"python -m regrow run --profile paper --only {','.join(claim.needs)}" if claim.needs else ""
        return Outcome(NOT_MEASURED, (), f"`{command}` trains what is missing." if command else "")


def counts(entries: Sequence[Entry]) -> dict[str, int]:
    """How often each verdict was given."""
    found = Counter(outcome.verdict for _, outcome in entries)
    return {verdict: found[verdict] for verdict in VERDICTS}


def text(entries: Sequence[Entry], *, details: bool = False) -> str:
    """For people: the count of verdicts, then a paragraph per claim under each verdict."""
    lines = [", ".join(f"{n} {verdict}" for verdict, n in counts(entries).items() if n) + f": {len(entries)} claims.",
             f"Intervals are Student's over seeds at level 1 - {LEVEL:g}/{CLAIMS}, corrected for the number of claims."]
    for verdict in VERDICTS:
        chosen = [entry for entry in entries if entry[1].verdict == verdict]
        if chosen:
            lines += ["", verdict.upper()]
        for claim, outcome in chosen:
            reading = f" (Read as: {claim.reading}.)" if claim.reading else ""
            lines += textwrap.wrap(f"{claim.id} [{claim.section}]: {claim.text}{reading}", 100, initial_indent="  ",
                                   subsequent_indent="      ")
            if details or verdict == "mixed":
                lines += [f"      - {one}" for one in outcome.effects]
            if outcome.remark:
                lines += textwrap.wrap(outcome.remark, 94, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def to_dicts(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """JSON-ready."""
    return [{"id": claim.id, "section": claim.section, "claim": claim.text, "reading": claim.reading,
             "needs": list(claim.needs), "verdict": outcome.verdict, "remark": outcome.remark, "effects": [
                 {"label": one.label, "mean": one.mean, "low": _finite(one.interval[0]),
                  "high": _finite(one.interval[1]),
                  "seeds": len(one.values), "threshold": one.threshold, "claimed": "above" if one.above else "below",
                  "verdict": one.verdict} for one in outcome.effects]} for claim, outcome in entries]
