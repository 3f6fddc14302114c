"""Notebook 18, who gains, who loses, who is active."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from prose import measures as m
from prose.said import Said
from regrow_companion.section8 import nb18_mechanism
from regrow_companion.section8.nb18_attachment import BLOCK, pooled
from regrow_companion.section8.nb18_plots import TAU

PAGE = "notebooks/18_beyond_mechanism.ipynb"
EXCUSED = {
    "Then $\\beta = 1$ gives a power law": "a theorem",
    "$\\beta < 1$ a stretched exponential": "a theorem",
    "$\\beta > 1$ condensation": "a theorem",
    "2,000 validation images": "a setting of the watched runs",
    "Deal 8,000 connections": "an exercise",
}


@cache
def seen() -> nb18_mechanism.WatchedTables:
    return nb18_mechanism.tables("paper", m.NOWHERE, m.SHIPPED)


@cache
def over_time() -> pd.DataFrame:
    """The points of Figure B2 without their intervals, which take longest: exponents of blocks of updates."""
    table, rows = seen().exponents, []
    for (layer, side, strategy), group in table.groupby(["layer", "side", "strategy"]):
        order = group["step"].rank(method="dense").astype(int) - 1
        for _, block in group.groupby(order // BLOCK):
            rows += [{"layer": layer, "side": side, "strategy": strategy, "kind": kind, "epoch": block["epoch"].mean(),
                      "value": pooled(block, kind, f"{kind}_information", draws=1, block=1).value}
                     for kind in ("attachment", "lasting")]
    return pd.DataFrame(rows)


def exponents(grows: tuple[str, ...], kind: str = "attachment", layers: tuple[str, ...] = ("fc1", "fc2"),
              side: str = "in", since: float = 0, until: float = 300) -> pd.Series:
    """Of some rules and groups of neurons between two epochs."""
    frame = over_time()
    return frame[frame["strategy"].isin(grows) & (frame["kind"] == kind) & frame["layer"].isin(layers)
                 & (frame["side"] == side) & (frame["epoch"] >= since) & (frame["epoch"] < until)]["value"]


def lasting(since: float, until: float) -> float:
    """Mean exponent of lasting gains of hidden neurons under random growth."""
    groups = (("fc1", "in"), ("fc2", "in"), ("fc2", "out"))
    return float(np.mean([exponents(("random",), "lasting", (layer,), side, since, until).mean()
                          for layer, side in groups]))


def share(grow: str, column: str, epoch: float, nodes: str = "hidden 1") -> pd.Series:
    """Percentage of a layer's neurons at one of the moments, a value per seed."""
    rows = seen().moments.query("strategy == @grow and nodes == @nodes and epoch == @epoch")
    assert len(rows), epoch
    return 100 * rows[column] / rows["neurons"]


SILENT = f"score_{TAU:g}"


def silent(grow: str, epoch: float) -> float:
    return float(share(grow, SILENT, epoch).mean())


def degrees_of_silent() -> pd.Series:
    """Degrees of the neurons of hidden 1 that hardly fire under random growth, at a quarter of training."""
    neurons = seen().neurons
    return neurons[(neurons["step"] == neurons["step"].min()) & (neurons["strategy"] == "random")
                   & (neurons["nodes"] == "hidden 1") & (neurons["score"] <= TAU)]["degree"]


def agreement() -> pd.Series:
    """Spearman's rho of degree and activation in hidden 1 from the second update on."""
    return seen().moments.query("nodes == 'hidden 1' and epoch > 0")["degree_score"]


def leads(since: float, until: float) -> float:
    """By how much the gains of the score rules go with activity at fixed degree rather than the other way round."""
    rows = seen().moments.query("strategy != 'random' and epoch > @since and epoch < @until")
    return float((rows["grown_score_given_in_degree"] - rows["grown_in_degree_given_score"]).mean())


SAID = [
    Said("Until the learning rate drops at epoch {150}, the exponent of gradient and momentum growth is {} to {} for "
         "the in-degrees of both hidden layers; within a few updates it jumps to about {1}, and then climbs beyond "
         "{2}. For the input's out-degrees it is near {1} in the first half",
         lambda: (*m.low_high(exponents(m.SCORES, until=147)),
                  exponents(m.SCORES, since=155, until=165).between(0.9, 1.35).all(),
                  exponents(m.SCORES, since=290).min() > 2,
                  exponents(m.SCORES, layers=("fc1",), side="out", until=150).between(0.95, 1.25).all())),
    Said("the lasting gains of hidden neurons have an exponent of about {} in the first half, which falls below {1} at "
         "the end", lambda: (lasting(0, 150), lasting(270, 301) < 1)),
    Said("{} against {} %, and makes them no later: {} to {} against {} to {} % hardly fire at epoch {75}",
         lambda: (silent("random", 300), np.mean([silent(rule, 300) for rule in m.SCORES]),
                  *m.low_high(share("random", SILENT, 75)),
                  *m.low_high(value for rule in m.SCORES for value in share(rule, SILENT, 75)))),
    Said("By degree they seem alive until epoch {200}",
         lambda: (share("random", "low", 187.5).max() == 0, share("random", "low", 225).min() > 0)),
    Said("{} against {} % at epoch {150}", lambda: (share("random", "constant", 150).mean(), np.mean(
        [share(rule, "constant", 150).mean() for rule in m.SCORES]))),
    Said("still hold {} to {} connections each, {} on average, so a threshold of {} misses them",
         lambda: (*m.low_high(degrees_of_silent()), degrees_of_silent().mean(), seen().low)),
    Said("($\\rho$ of {} to {}), those of hidden 2 less", lambda: m.low_high(agreement())),
    Said("in the first half of training; after epoch {150} degree takes over", lambda: (leads(0, 150) > 0,
                                                                                        leads(151, 301) < 0)),
]
