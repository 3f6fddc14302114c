"""Notebook 22, when layers may trade connections and neurons are born."""

from __future__ import annotations

from functools import cache
from math import sqrt

import numpy as np
import pandas as pd

from prose import measures as m
from prose.said import Said, about
from regrow_companion.section8 import nb22_layers
from regrow_companion.section8.nb18_attachment import pooled

PAGE = "notebooks/22_beyond_layers.ipynb"
EXCUSED = {
    "Connections grow with weight 0": "a definition",
    "begin at 0.": "a definition",
    "Early in training it is well below 1": "the linear kernel; a fact in the list",
    "passes through 1 rather": "the linear kernel",
    "Of two layers with 3072 and 1024 inputs": "an exercise",
    "Begin with 100 founders of 1,000 connections each, $C = 100{,}000$ in all": "an exercise",
    "At each of 100 births 2,000 connections": "an exercise",
    "until there are 200 neurons": "an exercise",
    "the exponent is not above 1": "the linear kernel",
}


@cache
def table(name: str) -> pd.DataFrame:
    return m.beyond(nb22_layers.EXPERIMENT)[name]


@cache
def changes() -> pd.Series:
    """By how many per cent the connections of each layer change, mean over seeds, by kind, rule and layer."""
    keys = ["kind", "strategy", "seed", "layer"]
    layers = table("layers").set_index(keys)
    last, first = (layers[layers["step"] == step]["connections"] for step in (layers["step"].max(), 0))
    return (100 * (last / first - 1)).groupby(["kind", "strategy", "layer"]).mean()


def change(kind: str, rule: str, layer: str) -> float:
    return float(changes()[kind, rule, layer])


@cache
def betas(side: str, late: bool) -> list[float]:
    """Exponents of attachment of gradient and momentum growth in one half of training, by kind, rule and group."""
    rows = table("exponents")
    half = (rows["step"] > 0.5 * rows["step"].max()) == late
    rows = rows[half & (rows["step"] > rows["step"].min()) & (rows["side"] == side)
                & rows["strategy"].isin(m.SCORES)]
    groups = rows.groupby(["kind", "strategy", "layer"])
    return [pooled(group, "attachment", "attachment_information", draws=1, block=4).value for key, group in groups
            if (key[2], side) in nb22_layers.GROUPS]


@cache
def founders(nodes: str, rule: str) -> float:
    """Percentage of a layer's incoming connections that founders hold in the growing networks."""
    ages = table("ages").query("kind == 'growing' and nodes == @nodes and strategy == @rule")
    return 100 * float(ages["in_degree"][ages["birth"] == 0].sum() / ages["in_degree"].sum())


@cache
def accuracies(kind: str, rule: str) -> pd.Series:
    """Validation accuracy of each seed."""
    return table("accuracy").query("kind == @kind and strategy == @rule")["validation"]


def apart() -> float:
    """How far two seeds are apart at most."""
    seeds = table("accuracy").groupby(["kind", "strategy"])["validation"]
    return float((seeds.max() - seeds.min()).max())


LAW = 100 * sqrt(0.5)  # founders are half of the neurons
SAID = [
    Said("By momentum the first layer loses {} to {} % of its connections; by magnitude, under gradient and momentum "
         "growth, it loses about {} %, and the second layer more than doubles",
         lambda: (*m.low_high(-change("momentum", rule, "fc1") for rule in m.SCORES),
                  about(-np.mean([change("magnitude", rule, "fc1") for rule in m.SCORES]), 5),
                  all(change("magnitude", rule, "fc2") > 100 for rule in m.SCORES),
                  abs(change("magnitude", "random", "fc1")) < 3)),
    Said("is {} to {} on the out sides in all four kinds, and {} to {} for in-degrees",
         lambda: (*m.low_high(betas("out", True)), *m.low_high(betas("in", True)), max(betas("in", False)) < 0.8)),
    Said("founders hold {} % of all incoming ones under gradient and momentum growth and {} % under random growth, "
         "where linear attachment would leave them {} %. In hidden 2 they hold {} % under both score rules, and under "
         "random growth as much as the law says",
         lambda: (np.mean([founders("hidden 1", rule) for rule in m.SCORES]), founders("hidden 1", "random"), LAW,
                  np.mean([founders("hidden 2", rule) for rule in m.SCORES]),
                  abs(founders("hidden 2", "random") - LAW) < 2)),
    Said("gradient growth has {}, {} and {} % of the validation images right, momentum growth {}, {} and {} %. Random "
         "growth has {} % with fixed layers and {} % with trade by magnitude. Growing costs all three {} to {} points",
         lambda: (*(accuracies(kind, rule).mean() for rule in m.SCORES for kind in ("fixed", "momentum", "magnitude")),
                  accuracies("fixed", "random").mean(), accuracies("magnitude", "random").mean(),
                  *m.low_high(accuracies("fixed", rule).mean() - accuracies("growing", rule).mean()
                              for rule in m.STRATEGIES))),
    Said("which lie up to {} points apart", lambda: (apart(),)),
]
