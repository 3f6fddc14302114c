"""One prune-and-regrow step drawn (Section 4.3): cell by cell on a small matrix, and as degrees on a real layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from regrow import schedule
from regrow.config import RunConfig
from regrow.rules import LayerState
from regrow.topology import Rewiring, rewired_weight
from regrow_companion.style import style_of

BEFORE = "#767676"  # no strategy is grey


@dataclass(frozen=True)
class Look:
    """How a cell of the matrix looks; the symbol says the same as the colour."""

    colour: str
    symbol: str
    label: str
    hatch: str = ""


# Tints of the palette of Okabe and Ito, of different lightness.
LOOKS = {
    "kept": Look("#C9E4F5", "", "connection"),
    "empty": Look("#FFFFFF", "", "no connection"),
    "pruned": Look("#F6C67B", "×", "× pruned", "////"),
    "grown": Look("#4DBB98", "+", "+ grown"),
    "regrown": Look("#DDA0C4", "↻", "↻ pruned and grown again"),
}


def update_picture(layer: LayerState, rewiring: Rewiring,
                   regrown_weight: str = "zero") -> tuple[Figure, pd.DataFrame]:
    """The weight matrix before an update, with the connections that go marked, and after it; numbers are weights.

    The frame has one row for each panel and cell: its state, a key of LOOKS, and its weight (nan without connection).
    """
    after = rewired_weight(layer.weight, rewiring, regrown_weight)
    count = int(layer.mask.sum())
    panels = [
        ("1. before", layer.weight, _states(layer.mask), count),
        ("2. prune", layer.weight, _states(layer.mask, pruned=rewiring.pruned), count - int(rewiring.pruned.sum())),
        ("3. grow", after, _states(rewiring.mask, grown=rewiring.grown, regrown=rewiring.grown & rewiring.pruned),
         int(rewiring.mask.sum())),
    ]
    fig, axes = plt.subplots(1, 3, figsize=(7, _height(layer.mask)), sharey=True)
    rows: list[dict[str, Any]] = []
    for ax, (title, weight, states, n) in zip(axes, panels, strict=True):
        shown = np.where(states == "empty", np.nan, weight.numpy())
        _draw_cells(ax, shown, states)
        ax.set(title=f"{title}: {n} connections", xlabel="from neuron")
        rows += _cell_rows(title[3:], shown, states, "weight")
    axes[0].set_ylabel("to neuron")
    _legend(fig, {row["state"] for row in rows})
    plt.close(fig)
    return fig, pd.DataFrame(rows)


def growth_picture(scores: Mapping[str, Tensor], rewirings: Mapping[str, Rewiring]) -> tuple[Figure, pd.DataFrame]:
    """What each growth rule sees at the positions that it may choose from, and which ones it chooses.

    `scores` are its numbers at every position, `rewirings` its updates, both by name of the rule; connections that
    were kept are no candidates and show no number. The frame has one row for each rule and cell.
    """
    height = _height(next(iter(scores.values())))
    fig, axes = plt.subplots(1, len(scores), figsize=(7, height), sharey=True, squeeze=False)
    rows: list[dict[str, Any]] = []
    for ax, (name, score) in zip(axes[0], scores.items(), strict=True):
        rewiring = rewirings[name]
        states = _states(rewiring.mask, grown=rewiring.grown, regrown=rewiring.grown & rewiring.pruned)
        shown = np.where(states == "kept", np.nan, score.numpy())
        _draw_cells(ax, shown, states)
        ax.set(title=f"{style_of(name).label}: score", xlabel="from neuron")
        rows += _cell_rows(name, shown, states, "score")
    axes[0, 0].set_ylabel("to neuron")
    _legend(fig, {row["state"] for row in rows})
    plt.close(fig)
    return fig, pd.DataFrame(rows)


def prune_rate_figure(configs: Sequence[RunConfig], total_steps: int) -> tuple[Figure, pd.DataFrame]:
    """The fraction pruned at every topology update of runs that differ in their schedule (Eq. 5), a dot per update."""
    fig, ax = plt.subplots(figsize=(5.5, 2.6))
    rows = []
    looks = (("#000000", "-", "o"), ("#CC79A7", "--", "D"), ("#E69F00", ":", "P"))  # no strategy has these colours
    for config, (colour, line, marker) in zip(configs, looks, strict=False):
        steps = schedule.update_steps(config, total_steps)
        rates = [schedule.prune_rate(config, step, total_steps) for step in steps]
        ax.plot(steps, rates, color=colour, linestyle=line, marker=marker, markersize=3,
                label=f"{config.prune_schedule}, {len(steps)} updates")
        rows += [{"schedule": config.prune_schedule, "step": step, "prune rate": rate}
                 for step, rate in zip(steps, rates, strict=True)]
    ax.set(xlabel="optimizer step t", ylabel="fraction pruned p(t)", ylim=(-0.02, None))
    fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    plt.close(fig)
    return fig, pd.DataFrame(rows)


def ranked_degrees(before: ArrayLike, after: Mapping[str, ArrayLike]) -> tuple[Figure, pd.DataFrame]:
    """In-degrees of one layer's neurons, largest first, before and after; one line per method.

    `before` is [n], as is each value of `after`. The axis is linear below 1, so that 0 has a place. The frame has one
    row for each line and neuron.
    """
    fig, ax = plt.subplots(figsize=(6.5, 3))
    lines: dict[str, NDArray[Any]] = {"before": _descending(before)}
    rank = np.arange(1, len(lines["before"]) + 1)
    ax.plot(rank, lines["before"], color=BEFORE, linestyle=(0, (4, 2)), linewidth=2, label="before", zorder=3)
    for method, degrees in after.items():
        lines[method], style = _descending(degrees), style_of(method)
        ax.plot(rank, lines[method], label=style.label, markevery=max(1, len(rank) // 12), **style.line)
    ax.set_yscale("symlog", linthresh=1, linscale=0.4)
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:,.0f}"))
    ax.set_xlim(0, len(rank) + 1)
    ax.set(xlabel=f"neurons of the layer, most connected first (N={len(rank)})", ylabel="incoming connections",
           ylim=(0, 2 * max(line.max() for line in lines.values())))
    ax.legend(loc="upper right", ncols=2)
    plt.close(fig)
    return fig, pd.DataFrame([{"line": name, "rank": int(r), "in-degree": int(k)}
                              for name, line in lines.items() for r, k in zip(rank, line, strict=True)])


def _descending(degrees: ArrayLike) -> NDArray[Any]:
    return np.sort(np.asarray(degrees))[::-1]


def _height(matrix: Tensor) -> float:
    """Height in inches of a figure with three square-celled panels of this shape side by side, and a legend."""
    n_rows, n_columns = matrix.shape
    return 2.15 * n_rows / n_columns + 1.15


def _states(mask: Tensor, **marked: Tensor) -> NDArray[Any]:
    """State of each cell; later marks lie over earlier ones."""
    states = np.where(mask.numpy(), "kept", "empty").astype(object)
    for state, where in marked.items():
        states[where.numpy()] = state
    return states


def _draw_cells(ax: Axes, values: NDArray[Any], states: NDArray[Any]) -> None:
    """A matrix as a table of coloured cells, row 1 at the top; nan is left blank."""
    n_rows, n_columns = values.shape
    for (i, j), value in np.ndenumerate(values):
        look = LOOKS[str(states[i, j])]
        ax.add_patch(Rectangle((j + 0.5, i + 0.5), 1, 1, facecolor=look.colour, edgecolor="#4D4D4D", linewidth=0.8,
                               clip_on=False))
        if look.hatch:
            ax.add_patch(Rectangle((j + 0.5, i + 0.5), 1, 1, fill=False, hatch=look.hatch, edgecolor="#FFFFFF",
                                   linewidth=0, alpha=0.6))
        number = "" if np.isnan(value) else f"{round(value, 1) + 0.0:.1f}".replace("-", "−")
        ax.text(j + 1, i + (1.14 if look.symbol else 1.0), number, ha="center", va="center", fontsize=8)
        if look.symbol:
            ax.text(j + 1, i + 0.74, look.symbol, ha="center", va="center", fontsize=8, fontweight="bold")
    ax.set(xlim=(0.5, n_columns + 0.5), ylim=(n_rows + 0.5, 0.5), aspect="equal",
           xticks=range(1, n_columns + 1), yticks=range(1, n_rows + 1))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _cell_rows(panel: str, values: NDArray[Any], states: NDArray[Any], what: str) -> list[dict[str, Any]]:
    return [{"panel": panel, "to": i + 1, "from": j + 1, "state": states[i, j], what: float(value)}
            for (i, j), value in np.ndenumerate(values)]


def _legend(fig: Figure, states: set[str]) -> None:
    handles = [Patch(facecolor=look.colour, edgecolor="#4D4D4D", label=look.label)
               for state, look in LOOKS.items() if state in states]
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))
