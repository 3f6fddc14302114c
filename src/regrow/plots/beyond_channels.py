"""Figures B19 and B20: the wiring of convolutional networks (beyond the paper, its Section 8)."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from regrow import style
from regrow.beyond.channels import END, INTO, NODES, OUT, START, UNITS, ratios
from regrow.paper_tables import MODEL_NAMES
from regrow.study import STRATEGIES

TITLES = {INTO: "channels, incoming", OUT: "channels, outgoing", UNITS: "units, outgoing"}
GREY = "#8c8c8c"
DASHED = (0, (4, 3))


def figure_b19(nodes: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Standard deviation of degrees over what chance would give, mean over layers, along training: a row per network, a
    column per kind of nodes (units are channels at a position of the kernel); 1 is random wiring.

    `nodes` is that of channels.Wiring. Bands are one standard deviation over seeds. The frame is that of
    channels.ratios.
    """
    frame = ratios(nodes)
    models = list(dict.fromkeys(frame["model"]))
    fig, axes = plt.subplots(len(models), 3, figsize=(7, 0.9 + 1.9 * len(models)), sharey="row", sharex="row",
                             squeeze=False)
    for row, model in zip(axes, models, strict=True):
        for ax, kind in zip(row, NODES, strict=True):
            ax.axhline(1, color=GREY, linewidth=1, linestyle=DASHED)
            mine = frame[(frame["model"] == model) & (frame["nodes"] == kind)]
            for rule in _rules(mine):
                wide = mine[mine["strategy"] == rule].pivot(index="epoch", columns="seed", values="ratio")
                style.seed_band(ax, wide.index, wide.to_numpy().T, rule)
        row[0].set_ylabel(f"{MODEL_NAMES[model]}\nsd / sd by chance")
        row[0].set_ylim(bottom=0)
    _titles(axes[0])
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    chance = Line2D([], [], color=GREY, linewidth=1, linestyle=DASHED, label="random wiring")
    fig.legend(handles=[*axes[0, 0].get_legend_handles_labels()[0], chance], loc="outside upper center", ncols=4)
    return fig, frame


def pooled(degrees: pd.DataFrame) -> pd.DataFrame:
    """Share of nodes with a relative degree as large or larger, layers and seeds together.

    `degrees` is that of channels.Wiring. Columns: model, nodes, moment, strategy ("all" before training, when all are
    wired at random), seeds, relative degree, share.
    """
    parts = []
    named = degrees.assign(strategy=degrees["strategy"].where(degrees["moment"] == END, "all"))
    for (model, nodes, moment, strategy), rows in named.groupby(["model", "nodes", "moment", "strategy"], sort=False):
        counts = rows.groupby("relative degree")["count"].sum()
        larger = counts.to_numpy()[::-1].cumsum()[::-1] / counts.sum()
        parts.append(pd.DataFrame({"model": model, "nodes": nodes, "moment": moment, "strategy": strategy,
                                   "seeds": rows["seed"].nunique(), "relative degree": counts.index, "share": larger}))
    return pd.concat(parts, ignore_index=True)


def figure_b20(degrees: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Share of nodes with a degree over their layer's mean as large or larger, at the end of training, on logarithmic
    axes: a row per network, a column per kind of nodes; grey before training.

    Nodes without connections count and have no place on the axis: curves begin below 1 where there are any. The frame
    is that of `pooled`.
    """
    frame = pooled(degrees)
    models = list(dict.fromkeys(frame["model"]))
    fig, axes = plt.subplots(len(models), 3, figsize=(7, 1.0 + 2.0 * len(models)), sharey="row", sharex="col",
                             squeeze=False)
    for row, model in zip(axes, models, strict=True):
        for ax, kind in zip(row, NODES, strict=True):
            mine = frame[(frame["model"] == model) & (frame["nodes"] == kind) & (frame["relative degree"] > 0)]
            before = mine[mine["moment"] == START]
            ax.plot(before["relative degree"], before["share"], color=GREY, linewidth=2.6, label="before training")
            after = mine[mine["moment"] == END]
            for rule in _rules(after):
                curve, how = after[after["strategy"] == rule], style.style_of(rule)
                marks = _spaced(curve["relative degree"].to_numpy(float))
                ax.plot(curve["relative degree"], curve["share"], **how.line, markersize=3.5, linewidth=1.2,
                        markevery=marks, label=f"{how.label} (N={curve['seeds'].iloc[0]})")
            ax.set(xscale="log", yscale="log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=9))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
        row[0].set_ylabel(f"{MODEL_NAMES[model]}\nshare as large or larger")
    _titles(axes[0])
    for ax in axes[-1]:
        ax.set_xlabel("degree / mean of its layer")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return fig, frame


def _titles(row: np.ndarray) -> None:
    for ax, letter, kind in zip(row, "abc", NODES, strict=True):
        axis: Axes = ax
        axis.set_title(f"({letter}) {TITLES[kind]}", fontsize=9)


def _rules(frame: pd.DataFrame) -> list[str]:
    return [rule for rule in STRATEGIES if rule in set(frame["strategy"])]


def _spaced(x: np.ndarray, number: int = 7) -> list[int]:
    """Indices of points that lie about evenly on a logarithmic axis."""
    wanted = np.linspace(np.log(x[0]), np.log(x[-1]), number)
    return sorted({int(np.abs(np.log(x) - at).argmin()) for at in wanted})
