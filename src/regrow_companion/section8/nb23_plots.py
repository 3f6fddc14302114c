"""Figures B17 and B18: winning tickets, their degrees and their strengths (beyond the paper, its Section 8)."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regrow_companion import style
from regrow_companion.paper import DATASET_NAMES
from regrow_companion.section8 import strength
from regrow_companion.style import Style

KINDS = {"ticket": Style("#CC79A7", "v", "-", "winning ticket"),
         "reinitialised": Style("#E69F00", "P", (0, (5, 2)), "its mask, other weights"),
         "static": Style("#56B4E9", "D", (0, (1, 1.2)), "its weights, random mask"),
         "random": style.style_of("random"), "gradient": style.style_of("gradient"),
         "momentum": style.style_of("momentum")}
CONTROLS = ("ticket", "reinitialised", "static")
LAYERS = {"input": Style("#000000", "o", "-", "input"), "hidden 1": Style("#CC79A7", "s", "-", "hidden 1"),
          "hidden 2": Style("#999933", "^", "-", "hidden 2")}
CHANCE: dict[str, Any] = {"linestyle": (0, (1, 1.5)), "linewidth": 1.3}
FITTED = ("hidden 1", "in")  # the neurons and the side of panel (c): as many as there are, all of one kind


def figure_b17(rounds: pd.DataFrame, layers: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Against density, a row per data set: (a) test accuracy of tickets and their controls; (b) the Gini coefficient of
    degrees in each layer of neurons of the tickets, dotted what random masks of as many connections would have.

    The arguments are tables of `nb23_tickets`. Bands are one standard deviation over seeds. The frame is long: dataset,
    panel, curve, seed, density (%), value, chance.
    """
    accuracy = rounds[rounds["kind"].isin(CONTROLS)].rename(columns={"kind": "curve", "test": "value"})
    gini = layers[layers["kind"] == "ticket"].rename(
        columns={"layer": "curve", "gini": "value", "gini_chance": "chance"})
    frame = pd.concat([accuracy.assign(panel="accuracy"), gini.assign(panel="inequality")], ignore_index=True)
    frame["density"] *= 100
    frame = frame[["dataset", "panel", "curve", "seed", "density", "value", "chance"]]
    names = list(dict.fromkeys(frame["dataset"]))
    fig, axes = plt.subplots(len(names), 2, figsize=(7, 0.8 + 2.6 * len(names)), sharex=True, squeeze=False)
    for row, dataset in zip(axes, names, strict=True):
        some = frame[frame["dataset"] == dataset]
        for ax, letter, panel, looks in zip(row, "ab", ("accuracy", "inequality"), (KINDS, LAYERS), strict=True):
            for curve, look in looks.items():
                mine = some[(some["panel"] == panel) & (some["curve"] == curve)]
                if len(mine):
                    _curve(ax, mine, look)
            ax.set(xscale="log", title=f"({letter}) {panel}, {DATASET_NAMES[dataset]}")
        row[0].set_ylabel("test accuracy (%)")
        row[1].set_ylabel("Gini coefficient of degrees")
        row[1].set_ylim(bottom=0)
    axes[0, 0].invert_xaxis()
    ticks = [100, 50, 20, 10, 5]
    axes[0, 0].set_xticks(ticks, [str(tick) for tick in ticks])
    axes[0, 0].minorticks_off()
    for ax in axes[-1]:
        ax.set_xlabel("density (%), falls from left to right")
    dotted = Line2D([], [], color="#595959", label="chance: random masks", **CHANCE)
    for ax, extra in ((axes[0, 0], []), (axes[0, 1], [dotted])):
        handles = [*ax.get_legend_handles_labels()[0], *extra]
        ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.14), fontsize=7, ncols=1 + len(extra))
    return fig, frame


