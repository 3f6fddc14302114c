"""Figures B4 to B6: dormancy by activation and by degree, and what degree says of activity (beyond Section 5.4)."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regrow import style
from regrow.study import STRATEGIES

LAYERS = ("hidden 1", "hidden 2")
TAU = 0.025
LAYER_COLOURS = {"hidden 1": "#0072B2", "hidden 2": "#E69F00"}
# What Figure B4 counts, and how: colour and dashes.
SENSES = {"low": ("by degree", "#D55E00", "-"), f"score_{TAU:g}": (f"by activation, τ = {TAU:g}", "#0072B2", "-"),
          f"both_{TAU:g}": ("in both senses", "#000000", (0, (1, 1.2))), "constant": ("same output always", "#009E73",
                                                                                      (0, (5, 2)))}


def figure_b4(moments: pd.DataFrame, low: int, thresholds: str) -> tuple[Figure, pd.DataFrame]:
    """Dormant neurons over training in both senses: percent of a layer, a column per growth rule, a row per layer.

    Lines are means over seeds, bands one standard deviation; `low` and `thresholds` (a sentence) say what few
    connections are. The frame is long: strategy, seed, nodes, epoch, sense, percent.
    """
    frame = moments.melt(id_vars=["strategy", "seed", "nodes", "epoch", "neurons"], value_vars=list(SENSES),
                         var_name="sense", value_name="count")
    frame["percent"] = 100 * frame.pop("count") / frame["neurons"]
    rules = present(moments)
    fig, axes = plt.subplots(2, len(rules), figsize=(7, 4.2), sharex=True, sharey="row", squeeze=False)
    for row, nodes in zip(axes, LAYERS, strict=True):
        for ax, rule in zip(row, rules, strict=True):
            panel = frame[(frame["strategy"] == rule) & (frame["nodes"] == nodes)]
            for sense, (label, colour, dashes) in SENSES.items():
                wide = panel[panel["sense"] == sense].pivot(index="epoch", columns="seed", values="percent")
                _band(ax, wide, colour=colour, linestyle=dashes, label=label)
            if nodes == LAYERS[0]:
                ax.set_title(f"{style.style_of(rule).label} (N={panel['seed'].nunique()})")
        row[0].set_ylabel(f"{nodes}\nneurons (%)")
        row[0].set_ylim(bottom=0)
    sentence = f"By degree: {low} connections or fewer ({thresholds})."
    fig.supxlabel("epoch\n" + textwrap.fill(sentence, 110), fontsize=8)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return fig, frame


def figure_b5(neurons: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Every hidden neuron at a quarter of training: activation score (upper row) and gradient (lower row) against
    degree, a column per growth rule; seeds together.

    Gradients are root mean squares over all places of a neuron's row of weights. What is smaller than the axes show, 0
    included, lies at their edge. The frame has a row per neuron.
    """
    first = neurons["epoch"].min()
    frame = neurons.loc[neurons["epoch"] == first, ["strategy", "seed", "nodes", "epoch", "neuron", "degree", "score",
                                                    "gradient"]].reset_index(drop=True)
    rules = present(frame)
    fig, axes = plt.subplots(2, len(rules), figsize=(7, 4.4), sharex=True, sharey="row", squeeze=False)
    for row, (value, label) in zip(axes, {"score": "activation score", "gradient": "gradient (RMS)"}.items(),
                                   strict=True):
        floor = max(frame.loc[frame[value] > 0, value].quantile(0.01), 1e-4 if value == "score" else 0.0)
        for ax, rule in zip(row, rules, strict=True):
            for nodes in LAYERS:
                dots = frame[(frame["strategy"] == rule) & (frame["nodes"] == nodes)]
                ax.scatter(np.maximum(dots["degree"], 0.7), np.maximum(dots[value], floor), s=4, alpha=0.35,
                           linewidths=0, color=LAYER_COLOURS[nodes], marker="o" if nodes == LAYERS[0] else "^",
                           label=nodes, rasterized=True)
            ax.set(xscale="log", yscale="log")
            if value == "score":
                ax.axhline(TAU, color="#595959", linestyle=(0, (4, 3)), linewidth=1, label=f"τ = {TAU:g}")
                ax.set_title(f"{style.style_of(rule).label} (N={frame['seed'].nunique()})")
        row[0].set_ylabel(label)
    fig.supxlabel(f"connections of a neuron at epoch {first:.0f} (0 is drawn at the edge, on both axes)", fontsize=9)
    legend = fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    return fig, frame


