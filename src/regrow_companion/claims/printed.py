"""What the paper's own tables say of its claims about accuracy: the same predicates, on printed means.

A mean and a standard deviation stand in for the seeds, as two values that have both; there are no intervals, and a part
holds if its numbers lie on the claimed side. Figure 13 is a picture, and topology has no tables.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from regrow.config import RunConfig
from regrow.store import Store
from regrow_companion.claims.effects import Effect, NotMeasured
from regrow_companion.claims.evidence import Evidence
from regrow_companion.claims.judgement import Claim, Part
from regrow_companion.paper import Reported, reported

SHOWN = 2  # parts that are told by name


class Printed(Evidence):
    """Tables 3, 4, 7 and 8 instead of runs."""

    def accuracy(self, config: RunConfig) -> pd.Series:
        if config.prune not in ("magnitude", "none") or _cell(config) not in _cells():
            raise NotMeasured(config)
        cell = _cells()[_cell(config)]
        return pd.Series([cell.mean - cell.std / np.sqrt(2), cell.mean + cell.std / np.sqrt(2)])

    def images(self, dataset: str) -> str:
        return "test"

    def records(self, config: RunConfig, whole: bool = False) -> Any:
        raise NotMeasured(config)

    def watched(self, table: str) -> pd.DataFrame:
        raise NotMeasured(table)


def _cell(config: RunConfig) -> tuple[str, str, float, str]:
    return config.model, config.method, config.sparsity, config.dataset


@cache
def _cells() -> dict[tuple[str, str, float, str], Reported]:
    return {(one.model, one.method, one.sparsity, one.dataset): one for table in (8, 7, 4, 3)
            for one in reported(table)}


def says(claim: Claim, store: Store) -> str:
    """"Holds in all 20 cells.", or which parts fail and by what number; `claim.printed` where tables say nothing."""
    parts = [part for part in claim.parts(Printed(store)) if part.effects]
    sentence = _sentence(claim, parts) if parts else ""
    return " ".join(f"{text}." for text in (sentence, claim.printed) if text)


def _sentence(claim: Claim, parts: list[Part]) -> str:
    failed = sorted((part for part in parts if _worst(part).miss >= 0), key=lambda part: -_worst(part).miss)
    told = "; ".join(f"{part.name} ({_measured(_worst(part))})" for part in failed[:SHOWN])
    more = f" and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
    if not failed:
        return f"Holds in all {len(parts)} cells of its tables"
    if len(failed) == len(parts):
        return f"Fails in all {len(parts)} cells of its tables: {told}{more}"
    most = ", that is, most" if claim.most and 2 * len(failed) < len(parts) else ""
    return f"Holds in {len(parts) - len(failed)} of {len(parts)} cells of its tables{most}; not for {told}{more}"


def _worst(part: Part) -> Effect:
    """The effect that misses by most, or holds by least."""
    return max(part.effects, key=lambda one: one.miss)


def _measured(one: Effect) -> str:
    """What an effect compares, out of its label, and the number."""
    words = one.label.split(", ")
    return f"{words[1] if len(words) > 1 else one.label}: {one.mean:.2f}"
