"""Notebook 07, the set-up: what it says of the drops of the learning rate."""

from __future__ import annotations

from functools import cache

import matplotlib.pyplot as plt
import pandas as pd

from prose import measures as m
from prose.said import Said
from regrow_companion.plots import nb07_setup

PAGE = "notebooks/07_setup.ipynb"
EXCUSED: dict[str, str] = {}


@cache
def curves() -> pd.DataFrame:
    fig, frame = nb07_setup.figure3(m.of_need("topology"))
    plt.close(fig)
    return frame


def gains() -> list[float]:
    return list(nb07_setup.drop_gains(curves())["gain"])


def loss(epoch: int) -> float:
    """Of training, mean over rules."""
    return float(curves().groupby("epoch")["train loss"].mean()[epoch])


def behind(grow: str, epoch: int) -> float:
    """How much less accurate than random growth on validation images."""
    mean = curves().groupby(["strategy", "epoch"])["validation accuracy"].mean()
    return float(mean["random", epoch] - mean[grow, epoch])


SAID = [
    Said("; ".join(f"{rule} after epoch {{{epoch}}}: {{}}" for rule in m.STRATEGIES for epoch in (150, 225)), gains),
    Said("the paper's scale: {} runs of 300 epochs", lambda: (len(m.of_need("fig05")),)),
    Said("At full scale the loss hardly moves from epoch {50} to {150}; of what the next {75} epochs at {0.01} bring, "
         "the first five bring more than half",
         lambda: (loss(50) - loss(150) < 0.1 * loss(50), loss(150) - loss(155) > 0.5 * (loss(150) - loss(225)))),
    Said("gradient and momentum growth are {} and {} points behind random growth at epoch {150} and less than {} at "
         "the end",
         lambda: (*(behind(rule, 150) for rule in m.SCORES), 2, max(behind(rule, 300) for rule in m.SCORES) < 2)),
]
