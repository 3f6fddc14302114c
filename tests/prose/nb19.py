"""Notebook 19, how much of the network is ever tried."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from prose import measures as m
from prose.nb18 import seen
from prose.said import Said
from regrow_companion import study

PAGE = "notebooks/19_beyond_exploration.ipynb"
EXCUSED = {
    "At a constant prune rate of 0.3 and 5 % density": "an exercise",
    "tried 90 % of all places": "an exercise",
    "Mind that 5 % are tried": "an exercise",
    "$0.95\\,(1 - G/F)^u \\le 0.1$": "an exercise",
}
STATIC = {"prune": "none", "grow": "none"}


@cache
def watched() -> pd.DataFrame:
    """Percentage of all places explored, and reliably explored, at the end of the watched runs, by rule."""
    table = seen().exploration
    sums = table[table["step"] == table["step"].max()].groupby("strategy")[["places", "explored", "reliable"]].sum()
    return 100 * sums.div(sums["places"], axis=0)


def watched_seeds() -> list[int]:
    return list(seen().exploration.groupby("strategy")["seed"].nunique().loc[list(m.STRATEGIES)])


def of_seeds(border: str) -> tuple[float, float]:
    """Explored by single runs of gradient and momentum growth."""
    return m.low_high(value for rule in m.SCORES for value in m.explored_by_seed(rule, border))


def behind(border: dict[str, str]) -> float:
    """How much less accurate than gradient growth the network is that is never rewired, on validation images."""
    return abs(m.accuracy("gradient", part="validation", **border) - m.accuracy(part="validation", **STATIC, **border))


def loses(rule: str) -> float:
    """In validation accuracy, with the black border."""
    return m.accuracy(rule, part="validation") - m.accuracy(rule, part="validation", **m.BLACK)


SAID = [
    Said("({} short runs in `quick`", lambda: (sum(not run.is_dense for run in study.distinct(("topology",
    "baselines"), "quick")),)),
    Said("tries nearly every place there is ({} %), exactly as the formula says; gradient and momentum growth return "
         "to the same places and try little more than four tenths ({} and {} %; with a black border {} to {} %)",
         lambda: (m.explored("random"), m.explored("gradient"), m.explored("momentum"), *of_seeds("black"))),
    Said("{} % of all places under random growth, {} % under gradient and {} % under momentum growth",
         lambda: (*(watched()["reliable"][rule] for rule in m.STRATEGIES), watched_seeds() == [5, 5, 5])),
    Said("({} to {} % instead of {} to {} %) and lose {} points, and random growth tries {} % with either border and "
         "loses {}. And a static network, which tries {} %, stays within a point of gradient growth with the black "
         "border and within about {} with the mirrored one",
         lambda: (*of_seeds("black"), *of_seeds("mirrored"), np.mean([loses(rule) for rule in m.SCORES]),
                  m.explored("random"), loses("random"), 100 * (1 - m.runs(**STATIC)[0].config.sparsity),
                  behind({}), round(m.explored("random", "black")) == round(m.explored("random")),
                  behind(m.BLACK) < 1)),
    Said("{} points of difference shrink to {}",
         lambda: [watched()[column]["random"] - np.mean([watched()[column][rule] for rule in m.SCORES])
                  for column in ("explored", "reliable")]),
]
