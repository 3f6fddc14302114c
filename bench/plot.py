"""Time per step against connections: the picture in docs/speed.md, and one of the convolutional networks."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.engines import break_even, line
from bench.table import RESULTS
from regrow.errors import RegrowError
from regrow_companion.style import style_of, use_style

COLOURS = {"sparse": style_of("gradient").colour, "dense": style_of("dense").colour,
           "dense, oneDNN": style_of("dense").colour,
           "torch CSR": style_of("random").colour, "scipy": style_of("momentum").colour}
MARKERS = {"sparse": "o", "dense": "s", "dense, oneDNN": "P", "torch CSR": "^", "scipy": "D"}
LABELS = {"sparse": "sparse engine", "dense": "masked-dense PyTorch",
          "dense, oneDNN": "masked-dense, products by oneDNN", "torch CSR": "PyTorch CSR", "scipy": "scipy.sparse"}


def plot(folder: Path = RESULTS) -> Path:
    """Draw folder/engines.csv into folder/engines.svg and .png, and conv.csv likewise if it is there; return the first
    one's path.

    Raises RegrowError, with the command that helps, if there is nothing to draw.
    """
    source = folder / "engines.csv"
    if not source.is_file():
        raise RegrowError(f"There is no {source}: run `python -m bench engines --save` first.")
    use_style()
    for name, drawn in (("engines", figure), ("conv", networks)):
        source = folder / f"{name}.csv"
        if source.is_file():
            fig = drawn(pd.read_csv(source), json.loads(source.with_suffix(".json").read_text())["hardware"])
            with mpl.rc_context({"svg.hashsalt": "regrow"}):
                fig.savefig(folder / f"{name}.svg", metadata={"Date": None})
            fig.savefig(folder / f"{name}.png", dpi=150)
    return folder / "engines.svg"


def figure(table: pd.DataFrame, hardware: str) -> Figure:
    """Milliseconds per step against connections, both logarithmic, with quartiles, the fit and the break-even."""
    fig = Figure(figsize=(7.0, 4.3), layout="constrained")
    ax = fig.add_subplot()
    for name, part in table.groupby("engine", sort=False):
        part = part.sort_values("connections")
        spread = [part["ms"] - part["ms_q1"], part["ms_q3"] - part["ms"]]
        ax.errorbar(part["connections"], part["ms"], yerr=spread, color=COLOURS[str(name)], marker=MARKERS[str(name)],
                    capsize=2, linestyle="none" if len(part) < 3 or name == "sparse" else "-", label=LABELS[str(name)])
    ours = table[table["engine"] == "sparse"].sort_values("connections")
    slope, intercept, worst = line(ours["connections"], ours["ms"])
    x = np.geomspace(ours["connections"].min(), ours["connections"].max(), 200)
    ax.plot(x, slope * x + intercept, color=COLOURS["sparse"],
            label=f"{intercept:.1f} ms + {1e6 * slope:.1f} ns per connection: all within {100 * worst:.0f} %")
    even = break_even(ours["density"].tolist(), ours["times_dense"].tolist())
    if even is not None:
        weights = float((ours["connections"] / ours["density"]).median())
        ax.axvline(even * weights, color="#595959", linestyle=":", linewidth=1)
        ax.text(even * weights, 0.97, f"break-even at density {even:.2f} ", transform=ax.get_xaxis_transform(),
                ha="right", va="top", color="#595959", size=8)
    ax.set(xscale="log", yscale="log", xlabel="connections", ylabel="ms per training step",
           title=f"A training step of the 3072-1024-512-10 MLP, batch 128, one thread\n{hardware}")
    ax.set_ylim(top=1.6 * table["ms_q3"].max())  # room for the label above the dense line
    _logarithmic(ax)
    fig.legend(loc="outside lower center", ncols=2)
    return fig


def networks(table: pd.DataFrame, hardware: str) -> Figure:
    """The same for each convolutional network, with quartiles."""
    steps = table[table["what"] == "step"]
    names = list(dict.fromkeys(steps["network"]))
    fig = Figure(figsize=(3.6 * len(names), 3.6), layout="constrained")
    for ax, name in zip(fig.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for engine, part in steps[steps["network"] == name].groupby("engine", sort=False):
            part = part.sort_values("connections")
            spread = [part["ms"] - part["ms_q1"], part["ms_q3"] - part["ms"]]
            ax.errorbar(part["connections"], part["ms"], yerr=spread, color=COLOURS[str(engine)],
                        marker=MARKERS[str(engine)], capsize=2, label=LABELS[str(engine)])
        ax.set(xscale="log", yscale="log", xlabel="connections", title=name)
        _logarithmic(ax)
    fig.axes[0].set_ylabel("ms per training step")
    fig.axes[0].legend(loc="best", frameon=True, framealpha=1, edgecolor="none")
    fig.suptitle(f"Training steps, batch 128, one thread, {hardware}", size="medium")
    return fig


def _logarithmic(ax: Axes) -> None:
    """Plain numbers and a grid on two logarithmic axes."""
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    ax.grid(which="major", color="#dddddd", linewidth=0.6)