CORRELATIONS = {"degree_score": "degree with\nactivation score",
                "degree_update": "degree with gradient\nof a connection",
                "grown_in_degree_given_score": "gains with degree,\nactivation held fixed",
                "grown_score_given_in_degree": "gains with activation,\ndegree held fixed"}


def figure_b6(moments: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Rank correlations over training, a column each, a row per layer: what degree says of activity, and which of the
    two says more about the connections that an update adds.

    Lines are means over seeds, bands one standard deviation. The frame is long.
    """
    frame = moments.melt(id_vars=["strategy", "seed", "nodes", "epoch", "neurons"], value_vars=list(CORRELATIONS),
                         var_name="pair", value_name="rho").dropna(subset="rho")
    fig, axes = plt.subplots(2, len(CORRELATIONS), figsize=(7, 4.4), sharex=True, sharey=True)
    for row, nodes in zip(axes, LAYERS, strict=True):
        for ax, (pair, label) in zip(row, CORRELATIONS.items(), strict=True):
            for rule in present(moments):
                some = frame[(frame["strategy"] == rule) & (frame["nodes"] == nodes) & (frame["pair"] == pair)]
                how = style.style_of(rule)
                _band(ax, some.pivot(index="epoch", columns="seed", values="rho"), colour=how.colour,
                      linestyle=how.linestyle, label=f"{how.label} (N={some['seed'].nunique()})", marker=how.marker)
            ax.axhline(0, color="#595959", linewidth=0.8)
            if nodes == LAYERS[0]:
                ax.set_title(label, fontsize=8.5)
        row[0].set_ylabel(f"{nodes}\nSpearman's ρ")
    axes[0, 0].set_ylim(-0.4, 1.02)
    fig.supxlabel("epoch", fontsize=9)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig, frame


def dormant_shares(moments: pd.DataFrame) -> pd.DataFrame:
    """At the end, per rule and layer: percent dormant by degree, by activation, in both senses; of those dormant by
    degree the percent that is still active; Spearman's rho of degree and score. Means over seeds."""
    last = moments[moments["epoch"] == moments["epoch"].max()]
    rows = []
    for (rule, nodes), group in last.groupby(["strategy", "nodes"], sort=False):
        total, low, both = (group[name].sum() for name in ("neurons", "low", f"both_{TAU:g}"))
        rows.append({"strategy": rule, "layer": nodes, "seeds": len(group), "by degree (%)": 100 * low / total,
                     "by activation (%)": 100 * group[f"score_{TAU:g}"].sum() / total,
                     "in both senses (%)": 100 * both / total,
                     "few connections yet active (%)": 100 * (1 - both / low) if low else np.nan,
                     "rho of degree and score": group["degree_score"].mean()})
    return pd.DataFrame(rows)


def present(frame: pd.DataFrame) -> list[str]:
    """The growth rules of a frame in their usual order."""
    return [rule for rule in STRATEGIES if rule in set(frame["strategy"])]


def _band(ax: Axes, curves: pd.DataFrame, *, colour: str, linestyle: Any, label: str, marker: str = "") -> None:
    """Mean over the columns, one per seed, and a band of one standard deviation."""
    mean = curves.mean(axis=1)
    if curves.shape[1] > 1:
        spread = curves.std(axis=1, ddof=1)
        ax.fill_between(curves.index, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
    ax.plot(curves.index, mean, color=colour, linestyle=linestyle, label=label, marker=marker, markersize=3.5)
