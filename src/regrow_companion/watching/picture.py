"""The paper's pictures of a watched network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from regrow.errors import DataError
from regrow.metrics import Thresholds, input_heat_map
from regrow_companion import style
from regrow_companion.plots.nb09_degrees import bin_centres, binned, degree_axis, log_bins


class Seen(Protocol):
    """What is drawn of an observation."""

    @property
    def is_chain(self) -> bool: ...
    @property
    def tail_start(self) -> int: ...
    @property
    def steps(self) -> NDArray[np.int64]: ...
    @property
    def out_degree(self) -> Mapping[str, NDArray[np.int32]]: ...
    def pooled(self) -> NDArray[np.int32]: ...
    def table(self) -> pd.DataFrame: ...
    def thresholds(self) -> Thresholds: ...
    def shells(self, *, first: bool = False) -> list[NDArray[np.int32]]: ...


FIRST, LAST = "#8a8a8a", "#0072B2"


def figure(watch: Seen, image_shape: tuple[int, int, int] | None = None) -> Figure:
    """Degree distributions (Fig. 5), spread, tail exponent and distance (Figs. 6, 7), dormant units (Fig. 9), and
    for chains of fully connected layers k-shells (Fig. 12); with `image_shape` the input heat map (Fig. 8)."""
    with plt.rc_context():
        style.use_style()
        if len(watch.steps) == 1:
            plt.rcParams["lines.marker"] = "o"  # there is no line through one look
        drawn = [_distribution, _spread, _tail, _dormant]
        panels = len(drawn) + watch.is_chain + (image_shape is not None)
        columns = 3 if panels > 4 else 2
        fig, grid = plt.subplots(2, columns, figsize=(3 * columns, 5.4), squeeze=False)
        axes = list(grid.ravel())
        table = watch.table()
        for draw, ax in zip(drawn, axes, strict=False):
            draw(ax, watch, table[table["layer"] == "all"])
        rest = axes[len(drawn):]
        if watch.is_chain:
            _shells(rest.pop(0), watch)
        if image_shape is not None:
            _input(fig, rest.pop(0), watch, image_shape)
        for ax in rest:
            ax.remove()
        units, kind = watch.pooled().shape[1], "hidden neurons" if watch.is_chain else "output units of all layers"
        limits = watch.thresholds()
        fig.supxlabel(f"{units} {kind}; thresholds {limits.low} and {limits.high} (the paper's 10 and 110, scaled with "
                      f"the mean degree {limits.mean_degree:.3g})", fontsize=7.5)
        plt.close(fig)
    return fig


def _distribution(ax: Axes, watch: Seen, table: pd.DataFrame) -> None:
    degrees, looks = watch.pooled(), sorted({0, len(watch.steps) // 2, len(watch.steps) - 1})
    edges = log_bins(max(1, int(degrees.max())))
    for colour, look in zip(plt.colormaps["viridis_r"](np.linspace(0.15, 0.95, len(looks))), looks, strict=True):
        density = binned(degrees[look], edges)
        there = density > 0
        ax.plot(bin_centres(edges)[there], density[there], "o-", markersize=3, color=colour,
                label=f"step {watch.steps[look]}")
    degree_axis(ax, max(1.0, float(degrees.max())))
    ax.set(yscale="log", xlabel="degree $k$", ylabel="$P(k)$", title="degree distribution")
    ax.legend()


def _spread(ax: Axes, watch: Seen, table: pd.DataFrame) -> None:
    ax.plot(table["step"], table["largest"], label="largest")
    ax.plot(table["step"], table["std"], linestyle="--", label="standard deviation")
    ax.plot(table["step"], table["mean"], color=FIRST, label="mean")
    ax.set(xlabel="step", ylabel="degree", title="spread of the degrees")
    if not table["largest"].any():  # nothing that a logarithmic axis could show
        return
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(top=6 * ax.get_ylim()[1])  # room for the legend
    ax.legend(loc="upper right", ncols=2, fontsize=7, columnspacing=1)


def _tail(ax: Axes, watch: Seen, table: pd.DataFrame) -> None:
    ax.plot(table["step"], table["alpha"], color=LAST, label=r"$\alpha$ (left)")
    ax.set(xlabel="step", ylabel=r"exponent $\alpha$", title=f"power-law tail, $k$ ≥ {watch.tail_start}")
    ax.margins(y=0.25)
    other = ax.twinx()
    other.plot(table["step"], table["D"], color="#D55E00", linestyle="--", label="$D$ (right)")
    other.set(ylabel="distance $D$", ylim=(0, 1.5 * max(0.01, np.nanmax([0.0, *table["D"]]))))
    other.spines["right"].set_visible(True)
    if not np.isfinite(table["alpha"]).any():
        ax.text(0.5, 0.5, "too few units\nin the tail to fit", transform=ax.transAxes, ha="center", va="center")
    handles = [*ax.get_lines(), *other.get_lines()]
    ax.legend(handles, [str(handle.get_label()) for handle in handles])


def _dormant(ax: Axes, watch: Seen, table: pd.DataFrame) -> None:
    limits = watch.thresholds()
    for name, threshold, line in (("dormant low", limits.low, "-"), ("dormant high", limits.high, "--")):
        ax.plot(table["step"], 100 * table[name] / table["units"], linestyle=line, label=f"$k$ ≤ {threshold}")
    ax.set(xlabel="step", ylabel="dormant units (%)", ylim=(0, 100), title="dormant units")
    ax.legend()


def _shells(ax: Axes, watch: Seen) -> None:
    for first, colour, name in ((True, FIRST, "first look"), (False, LAST, "last look")):
        shells = np.concatenate(watch.shells(first=first)[:-1])  # the output layer is dense in most networks
        k = np.arange(shells.max() + 1)
        share = [np.mean(shells >= i) for i in k]
        ax.step(k, share, where="post", color=colour, label=name, marker="o" if len(k) == 1 else "")
    ax.set(xlabel="shell $k$", ylabel="share in shell $k$ or higher", ylim=(0, 1.02), title="k-shells")
    ax.legend()


def _input(fig: Figure, ax: Axes, watch: Seen, image_shape: tuple[int, int, int]) -> None:
    inputs = next(iter(watch.out_degree.values()))[-1]
    try:
        heat = input_heat_map(inputs, image_shape)
    except (TypeError, ValueError) as error:
        raise DataError(f"No heat map for image_shape={image_shape}: {error}") from None
    fig.colorbar(style.heat_map(ax, heat), ax=ax, label="connections")
    ax.set_title("connections per pixel, last look")
