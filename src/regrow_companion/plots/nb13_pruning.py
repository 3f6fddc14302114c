"""Appendix A: accuracy by pruning and growth rule (Figure 13), and which weights of a layer each rule removes."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from torch import Tensor

from regrow.errors import RegrowError
from regrow.record import READINGS, Record
from regrow.rules import PRUNING, LayerState
from regrow_companion import paper, study
from regrow_companion.plots import nb08_accuracy as accuracy
from regrow_companion.style import strips, style_of

LABELS = {"magnitude": "magnitude", "set": "SET", "random": "random", "set_legacy": "SET with\nthe bug"}
# No strategy of growth has these colours.
KEPT, REMOVED = "#A6CDE6", "#B3591B"
LINES = {"magnitude": ("#767676", "-", 4.0), "set": ("#000000", (0, (4, 2)), 1.6), "set_legacy": ("#CC79A7", "-", 2.0)}
OPEN: dict[str, Any] = {"marker": "D", "markersize": 5.5, "markerfacecolor": "none", "markeredgewidth": 1}
SIDE = 0.26  # from one growth rule to the next within a pruning rule; 1 is the distance of pruning rules


# ---- Figure 13 ------------------------------------------------------------------------------------------------------


def accuracies(records: Sequence[Record]) -> pd.DataFrame:
    """One row per record: network, dataset, pruning, growth, seed, and its test accuracy (percent) under each of
    `record.READINGS`, in columns 'last' and 'best validation'."""
    return pd.DataFrame([{"network": accuracy.network_name(record),
                          "dataset": paper.DATASET_NAMES[record.config.dataset], "pruning": record.config.prune,
                          "growth": record.config.grow, "seed": record.config.seed,
                          **{reading: record.accuracy(reading).test for reading in READINGS}} for record in records])


def figure13(records: Sequence[Record]) -> tuple[Figure, pd.DataFrame]:
    """Test accuracy per pruning rule (columns of a panel) and growth rule (colours), a panel per network with records.

    Every seed is a dot, the bar is their mean, both after the last epoch; an open diamond beside the bar is the mean at
    best validation. Where cells have different numbers of seeds, each says its own. A dash stands for a cell without a
    run, and a line below says so. `set_legacy` gets a column, after the paper's three, if there are runs of it. The
    frame is `accuracies(records)`. Raises RegrowError without records.
    """
    if not records:
        raise RegrowError("Figure 13 has nothing to show yet: "
                          f"`{accuracy.command('fig13')}` trains its runs, and may be stopped at any time.")
    frame = accuracies(records)
    networks = list(dict.fromkeys(frame["network"]))
    prunings = [*study.pruning_rules(), *(["set_legacy"] if "set_legacy" in set(frame["pruning"]) else [])]
    across = min(len(networks), 2)
    down = ceil(len(networks) / across)
    fig, axes = plt.subplots(down, across, figsize=(7, 1.1 + 2.4 * down), squeeze=False)
    dashes = False
    for ax, network in zip(axes.flat, networks, strict=False):
        at = frame[frame["network"] == network]
        dashes |= _panel(ax, at, prunings)
        sizes = sorted(set(at.groupby(["pruning", "growth"]).size()))
        seeds = f"N = {sizes[0]} to {sizes[-1]} (at the foot)" if len(sizes) > 1 else f"N = {sizes[0]}"
        ax.set(title=f"{network} on {at['dataset'].iloc[0]}, {seeds}", xlabel="pruning rule",
               ylabel="test accuracy (%)")
    for ax in axes.flat[len(networks):]:
        ax.remove()
    _legend(fig)
    missing = untrained_networks(records)
    if said := "; ".join(["–: not trained yet"] * dashes + [f"no run of {', '.join(missing)}"] * bool(missing)):
        fig.supxlabel(said, fontsize=8)
    plt.close(fig)
    return fig, frame


def _legend(fig: Figure) -> None:
    handles = [Line2D([], [], color=style.colour, marker=style.marker, linestyle="none", label=f"{style.label} growth")
               for style in map(style_of, study.growth_rules())]
    handles += [Line2D([], [], color="#000000", linewidth=2, label="dots and mean, last epoch"),
                Line2D([], [], color="#000000", linestyle="none", label="mean at best validation", **OPEN)]
    fig.legend(handles=handles, loc="outside upper center", ncols=3)


def untrained_networks(records: Sequence[Record]) -> list[str]:
    """The paper's networks without a record, where some of the records have the paper's setting; else []."""
    grid = {config: config.model for config in study.runs("fig13", "paper")}
    trained = {grid[record.config] for record in records if record.config in grid}
    return [paper.MODEL_NAMES[model] for model in study.MODELS if model not in trained] if trained else []


def untrained(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Cells (network, pruning, growth) of the paper's figure that have no run, of the networks in the frame."""
    there = set(zip(frame["network"], frame["pruning"], frame["growth"], strict=True))
    return [cell for network in dict.fromkeys(frame["network"]) for pruning in study.pruning_rules()
            for growth in study.growth_rules() if (cell := (network, pruning, growth)) not in there]