def figure_b18(neurons: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """At the end, a row per data set, seeds together: share of hidden neurons with (a) a degree and (b) a strength as
    large or larger; (c) strength against degree of the connections that enter hidden 1, with s ~ k^beta fitted.

    `neurons` is a table of `nb23_tickets`. Neurons without any connection count in the shares of (a) and (b) and cannot
    be shown in (c). The frame has a row per neuron.
    """
    frame = neurons[neurons["round"] == neurons["round"].max()].reset_index(drop=True)
    frame["degree"] = frame["in_degree"] + frame["out_degree"]
    frame["strength"] = frame["in_strength"] + frame["out_strength"]
    fits = strength.exponents(frame).set_index(["dataset", "kind", "layer", "side"])
    names = list(dict.fromkeys(frame["dataset"]))
    fig, axes = plt.subplots(len(names), 3, figsize=(7, 1 + 2.5 * len(names)), squeeze=False, sharex="col")
    for row, dataset in zip(axes, names, strict=True):
        for kind, look in KINDS.items():
            mine = frame[(frame["dataset"] == dataset) & (frame["kind"] == kind)]
            if len(mine):
                _tails(row, mine, look)
                _against(row[2], mine[mine["layer"] == FITTED[0]], look, fits.loc[(dataset, kind, *FITTED)])
        for ax, letter, what in zip(row, "abc", ("degree", "strength", "hidden 1, incoming"), strict=True):
            ax.set(xscale="log", yscale="log", title=f"({letter}) {what}\n{DATASET_NAMES[dataset]}")
        row[0].set_ylabel("share of hidden neurons\nas large or larger")
        row[2].set_ylabel("strength $s$")
        row[2].legend(loc="lower right", fontsize=6, handlelength=1, borderpad=0, labelspacing=0.2)
    for ax, label in zip(axes[-1], ("degree $k$", "strength $s$", "degree $k$"), strict=True):
        ax.set_xlabel(label)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig, frame.drop(columns="round")


def summary(rounds: pd.DataFrame) -> pd.DataFrame:
    """The networks of the last round, means over seeds: accuracy, and what the tail of hidden degrees is like."""
    last = rounds[rounds["round"] == rounds["round"].max()]
    numbers = last.groupby(["dataset", "kind"], sort=False).agg(
        seeds=("seed", "nunique"), density=("density", "mean"), test=("test", "mean"), largest=("largest", "mean"),
        dormant=("dormant_low", "mean"), alpha=("alpha", "mean"), D=("D", "mean"), p=("p", "mean"),
        best=("best", _votes))
    return numbers.reset_index()


def _votes(laws: pd.Series) -> str:
    """How many seeds have which best law, the most frequent first."""
    return ", ".join(f"{law} ({n})" for law, n in laws.value_counts().items())


def _curve(ax: Axes, mine: pd.DataFrame, look: Style) -> None:
    """A seed band over density, and the chance of it where it is known."""
    style.seed_lines(ax, mine, "density", "value", look, markevery=1)
    if mine["chance"].notna().all():
        chance = mine.groupby("density")["chance"].first()
        ax.plot(chance.index, chance, color=look.colour, **CHANCE)


def _tails(row: Any, mine: pd.DataFrame, look: Style) -> None:
    for ax, what in zip(row[:2], ("degree", "strength"), strict=True):
        values, share = strength.ccdf(mine[what])
        there = values > 0
        ax.plot(values[there], share[there], color=look.colour, linestyle=look.linestyle,
                label=f"{look.label} (N={mine['seed'].nunique()})")


def _against(ax: Axes, mine: pd.DataFrame, look: Style, fit: pd.Series) -> None:
    """Dots for neurons and the fitted line, which goes through the mean of the logarithms."""
    there = mine[mine["in_degree"] > 0]
    k, s = there["in_degree"].to_numpy(float), there["in_strength"].to_numpy(float)
    ax.scatter(k, s, s=3, alpha=0.2, linewidths=0, color=look.colour, marker=look.marker, rasterized=True)
    ends = np.array([k.min(), k.max()])
    line = np.exp(np.log(s).mean() + fit["beta"] * (np.log(ends) - np.log(k).mean()))
    ax.plot(ends, line, color=look.colour, linestyle=look.linestyle, zorder=3,
            label=f"{look.label.partition(',')[0]}, β = {fit['beta']:.2f}")
