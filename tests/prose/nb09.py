"""Notebook 09, how the degree distribution evolves."""

from __future__ import annotations

import numpy as np

from prose import measures as m
from prose.said import Said
from regrow_companion import study
from regrow_companion.plots.nb09_degrees import degree_spread, widening

PAGE = "notebooks/09_degree_evolution.ipynb"
EXCUSED = {
    "Degree 0 has a bin": "a definition",
    "(2, 75, 150, 225 and 300 of 300 epochs)": "the paper's moments",
    "row 1 thus shows": "a row of the figure",
    "would hold 0.10": "a tenth",
}


def mean_degree(layer: int) -> float:
    return float(m.topology("random")[0].hidden_layer_degrees(0)[layer - 1].mean())


def mean_largest(grow: str, update: int = -1, border: str = "mirrored") -> float:
    return float(np.mean(m.largest(grow, update, border)))


def lowest(grow: str) -> tuple[float, float, float]:
    """Width and epoch at the bottom of the dip, and how much lower it is than the peak before it, as a fraction."""
    width = m.width(grow)
    peak = width[width.index < 100]
    dip = width[width.index > 100]
    return dip.min(), float(dip.idxmin()), 1 - dip.min() / peak.max()


def peak(grow: str) -> tuple[float, float]:
    """Width and epoch of the highest point in the first third of training."""
    width = m.width(grow)
    width = width[width.index < 100]
    return width.max(), float(width.idxmax())


def falls() -> list[float]:
    """By how much each seed falls below the widest it was before, in per cent."""
    return [100 * float((1 - curve / curve.cummax()).max())
            for rule in m.SCORES for _, curve in m.width_of_seeds(rule).items()]


def black_width(grow: str) -> float:
    """At the end, as a multiple of the start."""
    return float(widening(degree_spread(m.topology(grow, "black")))["end"].iloc[0])


SAID = [
    Said("the mean degree is {} in hidden layer 1 and {} in hidden layer 2", lambda: (mean_degree(1), mean_degree(2))),
    Said("hidden layer 2 around degree {} and the larger hidden layer 1 around degree {}",
         lambda: (mean_degree(2), mean_degree(1))),
    Said("first and last row: random {} and {}; gradient {} and {}; momentum {} and {}",
         lambda: [mean_largest(rule, update) for rule in m.STRATEGIES for update in (1, -1)]),
    Said("at the paper's scale; N = {} seeds ({} to {})",
         lambda: (len(study.SEEDS), study.SEEDS[0], study.SEEDS[-1])),
    Said("the paper's scale: {} runs of 300 epochs", lambda: (len(m.of_need("fig05")),)),
    Said("The peak at degree {}", lambda: (m.topology("random")[0].shapes["fc3"][0],)),
    Said("one update makes the distribution {} times as wide under gradient, {} times under momentum and {} times "
         "under random growth, where it then keeps widening, to {} times",
         lambda: (m.widths()["after 1"]["gradient"], m.widths()["after 1"]["momentum"],
                  m.widths()["after 1"]["random"], m.widths()["end"]["random"])),
    Said("Under gradient growth the width is {} times that at the start in epoch {}, {} times in epoch {} and {} times "
         "at the end; under momentum growth {} in epoch {}, {} in epoch {} and {} at the end. So both means fall by {} "
         "to {} per cent",
         lambda: (*peak("gradient"), *lowest("gradient")[:2], m.widths()["end"]["gradient"],
                  *peak("momentum"), *lowest("momentum")[:2], m.widths()["end"]["momentum"],
                  *m.low_high(100 * lowest(rule)[2] for rule in m.SCORES))),
    Said("(single runs by {} to {} %)", lambda: m.low_high(falls())),
    Said("the width ends at {} times that at the start under gradient growth and at {} under momentum growth",
         lambda: m.each(black_width, m.SCORES)),
    Said("the largest degree falls from {} after one update to {} at the end under gradient growth, and from {} to {} "
         "under momentum growth; with the black one it ends at {} and {}",
         lambda: (*(mean_largest(rule, update) for rule in m.SCORES for update in (1, -1)),
                  *(mean_largest(rule, border="black") for rule in m.SCORES))),
]
