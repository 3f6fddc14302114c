"""Notebook 18, who gains, who loses, who is active."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from prose import measures as m
from prose.said import Said
from regrow_companion.section8 import nb18_mechanism
from regrow_companion.section8.nb18_attachment import BLOCK, pooled
from regrow_companion.section8.nb18_plots import TAU, kept_by_shell

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


def agreement(nodes: str = "hidden 1") -> pd.Series:
    """Spearman's rho of degree and activation from the second update on."""
    return seen().moments.query("nodes == @nodes and epoch > 0")["degree_score"]


def leads(nodes: str, since: float, until: float) -> pd.Series:
    """By how much the gains of the score rules go with activity at fixed degree rather than the other way round, by
    rule and moment, mean over seeds."""
    rows = seen().moments.query("strategy != 'random' and nodes == @nodes and epoch > @since and epoch < @until")
    lead = rows["grown_score_given_in_degree"] - rows["grown_in_degree_given_score"]
    return lead.groupby([rows["strategy"], rows["epoch"]]).mean().dropna()


def kept(shells: str, nodes: str, rules: tuple[str, ...] = m.SCORES) -> float:
    """Percentage of incoming connections that an update leaves, mean over seeds, of some of Figure B22's points."""
    rows = kept_by_shell(seen().shells).query(f"nodes == @nodes and strategy in @rules and {shells}")
    return float(rows["percent"].mean())


def low_shells() -> tuple[float, float]:
    """Lowest and highest mean of a rule and a tenth of gradient and momentum growth, in hidden 1 below half."""
    rows = kept_by_shell(seen().shells).query("nodes == 'hidden 1' and strategy in @m.SCORES and 1 <= tenth < 5")
    return m.low_high(rows.groupby(["strategy", "tenth"])["percent"].mean())


SAID = [
    Said("Until the learning rate drops at epoch {150}, the in-degrees of hidden {1} have exponents of {} to {} under "
         "gradient and momentum growth, those of hidden {2} of {} to {}",
         lambda: (*m.low_high(exponents(m.SCORES, layers=("fc1",), until=147)),
                  *m.low_high(exponents(m.SCORES, layers=("fc2",), until=147)))),
    Said("Within a few updates both jump to about {1} and then climb to {2}",
         lambda: (exponents(m.SCORES, since=160, until=170).between(0.9, 1.6).all(),
                  exponents(m.SCORES, since=275, until=285).between(1.7, 2.6).all())),
    Said("the lasting gains of hidden neurons have an exponent of about {} in the first half, which falls below {1} at "
         "the end", lambda: (lasting(0, 150), lasting(270, 301) < 1)),
    Said("{} against {} % at the end, but hardly later: at epoch {75} it is {} against {} %",
         lambda: [value for epoch in (300, 75) for value in
                  (silent("random", epoch), np.mean([silent(rule, epoch) for rule in m.SCORES]))]),
    Said("By degree they seem alive until epoch {200}",
         lambda: (share("random", "low", 187.5).max() == 0, share("random", "low", 225).min() > 0)),
    Said("the *same* output for every image only later: {} % at epoch {150}",
         lambda: (share("random", "constant", 150).mean(), silent("random", 150) > 1.3 * share(
             "random", "constant", 150).mean())),
    Said("still hold {} to {} connections each, {} on average, so a threshold of {} misses them",
         lambda: (*m.low_high(degrees_of_silent()), degrees_of_silent().mean(), seen().low)),
    Said("($\\rho$ of {} to {}), those of hidden {2} less",
         lambda: (*m.low_high(agreement()), agreement().mean() > agreement("hidden 2").mean())),
    Said("in hidden {1} until epoch {15}, and degree from epoch {75} on; in hidden {2} through the whole of training",
         lambda: (leads("hidden 1", 0, 16).min() > 0, leads("hidden 1", 70, 301).max() < 0,
                  leads("hidden 2", 0, 301).min() > 0)),
    Said("an update leaves {} % in hidden {1} and {} % in hidden {2}, at half the highest shell {} and {} %",
         lambda: [kept(shells, nodes, ("random",)) for shells in ("tenth == 10", "tenth == 5")
                  for nodes in ("hidden 1", "hidden 2")]),
    Said("it keeps {} and {} % where shells from a tenth to half of the highest keep {} to {} % in hidden {1}",
         lambda: (kept("tenth == 10", "hidden 1"), kept("tenth == 10", "hidden 2"), *low_shells())),
]
