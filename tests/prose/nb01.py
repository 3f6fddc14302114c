"""Notebook 01, the question."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from prose import measures as m
from prose.said import Said, down
from regrow import cost
from regrow.config import RunConfig
from regrow_companion import paper
from regrow_companion.plots import nb04_initial_degrees as initial_degrees

PAGE = "notebooks/01_the_question.ipynb"
TOY, EXERCISE = "settings of the cell below", "an exercise"
EXCUSED = {
    "A layer of 25 neurons and 40 inputs has 1,000 places. Give it 50 connections": TOY,
    "how many of the 1,000 places have been tried by then, with never more than 50": TOY,
    "the article of 2018": "a year",
    "uniform on (0, 1)": TOY,
    "three places of weights 1, 2 and 5": TOY,
    "with 784 inputs and 3,000 connections": TOY,
    "200 updates at a rate of 0.3": TOY,
    "after 200 updates": TOY,
    "have 20, 50 or 500 connections?": "a prediction",
    "300 neurons, 3,000 connections, 200 updates": TOY,
    "at a rate of 0.3 if nine weights in ten": EXERCISE,
    "Magnitude takes 300 of the 1,000": EXERCISE,
    "how many of the 300 are": EXERCISE,
    "divided by a weight of 0": "a definition",
    "notebooks 09 and 12": "their names",
    **{f"| {sections} | [": "sections of the paper"
       for sections in ("4.3", "3, 4.2", "4.4, 4.5", "5.3", "5.4", "5.3, G, H", "5.2")},
}


@cache
def spread() -> pd.DataFrame:
    """Of the paper's Table 4, a row per network and data set: largest less smallest mean, largest deviation."""
    cells = pd.DataFrame([(cell.model, cell.dataset, cell.mean, cell.std) for cell in paper.reported(4)],
                         columns=["model", "dataset", "mean", "std"]).groupby(["model", "dataset"])
    return pd.DataFrame({"gap": cells["mean"].max() - cells["mean"].min(), "std": cells["std"].max()})


def gap(*models: str) -> float:
    return float(spread()["gap"][list(models)].max())


@cache
def game(line: str) -> np.ndarray:
    """In-degrees of the committed figure, largest first."""
    drawn = m.figure_data("game", ())
    return drawn.loc[drawn["line"] == line, "in-degree"].to_numpy()


def beyond_eight_times() -> float:
    """Share of a power law's neurons with eight times the mean of ten or more."""
    return float(initial_degrees.power_law(np.arange(1_000_000), alpha=2.5, k_min=4)[80:].sum())


RICH = "rich get richer"
SAID = [
    Said("For {300} epochs of CIFAR-10, $T = 105{,}600$ steps, and $\\Delta t = {}$",
         lambda: (RunConfig.update_interval, cost.total_steps(RunConfig(dataset="cifar10")) == 105_600)),
    Said("The paper's Table 4 has {} combinations", lambda: (len(spread()),)),
    Said("in how many of the {} do the three means", lambda: (len(spread()),)),
    Said("In the deep networks the growth rule changes the mean by {} points at most, in the MLP by up to {}. The "
         "ConvNet's gaps reach {} points, but stand beside standard deviations of up to {}",
         lambda: (gap("vgg16", "resnet56", "resnet50-cifar"), gap("mlp"), gap("convnet"),
                  spread().loc["convnet", "std"].max())),
    Said("it starts about {} times as high and ends at zero.](../figures/game.png)",
         lambda: (game(RICH)[0] / game("random")[0], game(RICH)[-1] == 0)),
    Said("the richest has more than {} times the mean, and one neuron in {} has two connections or fewer",
         lambda: (down(game(RICH)[0] / game(RICH).mean()), 1 / (game(RICH) <= 2).mean(), game(RICH).mean() == 10)),
    Said("hardly any neuron has {} times the mean, where a power law would still have one in a hundred",
         lambda: (80 / game(RICH).mean(), 0.005 < beyond_eight_times() < 0.015)),
]
