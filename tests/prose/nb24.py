"""Notebook 24, the wiring of convolutional networks."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from prose import measures as m
from prose.said import Said
from regrow import models, sparsity
from regrow.config import RunConfig
from regrow_companion import study
from regrow_companion.section8 import nb24_channels as channels
from regrow_companion.session import Session

PAGE = "notebooks/24_beyond_cnns.ipynb"
EXCUSED = {
    "none of that size in 264": "the updates of the paper's runs",
    "(0: all equal, near 1: one node": "a definition",
    "about $1/hw$ of it": "a formula",
    "with 2,000 connections put at random": "an exercise",
    "A unit of that layer has 16 places": "an exercise",
    "a layer of 16 channels": "an exercise",
}
CHANNELS = (channels.INTO, channels.OUT)
LONG, SHORT, RESNET = "ConvNet, 300 epochs", "ConvNet, 6 epochs", "ResNet-56, 6 epochs"


@cache
def wiring() -> channels.Wiring:
    return channels.of(Session("24", "replay", m.store(), m.NOWHERE))


@cache
def validation(model: str, rule: str) -> pd.Series:
    """Accuracy of each seed."""
    rows = wiring().end.query("model == @model and strategy == @rule").drop_duplicates("key")
    return rows["validation %"]


@cache
def unequal(model: str, rule: str) -> list[float]:
    """Spread of channels, incoming and outgoing, over that of chance at the end."""
    table = channels.ratios(wiring().nodes)
    table = table[(table["moment"] == table["moment"].max()) & (table["model"] == model) & (table["strategy"] == rule)]
    return list(table[table["nodes"].isin(CHANNELS)].groupby("nodes")["ratio"].mean())


@cache
def reach(model: str, rule: str) -> list[float]:
    """The largest degree of a channel over its layer's mean, incoming and outgoing."""
    rows = wiring().degrees.query("model == @model and strategy == @rule and moment == 'end'")
    return list(rows[rows["nodes"].isin(CHANNELS)].groupby("nodes")["relative degree"].max())


@cache
def dead(model: str, rule: str) -> list[float]:
    """Share of channels without connections at the end, incoming and outgoing."""
    rows = wiring().end.query("model == @model and strategy == @rule")
    sums = rows[rows["nodes"].isin(CHANNELS)].groupby("nodes")[["dead", "n"]].sum()
    return list(sums["dead"] / sums["n"])


@cache
def shares(model: str, rule: str) -> float:
    """Of the units' variance, what lies between channels."""
    table = channels.between(wiring().end)
    return float(table[(table["model"] == model) & (table["strategy"] == rule)]["share"].mean())


def tested(model: str) -> pd.Series:
    return wiring().tails.query("model == @model")["p"].dropna()


def at_random(model: str, nodes: str) -> float:
    """Mean degree of a kind of nodes in the layers that are fitted."""
    return float(wiring().end.query("model == @model and nodes == @nodes and n >= 100")["mean"].median())


def of_layer() -> int:
    """Connections of a layer 16 x 16 x 3 x 3 of ResNet-56."""
    shapes = models.weight_shapes(RunConfig(model="resnet56"), 10, (3, 32, 32))
    counts = sparsity.connection_counts(shapes, 0.05, "erk")
    return max(counts[name] for name, shape in shapes.items() if tuple(shape) == (16, 16, 3, 3))