def _panel(ax: Axes, frame: pd.DataFrame, prunings: Sequence[str]) -> bool:
    """Draw the cells of a network; whether any of them has no run."""
    cells = {key: cell for key, cell in frame.groupby(["pruning", "growth"])}
    uneven = len({len(cell) for cell in cells.values()}) > 1
    dashes = False
    for column, pruning in enumerate(prunings):
        for place, growth in enumerate(study.growth_rules()):
            x, style = column + SIDE * (place - 1), style_of(growth)
            cell = cells.get((pruning, growth))
            if cell is None:
                dashes = True
                ax.text(x, 0.5, accuracy.NOTHING, ha="center", va="center", color="#595959", fontsize=14,
                        transform=ax.get_xaxis_transform())
                continue
            values = cell["last"].to_numpy()
            spread = np.linspace(-0.06, 0.06, len(values)) if len(values) > 1 else np.zeros(1)
            strips(ax, x + spread, values, style, size=4)
            ax.plot([x - 0.1, x + 0.1], 2 * [values.mean()], color=style.colour, linewidth=2, solid_capstyle="butt")
            ax.plot([x], [cell["best validation"].mean()], linestyle="none", color=style.colour, **OPEN)
            if uneven:
                ax.text(x, 0.01, str(len(values)), ha="center", va="bottom", fontsize=7, color="#595959",
                        transform=ax.get_xaxis_transform())
    for edge in range(1, len(prunings)):
        ax.axvline(edge - 0.5, color="#D9D9D9", linewidth=0.8, zorder=0)
    ax.margins(y=0.12 if uneven else 0.08)  # the numbers of seeds stand below all dots
    ax.set(xlim=(-0.5, len(prunings) - 0.5), xticks=range(len(prunings)))
    ax.set_xticklabels([LABELS[pruning] for pruning in prunings])
    ax.tick_params(axis="x", length=0)
    return dashes


# ---- which weights go -----------------------------------------------------------------------------------------------


def removed(weights: Tensor, rate: float, rule: str) -> Tensor:
    """Which of a layer's active weights [n] a pruning rule removes at a rate; boolean [n]."""
    row = LayerState(weights, torch.ones_like(weights, dtype=torch.bool), torch.Generator().manual_seed(0))
    return PRUNING[rule](row, rate)


def removed_figure(weights: Tensor, rates: Sequence[float] = (0.5, 0.1, 0.01), bins: int = 61,
                   ) -> tuple[Figure, pd.DataFrame]:
    """Histograms of a layer's active weights [n]: a row per rule, a column per rate, removed weights marked.

    The widest hundredth on each side is gathered in the outermost bins. The frame has one row per rule, rate and bin:
    its middle, and how many weights of it are kept and removed.
    """
    values = weights.detach().numpy()
    bound = float(np.quantile(np.abs(values), 0.99))
    edges = np.linspace(-bound, bound, bins + 1)  # an odd number of bins: zero lies in the middle of one
    shown = np.clip(values, -bound, bound)
    middles, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    fig, axes = plt.subplots(len(LINES), len(rates), figsize=(7, 4.8), sharex=True, sharey=True)
    parts = []
    for row, rule in zip(axes, LINES, strict=True):
        for ax, rate in zip(row, rates, strict=True):
            gone = removed(weights.detach(), rate, rule).numpy()
            kept, lost = (np.histogram(shown[which], edges)[0] for which in (~gone, gone))
            ax.bar(middles, kept, width, color=KEPT, linewidth=0)
            ax.bar(middles, lost, width, bottom=kept, color=REMOVED, linewidth=0)
            ax.text(0.03, 0.95, f"removed\n{100 * gone.mean():.1f} %", ha="left", va="top", fontsize=8,
                    transform=ax.transAxes)
            parts.append(pd.DataFrame({"rule": rule, "rate": rate, "weight": middles, "kept": kept, "removed": lost}))
        row[0].set_ylabel(f"{LABELS[rule].replace(chr(10), ' ')}\nconnections")
    for ax, rate in zip(axes[0], rates, strict=True):
        ax.set_title(f"p = {rate:g}")
    for ax in axes[-1]:
        ax.set_xlabel("weight")
    fig.legend(handles=[Patch(color=KEPT, label="kept"), Patch(color=REMOVED, label="removed")],
               loc="outside upper center", ncols=2)
    plt.close(fig)
    return fig, pd.concat(parts, ignore_index=True)


def removed_share_figure(weights: Tensor, rates: Sequence[float] = ()) -> tuple[Figure, pd.DataFrame]:
    """The share of active weights [n] that each rule removes against the rate p, 0 included.

    Frame: rule, rate, removed (share). Says in words how many of the weights are negative.
    """
    values = np.asarray(rates) if len(rates) else np.concatenate([[0, 0.002], np.linspace(0.01, 0.6, 60)])
    negative = float((weights < 0).double().mean())
    fig, ax = plt.subplots(figsize=(6, 2.9))
    rows = []
    for rule, (colour, line, width) in LINES.items():
        shares = [float(removed(weights.detach(), rate, rule).double().mean()) for rate in values]
        label = LABELS[rule].replace("\n", " ")
        if rule == "set_legacy":  # p = 0 removes nothing: a point of its own, no steep line to it
            ax.plot(values[1:], shares[1:], color=colour, linestyle=line, linewidth=width, label=label)
            ax.plot(values[:1], shares[:1], color=colour, marker="D", linestyle="none", clip_on=False)
        else:
            ax.plot(values, shares, color=colour, linestyle=line, linewidth=width, label=label)
        rows += [{"rule": rule, "rate": rate, "removed": share} for rate, share in zip(values, shares, strict=True)]
    ax.annotate(f"{100 * negative:.0f} % of the weights are negative", (0, negative), (4, 4),
                textcoords="offset points", fontsize=8)
    ax.set(xlabel="prune rate p", ylabel="share removed", xlim=(0, values[-1]), ylim=(-0.02, None))
    fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    plt.close(fig)
    return fig, pd.DataFrame(rows)
