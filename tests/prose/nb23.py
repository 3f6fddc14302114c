"""Notebook 23, winning tickets and weighted degrees."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from prose import measures as m
from prose.said import Said, about, down, up
from regrow_companion.section8 import nb23_plots, nb23_tickets, strength

PAGE = "notebooks/23_beyond_tickets.ipynb"
EXCUSED = {
    "Their $k$ was 0": "Frankle and Carbin's",
    "another seed's | step 0": "a definition",
    "$\\sum_k F(k)\\,(1 - F(k)) / \\bar k$": "a formula",
    "0 if all neurons are alike and 1 if one has everything": "a definition",
    "At 5 % density": "the paper's density",
    "a connection of 0.001 like one of 1": "an example",
    "and $\\beta = 1$. Above 1,": "the linear law",
    "push $\\beta$ above 1, below 1, or neither": "a question",
    "$\\beta$ is above 1 in every network": "the linear law; the range that follows is in the list",
    "takes 40 % instead of 20 %": "an exercise",
    "less than 5 % of the *hidden*": "an exercise",
    "$(1 - f)^r < 0.05$": "an exercise",
    "one of them 0.": "an exercise",
}
GROWN = ("random", *m.SCORES)


@cache
def table(name: str) -> pd.DataFrame:
    return m.beyond(nb23_tickets.EXPERIMENT)[name]


def at_end(name: str = "rounds") -> pd.DataFrame:
    rows = table(name)
    return rows[rows["round"] == rows["round"].max()]


@cache
def summary() -> pd.DataFrame:
    """The networks of the last round, means over seeds, by data set and kind."""
    return nb23_plots.summary(table("rounds")).set_index(["dataset", "kind"])


DATASETS = ("mnist", "fashion_mnist")


def column(name: str, *kinds: str, datasets: tuple[str, ...] = DATASETS) -> list[float]:
    return [float(summary().loc[(dataset, kind), name]) for dataset in datasets for kind in kinds]


def dense(dataset: str) -> float:
    rounds = table("rounds")
    return float(rounds[(rounds["round"] == 0) & (rounds["dataset"] == dataset)]["test"].mean())


@cache
def gini(layer: str, kind: str, of: str = "gini") -> list[float]:
    """Of a kind's networks in the last round, mean over seeds, by data set."""
    rows = at_end("layers").query("layer == @layer and kind == @kind")
    return list(rows.groupby("dataset")[of].mean())


def over(kind: str, *others: str) -> list[float]:
    """By how many points a kind is more accurate than others, by data set and kind."""
    return [column("test", kind, datasets=(images,))[0] - value
            for images in DATASETS for value in column("test", *others, datasets=(images,))]


@cache
def fits() -> pd.DataFrame:
    """Exponents of strength of what enters a layer, in the last round."""
    found = strength.exponents(at_end("neurons"))
    return found[found["side"] == "in"]


def adapted() -> pd.DataFrame:
    return fits()[fits()["kind"].isin(("ticket", *GROWN))]


SAID = [
    Said("With {} % of its weights the ticket is as accurate as the dense network on MNIST and half a point better on "
         "Fashion-MNIST",
         lambda: (100 * np.mean(column("density", "ticket")),
                  abs(column("test", "ticket", datasets=("mnist",))[0] - dense("mnist")) < 0.15,
                  0.3 < column("test", "ticket", datasets=("fashion_mnist",))[0] - dense("fashion_mnist") < 0.7)),
    Said("Its weights under a random mask lose {} to {} points against it, its mask with other weights half a point to "
         "one and a half",
         lambda: (*m.low_high(over("ticket", "static")), min(over("ticket", "reinitialised")) > 0.4,
                  max(over("ticket", "reinitialised")) < 1.6)),
    Said("the Gini coefficient of the hidden neurons is about {} times that of chance",
         lambda: (np.mean([one / other for layer in ("hidden 1", "hidden 2") for one, other in
                           zip(gini(layer, "ticket"), gini(layer, "ticket", "gini_chance"), strict=True)]),)),
    Said("above its threshold of {} scaled", lambda: (m.topology("random")[0].thresholds.high,)),
    Said("tickets and grown ones alike ($p < {}$); a stretched exponential is the best of the seven laws for tickets "
         "and random growth",
         lambda: (up(max(column("p", "ticket", *GROWN, "static"))),
                  all(str(summary().loc[(images, kind), "best"]).startswith("stretched exponential")
                      for images in DATASETS for kind in ("ticket", "random")))),
    Said("a quarter to a third of the {} hidden neurons are dormant, under the score rules about half, under random "
         "growth {} to {} %",
         lambda: (at_end("neurons").groupby(["dataset", "seed", "kind"]).size().max(),
                  *m.low_high(count / 4 for count in column("dormant", "random")),
                  all(0.22 < count / 400 < 0.36 for count in column("dormant", "ticket")),
                  all(0.42 < count / 400 < 0.58 for count in column("dormant", *m.SCORES)))),
    Said("the score rules have hubs of {} to {} connections, while the largest neuron of a ticket has {} to {}",
         lambda: (*(about(hub, 10) for hub in m.low_high(column("largest", *m.SCORES))),
                  *m.low_high(column("largest", "ticket")))),
    Said("({} to {}, highest under random growth)",
         lambda: (*m.low_high(adapted()["beta"]), adapted().loc[adapted()["beta"].idxmax(), "kind"] == "random")),
    Said("($\\rho$ of {} or more). Under a fixed random mask $\\rho$ is only {} to {}",
         lambda: (adapted()["rho"].min(), *m.low_high(fits()[fits()["kind"] == "static"]["rho"]))),
    Said("(Gini coefficient in hidden 1: {} to {}, against more than {})",
         lambda: (*m.low_high(gini("hidden 1", "ticket")), down(min(value for rule in m.SCORES
                                                                    for value in gini("hidden 1", rule))))),
    Said("end within half a point of each other ({} to {} % on MNIST, {} to {} % on Fashion-MNIST), above "
         "the static mask by one to one and a half points and below the ticket by half a point to two",
         lambda: (*(end for images in DATASETS for end in m.low_high(column("test", *GROWN, datasets=(images,)))),
                  all(-1.6 < gap < -0.8 for gap in over("static", *GROWN)),
                  all(0.5 < gap < 2 for gap in over("ticket", *GROWN)))),
]
