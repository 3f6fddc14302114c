"""Notebook 20, your network, your rule: what it says of growth by link prediction at full scale."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from prose import measures as m
from prose.said import Said
from regrow_companion.plots import nb20_rule_comparison as rules

PAGE = "notebooks/20_your_own.ipynb"
EXCUSED: dict[str, str] = {}
STATIC = {"prune": "none", "grow": "none"}


@cache
def comparison() -> pd.DataFrame:
    mine = [*m.of_need("topology"), *m.of_need("l3")]
    return rules.comparison(rules.like_with_like(mine, list(m.of_need("black_border")))).set_index("method")


def degrees() -> np.ndarray:
    """Of the hidden neurons of the one run of L3 at the end."""
    (run,) = m.runs("l3", **m.BLACK)
    return run.hidden_degrees(-1)


def rich() -> np.ndarray:
    """The last step of the staircase."""
    return degrees()[degrees() > 1200]


SAID = [
    Said("{} in ten hidden neurons end at degree {10} or less",
         lambda: (comparison().loc["l3", "dormant"] / 10,
                  comparison()["degree sd"].idxmax() == "l3")),
    Said("one neuron in {} ends with {} to {} connections. It tries a sixth of all positions",
         lambda: (len(degrees()) / len(rich()), *m.low_high(rich()),
                  abs(comparison().loc["l3", "explored"] / 100 - 1 / 6) < 0.01)),
    Said("Its accuracy on validation images is {} per cent, below the three rules and also below a wiring that is "
         "never changed ({} with the same border)",
         lambda: (m.accuracy("l3", part="validation", **m.BLACK), m.accuracy(**STATIC, part="validation", **m.BLACK),
                  comparison()["validation"].idxmin() == "l3")),
    Said("the five points between L3 and random growth", lambda: (5 < -comparison().loc["l3", "difference"] < 6,)),
]
