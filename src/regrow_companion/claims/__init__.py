"""Every testable statement of the paper with its verdict: `python -m regrow claims` (notebook 17).

A claim is judged in two passes: its numbers first, then its intervals, at a level that is divided by how many it has.
What other readings and the paper's own tables say stands beside each verdict and changes none.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from regrow_companion.claims import accuracy, degrees, dormancy, mechanism, power_law, printed, structure
from regrow_companion.claims.effects import FEWEST, LEVEL, Effect, NotMeasured
from regrow_companion.claims.evidence import TEST, Evidence
from regrow_companion.claims.judgement import (
    MARKS,
    NOT_MEASURED,
    UNDECIDABLE,
    VERDICTS,
    Claim,
    Outcome,
    Part,
    Reading,
    at_level,
    intervals,
    overall,
    remark,
)

__all__ = ["LEDGER", "Claim", "Entry", "Evidence", "NotMeasured", "Outcome", "conclusions", "counts", "evaluate",
           "headline", "intervals", "paragraph", "text", "to_dicts", "what_intervals_mean", "with_intervals"]

LEDGER: tuple[Claim, ...] = (*degrees.CLAIMS, *dormancy.CLAIMS, *structure.CLAIMS, *power_law.CLAIMS, *accuracy.CLAIMS,
                             *mechanism.CLAIMS)
Entry = tuple[Claim, Outcome]


def evaluate(evidence: Evidence, claims: Iterable[Claim] = LEDGER) -> list[Entry]:
    """The outcome of every claim, from whatever runs there are."""
    return [(claim, _judged(claim, evidence)) for claim in claims]


def _judged(claim: Claim, evidence: Evidence) -> Outcome:
    parts = claim.parts(evidence)
    level = LEVEL / max(1, intervals(parts))
    parts = at_level(parts, level)
    paper = printed.says(claim, evidence.store)
    if claim.predicate is None:
        return Outcome(UNDECIDABLE, (), claim.why, paper)
    verdict = overall(parts, claim.most)
    command = claim.command or f"python -m regrow run --profile paper --only {','.join(claim.needs)}"
    said = f"`{command}` trains what is missing." if verdict == NOT_MEASURED else remark(parts)
    return Outcome(verdict, parts, said, paper, tuple(_read(claim, parts, evidence, level)))


def _read(claim: Claim, parts: Sequence[Part], evidence: Evidence, level: float) -> Iterator[Reading]:
    """What other readings make of the parts that they and the ledger's own can both judge.

    Of a claim without any run in the ledger's own reading they show what they have.
    """
    unmeasured = not any(part.effects for part in parts)
    for name in claim.readings:
        both = [(ours, theirs) for ours, theirs in zip(parts, at_level(claim.parts(evidence.reading(name)), level),
                                                       strict=True)
                if (ours.decidable and theirs.decidable) or (unmeasured and theirs.effects)]
        if both:
            before, after = (overall(side, claim.most) for side in zip(*both, strict=True))
            yield Reading(name, before, after, tuple(theirs for _, theirs in both))


def with_intervals(entries: Sequence[Entry]) -> list[Effect]:
    """Every effect that has an interval, each once, whatever its label."""
    found = {(one.values, one.threshold, one.above, one.kind): one for _, outcome in entries for one in outcome.effects
             if len(one.values) >= FEWEST and not one.exact}
    return list(found.values())


def what_intervals_mean(entries: Sequence[Entry]) -> str:
    """What the level bounds and on what it rests, in sentences."""
    n = sum(intervals(outcome.parts) > 0 for _, outcome in entries)
    return (f"Intervals are Student's over seeds at level 1 - {LEVEL:g}/m, where m is how many the claim has: the "
            f"chance that even one of its intervals misses is at most {100 * LEVEL:g} %. {n} claims have intervals, so "
            f"that {LEVEL * n:.1f} of them are expected to be judged by one that misses. Other readings have the same "
            "level. Intervals rest on effects that are roughly normal over seeds: a sign test of five seeds cannot get "
            "below p = 1/16. Effects without any spread have no interval and are bookkeeping. The degrees of a layer "
            "share a sum, so that neurons are not independent draws; seeds are.")


def counts(entries: Iterable[Entry], mark: str = "") -> dict[str, int]:
    """How often each verdict was given to claims without a mark, or with this one of MARKS."""
    found = Counter(outcome.verdict for claim, outcome in entries if claim.mark == mark)
    return {verdict: found[verdict] for verdict in VERDICTS}


def headline(entries: Sequence[Entry]) -> str:
    """How many claims got which verdict; those with a mark apart."""
    def told(mark: str) -> str:
        return ", ".join(f"{n} {verdict}" for verdict, n in counts(entries, mark).items() if n)

    apart = "".join(f" {mark.capitalize()}: {told(mark)}." for mark in MARKS if told(mark))
    return f"{len(entries)} claims: {told('')}.{apart and ' Counted apart.'}{apart}"


def conclusions(entries: Iterable[Entry]) -> list[Entry]:
    """The paper's conclusions, those that stand first."""
    return sorted((entry for entry in entries if entry[0].main), key=lambda entry: VERDICTS.index(entry[1].verdict))


