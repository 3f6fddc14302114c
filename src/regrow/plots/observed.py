"""The paper's pictures of a network that somebody watched with `regrow.observe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from regrow import figures, style
from regrow.errors import DataError
from regrow.metrics import input_heat_map
from regrow.plots.degrees import bin_centres, binned, degree_axis, log_bins

if TYPE_CHECKING:
    from regrow.observation import Observation

FIRST, LAST = "#8a8a8a", "#0072B2"


def figure(watch: Observation, image_shape: tuple[int, int, int] | None = None) -> Figure:
    """Degree distributions (Fig. 5), spread, tail exponent and distance (Figs. 6, 7), dormant units (Fig. 9), and
    for chains of fully connected layers k-shells (Fig. 12); with `image_shape` the input heat map (Fig. 8)."""
    with plt.rc_context():
        style.use_style()
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


def save(watch: Observation, folder: Path, stem: str, image_shape: tuple[int, int, int] | None) -> Path:
    """Write figure and table as `save_figure` writes ours."""
    table = watch.table()
    last = table[table["layer"] == "all"].iloc[-1]
    alt = (f"Degrees of a network over {len(watch.steps)} looks. At the last one the {last['units']} units have a mean "
           f"degree of {last['mean']:.1f}, a standard deviation of {last['std']:.1f} and a largest degree of "
           f"{last['largest']}; {last['dormant low']} have {watch.thresholds().low} connections or fewer.")
    return figures.save_figure(figure(watch, image_shape), stem, data=table, alt=alt, out=folder,
                               profile="own network", caption="Wiring of a watched network")


def _distribution(ax: Axes, watch: Observation, table: pd.DataFrame) -> None:
    degrees, looks = watch.pooled(), sorted({0, len(watch.steps) // 2, len(watch.steps) - 1})
    edges = log_bins(int(degrees.max()))
    for colour, look in zip(plt.colormaps["viridis_r"](np.linspace(0.15, 0.95, len(looks))), looks, strict=True):
        density = binned(degrees[look], edges)
        there = density > 0
        ax.plot(bin_centres(edges)[there], density[there], "o-", markersize=3, color=colour,
                label=f"step {watch.steps[look]}")
    degree_axis(ax, float(degrees.max()))
    ax.set(yscale="log", xlabel="degree $k$", ylabel="$P(k)$", title="degree distribution")
    ax.legend()


def _spread(ax: Axes, watch: Observation, table: pd.DataFrame) -> None:
    ax.plot(table["step"], table["largest"], label="largest")
    ax.plot(table["step"], table["std"], linestyle="--", label="standard deviation")
    ax.plot(table["step"], table["mean"], color=FIRST, label="mean")
    ax.set(yscale="log", xlabel="step", ylabel="degree", title="spread of the degrees")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(top=6 * ax.get_ylim()[1])  # room for the legend
    ax.legend(loc="upper right", ncols=2)


def _tail(ax: Axes, watch: Observation, table: pd.DataFrame) -> None:
    ax.plot(table["step"], table["alpha"], color=LAST, label=r"$\alpha$ (left)")
    ax.set(xlabel="step", ylabel=r"exponent $\alpha$", title=f"power-law tail, $k$ ≥ {watch.thresholds().high}")
    ax.margins(y=0.25)
    other = ax.twinx()
    other.plot(table["step"], table["D"], color="#D55E00", linestyle="--", label="$D$ (right)")
    other.set(ylabel="distance $D$", ylim=(0, 1.5 * max(0.01, np.nanmax([0.0, *table["D"]]))))
    other.spines["right"].set_visible(True)
    if not np.isfinite(table["alpha"]).any():
        ax.text(0.5, 0.5, "too few units\nin the tail to fit", transform=ax.transAxes, ha="center", va="center")
    handles = [*ax.get_lines(), *other.get_lines()]
    ax.legend(handles, [str(handle.get_label()) for handle in handles])


def _dormant(ax: Axes, watch: Observation, table: pd.DataFrame) -> None:
    limits = watch.thresholds()
    for name, threshold, line in (("dormant low", limits.low, "-"), ("dormant high", limits.high, "--")):
        ax.plot(table["step"], 100 * table[name] / table["units"], linestyle=line, label=f"$k$ ≤ {threshold}")
    ax.set(xlabel="step", ylabel="dormant units (%)", ylim=(0, 100), title="dormant units")
    ax.legend()


def _shells(ax: Axes, watch: Observation) -> None:
    for first, colour, name in ((True, FIRST, "first look"), (False, LAST, "last look")):
        shells = np.concatenate(watch.shells(first=first)[:-1])  # the output layer is dense in most networks
        k = np.arange(shells.max() + 1)
        ax.step(k, [np.mean(shells >= i) for i in k], where="post", color=colour, label=name)
    ax.set(xlabel="shell $k$", ylabel="share in shell $k$ or higher", ylim=(0, 1.02), title="k-shells")
    ax.legend()


def _input(fig: Figure, ax: Axes, watch: Observation, image_shape: tuple[int, int, int]) -> None:
    inputs = next(iter(watch.out_degree.values()))[-1]
    try:
        heat = input_heat_map(inputs, image_shape)
    except ValueError as error:
        raise DataError(f"No heat map for image_shape={image_shape}: {error}") from None
    image = ax.imshow(heat)
    ax.set(xticks=[], yticks=[], title="connections per pixel, last look")
    fig.colorbar(image, ax=ax, label="connections")
