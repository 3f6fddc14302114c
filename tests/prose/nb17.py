"""Notebook 17, the verdict. What its ledger says is computed in its cells."""

from __future__ import annotations

from scipy import stats

from prose.said import Said
from regrow_companion.claims.effects import LEVEL

PAGE = "notebooks/17_verdict.ipynb"
EXCUSED = {
    "$s = 1 \\dots n$, with $n = 5$ at most": "the seeds of the study",
    "the usual ones of 95 %": "a level",
    "cannot get below a p-value of 1/16": "two halves to the fifth",
    "so a mark beyond 1 is clear of the threshold": "the scale of the figure",
    "have all marks right of 1, on the paper's side; of claims that hold in part some marks lie left of -1":
        "the scale of the figure",
    "that are rich at epoch 2": "as the claim reads it",
    "The statistics of notebooks 06 and 10": "notebooks",
    "hypotheses Holm rejects at 5 %": "an exercise",
}


def widths() -> list[float]:
    """Of a claim's intervals over five seeds, two to ten of them, beside one of 95 %."""
    return [stats.t.ppf(1 - LEVEL / 2 / m, 4) / stats.t.ppf(0.975, 4) for m in (2, 10)]


SAID = [
    Said("the chance that even one of them misses stays below {} %", lambda: (100 * LEVEL,)),
    Said("The price is intervals {} or {} times as wide", lambda: widths()),
]