SAID = [
    Said("{} short runs of ConvNet and ResNet-56 ({} of ConvNet on a few images in `quick`)",
         lambda: (m.planned("cnn"), len(study.runs("cnn", "quick")))),
    Said("ResNet-56 moreover sees {} images only", lambda: (study.CNNS["resnet56"]["train_limit"],)),
    Said("ConvNet sees {} small grey images for {} epochs",
         lambda: (study.QUICK_CNN["train_limit"], study.QUICK_CNN["epochs"])),
    Said("make channels about {} times as unequal as chance in ConvNet and {} to {} times in ResNet-56, under random "
         "growth {} to {} times and less than twice",
         lambda: (np.mean([value for rule in m.SCORES for value in unequal(SHORT, rule)]),
                  *m.low_high(value for rule in m.SCORES for value in unequal(RESNET, rule)),
                  *m.low_high(unequal(SHORT, "random")), max(unequal(RESNET, "random")) < 2)),
    Said("ConvNet ends at {} to {}. Random growth goes on, to {} to {}",
         lambda: (*m.low_high(value for rule in m.SCORES for value in unequal(LONG, rule)),
                  *m.low_high(unequal(LONG, "random")))),
    Said("{} % under gradient growth, {} % under momentum growth, {} % under random growth",
         lambda: [100 * float(np.mean(list(dead(LONG, rule)))) for rule in ("gradient", "momentum", "random")]),
    Said("The network with the fewest dead ones is the most accurate: {} % of validation images with random growth, "
         "{} % with momentum and {} % with gradient growth",
         lambda: (*(validation(LONG, rule).mean() for rule in ("random", "momentum", "gradient")),
                  min(m.STRATEGIES, key=lambda rule: dead(LONG, rule)[0]) == "random",
                  max(m.STRATEGIES, key=lambda rule: validation(LONG, rule).mean()) == "random")),
    Said("In ConvNet a third to a half of the channels are dead after twenty updates",
         lambda: (all(0.28 < share < 0.55 for rule in m.SCORES for share in dead(SHORT, rule)),
                  max(dead(SHORT, "random")) == 0)),
    Said("({} against {} %, with seeds up to {} points apart)",
         lambda: (np.mean([validation(SHORT, rule).mean() for rule in m.SCORES]),
                  validation(SHORT, "random").mean(),
                  max(np.ptp(validation(SHORT, rule)) for rule in m.STRATEGIES))),
    Said("({} against {} %)", lambda: (np.mean([validation(RESNET, rule).mean() for rule in m.SCORES]),
                                      validation(RESNET, "random").mean())),
    Said("reach {} to {} times the mean of a layer for channels, those of random growth {} to {} times",
         lambda: (*m.low_high(value for model in (SHORT, RESNET) for rule in m.SCORES for value in reach(model, rule)),
                  *m.low_high(value for model in (SHORT, RESNET) for value in reach(model, "random")))),
    Said("ConvNet's largest channels are smaller, {} to {} times the mean, beside {} to {} times under random growth",
         lambda: (*m.low_high(value for rule in m.SCORES for value in reach(LONG, rule)),
                  *m.low_high(reach(LONG, "random")))),
    Said("After {300} epochs it is {} to {} % in ConvNet under the score rules and {} % under random growth",
         lambda: (*m.low_high(100 * shares(LONG, rule) for rule in m.SCORES), 100 * shares(LONG, "random"))),
    Said("Under the score rules channels account for about two thirds (ConvNet) and nearly six tenths (ResNet-56) of "
         "the units' variance, under random growth for a third and a fourth",
         lambda: (all(abs(shares(SHORT, rule) - 2 / 3) < 0.05 for rule in m.SCORES),
                  all(0.52 < shares(RESNET, rule) < 0.6 for rule in m.SCORES),
                  abs(shares(SHORT, "random") - 1 / 3) < 0.05, abs(shares(RESNET, "random") - 1 / 4) < 0.05)),
    Said("Where a layer has {} nodes or more", lambda: (channels.ENOUGH,)),
    Said("($p$ from {} synthetic sets each)", lambda: (channels.N_SETS,)),
    Said("for units with a mean of {} connections", lambda: (at_random(SHORT, channels.UNITS),)),
    Said("{} of {} of ResNet-56, none of {} of ConvNet's short runs and none of {} of its long ones pass",
         lambda: ((tested(RESNET) > 0.1).sum(), len(tested(RESNET)), len(tested(SHORT)), len(tested(LONG)),
                  not (tested(SHORT) > 0.1).any() and not (tested(LONG) > 0.1).any())),
    Said("of ResNet-56 with {} connections", lambda: (of_layer(),)),
    Said("first hidden layer has {} places", lambda: (m.topology("random")[0].shapes["fc1"][1],)),
]