def text(entries: Sequence[Entry], *, details: bool = False) -> str:
    """For people: the count of verdicts, the paper's conclusions in a line each, then a paragraph per claim."""
    lines = [*_wrapped(headline(entries), ""), "", "THE PAPER'S CONCLUSIONS"]
    for claim, outcome in conclusions(entries):
        lines += _wrapped(f"{outcome.verdict}: {claim.text}", "  ")
    lines += ["", *_wrapped(what_intervals_mean(entries), "")]
    for verdict in VERDICTS:
        chosen = [entry for entry in entries if entry[1].verdict == verdict]
        if chosen:
            lines += ["", verdict.upper()]
        for claim, outcome in chosen:
            lines += paragraph(claim, outcome, details)
    return "\n".join(lines)


def paragraph(claim: Claim, outcome: Outcome, details: bool = False) -> Iterator[str]:
    """The lines that tell a claim, what came of it, and what stands beside it."""
    said = f" (Read as: {claim.reading}.)" if claim.reading else ""
    mark = f" {claim.mark.capitalize()}: {claim.why[0].lower()}{claim.why[1:]}" if claim.mark else ""
    yield from _wrapped(f"{claim.text}{said}{mark} [{claim.id}, {claim.section}]", "  ")
    yield from _wrapped(outcome.remark, "    ")
    yield from _wrapped(f"The paper's own numbers: {outcome.paper}" if outcome.paper else "", "    ")
    yield from _wrapped(f"Other readings: {outcome.other_readings}." if outcome.readings else "", "    ")
    if details:
        yield from (f"      - {one}" for one in outcome.effects)
        for reading in outcome.readings:
            if reading.changes or reading.name == TEST:  # the paper's accuracies are those of test images
                yield f"      {reading.name}:"
                yield from (f"      - {one}" for part in reading.parts for one in part.effects)


def _wrapped(said: str, indent: str) -> list[str]:
    return textwrap.wrap(said, 100, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def to_dicts(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """JSON-ready."""
    return [{"id": claim.id, "section": claim.section, "claim": claim.text, "reading": claim.reading,
             "conclusion": claim.main, "mark": claim.mark, "why": claim.why, "needs": list(claim.needs),
             "verdict": outcome.verdict, "remark": outcome.remark, "paper": outcome.paper,
             "parts": [_part(part) for part in outcome.parts],
             "readings": [{"reading": one.name, "verdict": one.verdict, "before": one.before, "changes": one.changes,
                           "parts": [_part(part) for part in one.parts]} for one in outcome.readings]}
            for claim, outcome in entries]


def _part(part: Part) -> dict[str, Any]:
    return {"name": part.name, "verdict": part.verdict, "seeds": part.seeds, "effects": [
        {"label": one.label, "mean": _finite(one.mean), "low": _finite(one.interval[0]),
         "high": _finite(one.interval[1]), "seeds": len(one.values), "threshold": one.threshold,
         "claimed": "above" if one.above else "below", "verdict": one.verdict} for one in part.effects]}
