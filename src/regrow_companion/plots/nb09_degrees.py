"""How the degree distribution evolves while a network trains (Fig. 5), and how wide it is."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray

from regrow.record import Record
from regrow_companion import study
from regrow_companion.style import seed_band, style_of

Floats = NDArray[np.float64]
PAPER_EPOCHS = (2, 75, 150, 225, 300)  # the rows of Fig. 5
THEORY, OTHER_THEORY, DATA = "#000000", "#CC79A7", "#BBBBBB"  # no strategy has these


# ------------------------------------------------------------------------------------------- during training, Fig. 5

def log_bins(largest: int, per_decade: int = 12) -> NDArray[np.int64]:
    """Edges of half-open bins of whole numbers: {0}, {1}, {2}, ... while bins are narrow, then evenly in the logarithm.

    The edges are the same for all data; only how many there are depends on `largest`, which the last one exceeds.
    """
    steps = np.arange(np.ceil(per_decade * np.log10(largest + 1)) + 1)
    return np.unique([0, *(10 ** (steps / per_decade)).round().astype(np.int64)])


def binned(degrees: ArrayLike, edges: NDArray[np.int64]) -> Floats:
    """P(k) in each bin: the fraction of neurons in it divided by the number of degrees it covers."""
    values = np.asarray(degrees)
    return np.histogram(values, edges)[0] / values.size / np.diff(edges)


def bin_centres(edges: NDArray[np.int64]) -> Floats:
    """Geometric mean of the smallest and the largest degree of each bin; 0 for the bin {0}."""
    return np.sqrt(edges[:-1] * (edges[1:] - 1.0))


def figure5(records: Sequence[Record]) -> tuple[Figure, pd.DataFrame]:
    """Degree distributions of the hidden neurons at five moments (rows), one line per strategy, averaged over seeds.

    Both axes are logarithmic and the bins widen with the degree. Solid lines: mean over seeds, band +- one standard
    deviation, both interrupted where no seed has a neuron; dashed vertical lines: mean largest degree, where the
    distribution ends, with the same band; grey: before training. A row is the wiring at its moment; where it dates from
    an earlier update, the title says so. All records must be runs of one network and length.
    """
    groups = study.by_method(records)
    edges = log_bins(max(int(record.hidden_degrees().max()) for record in records))
    before = np.mean([binned(record.hidden_degrees(0), edges) for record in records], axis=0)
    moments = records[0].moments[1:]
    fig, axes = plt.subplots(len(moments), 1, figsize=(7, 8.8), sharex=True, sharey=True)
    rows, centres = [], bin_centres(edges)
    for row, (ax, moment, paper) in enumerate(zip(axes, moments, PAPER_EPOCHS, strict=True), start=1):
        alone: dict[str, float] = {}
        ax.stairs(before, edges, fill=True, color=DATA, alpha=0.6, label="before training")
        for method, group in groups.items():
            at = [record.hidden_degrees(record.update_at(row)) for record in group]
            ends = np.array([degrees.max() for degrees in at])
            lines = np.array([binned(degrees, edges) for degrees in at])
            mean, sd = _distribution(ax, centres, lines, method)
            alone[style_of(method).label] = mean[0]
            end, end_sd = _end(ax, ends, method)
            common = {"row": row, "epoch": moment.epoch, "paper epoch": paper, "strategy": method, "seeds": len(group)}
            rows += [common | {"what": "P(k)", "degree": k, "value": m, "sd": s}
                     for k, m, s in zip(centres, mean, sd, strict=True)]
            rows.append(common | {"what": "largest degree", "degree": end, "value": np.nan, "sd": end_sd})
        ax.text(0.005, 0.04, "degree 0: " + ", ".join(f"{s} {100 * share:.0f} %" for s, share in alone.items()),
                transform=ax.transAxes, fontsize=7.5)
        now, since = f"{moment.epoch:.3g}", f"{records[0].epochs_at[records[0].update_at(row)]:.3g}"
        note = "" if since == now else f"; wiring of the last update, at epoch {since}"
        ax.set_title(f"epoch {now} of {records[0].config.epochs} (paper: {paper} of 300){note}", fontsize=9, loc="left")
    _explain_floor(axes[-1], records[0])
    degree_axis(axes[0], edges[-1])
    axes[0].set(yscale="log", xlim=(-0.15, edges[-1] * 1.15))
    frame = pd.DataFrame(rows)
    shown = frame["value"][frame["value"] > 0]
    axes[0].set_ylim(shown.min() / 2, shown.max() * 3)
    axes[-1].set_xlabel("total degree k of a hidden neuron (0, then logarithmic)")
    fig.supylabel("P(k): fraction of hidden neurons per unit of degree", fontsize=9)
    axes[0].plot([], [], color="#333333", linestyle="--", linewidth=1.2, label="largest degree (mean)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    plt.close(fig)
    return fig, frame


def _distribution(ax: Axes, k: Floats, lines: Floats, method: str) -> tuple[Floats, Floats]:
    """Mean of [seeds, bins] as a line with a band, and a gap at empty bins; returns mean and standard deviation."""
    style, mean = style_of(method), lines.mean(axis=0)
    sd = lines.std(axis=0, ddof=1) if len(lines) > 1 else np.zeros_like(mean)
    shown = np.where(mean > 0, mean, np.nan)  # a logarithmic axis has no place for zero
    ax.fill_between(k, np.maximum(shown - sd, shown / 10), shown + sd, color=style.colour, alpha=0.2, linewidth=0)
    ax.plot(k, shown, color=style.colour, marker=style.marker, markersize=3, linewidth=1.2,
            label=f"{style.label} (N={len(lines)} seeds)")
    return mean, sd


def _explain_floor(ax: Axes, record: Record) -> None:
    """Name the peak at the lowest degree that neurons below a dense last layer can have: their outputs."""
    last = record.layers[-1]
    outputs, _ = record.shapes[last]
    if record.connections[last] == prod(record.shapes[last]):
        ax.text(outputs * 1.25, 0.9, f"at {outputs}: hidden {len(record.layers) - 1} without inputs",
                transform=ax.get_xaxis_transform(), va="top", fontsize=7.5)


def _end(ax: Axes, ends: NDArray[Any], method: str) -> tuple[float, float]:
    """Dashed line at the mean of [seeds] largest degrees, with a band; returns mean and standard deviation."""
    style, mean = style_of(method), float(ends.mean())
    sd = float(ends.std(ddof=1)) if len(ends) > 1 else 0.0
    ax.axvspan(mean - sd, mean + sd, color=style.colour, alpha=0.12, linewidth=0)
    ax.axvline(mean, color=style.colour, linestyle="--", linewidth=1.2)
    return mean, sd


def degree_axis(ax: Axes, largest: float) -> None:
    """Degree axis: linear up to 1, so that 0 has a place, logarithmic from there on."""
    ax.set_xscale("symlog", linthresh=1, linscale=0.5)
    ax.set_xticks([0, *(10**i for i in range(int(np.log10(largest)) + 1))])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:,.0f}"))


# --------------------------------------------------------------------------------------- spread over updates, Sec. 5.3

def degree_spread(records: Sequence[Record]) -> pd.DataFrame:
    """Spread of the hidden degrees after every update: one row per strategy, seed and update.

    `std` is over all hidden neurons. The mean degree of a layer never changes, so the part of the variance that is
    due to layers having different means is constant; `std within` leaves it out. `largest` is the largest degree.
    """
    frames = []
    for method, group in study.by_method(records).items():
        for record in group:
            layers = record.hidden_layer_degrees()
            everyone = np.concatenate(layers, axis=-1)
            within = np.concatenate([layer - layer.mean(axis=-1, keepdims=True) for layer in layers], axis=-1)
            frames.append(pd.DataFrame({
                "strategy": method, "seed": record.config.seed, "update": np.arange(len(record.steps)),
                "epoch": record.epochs_at, "std": everyone.std(axis=-1),
                "std within": np.sqrt((within**2).mean(axis=-1)), "largest": everyone.max(axis=-1)}))
    return pd.concat(frames, ignore_index=True)


def spread_figure(spread: pd.DataFrame) -> Figure:
    """`degree_spread` over updates, which are on a logarithmic axis since most happens at the first ones."""
    fig, axes = plt.subplots(1, 2, figsize=(7, 3))
    panels = {"std within": "standard deviation within layers", "largest": "largest degree"}
    for ax, (column, title) in zip(axes, panels.items(), strict=True):
        for method in spread["strategy"].unique():
            table = spread[spread["strategy"] == method].pivot(index="seed", columns="update", values=column)
            seed_band(ax, table.columns, table.to_numpy(), method)
        degree_axis(ax, spread["update"].max())
        ax.set(xlabel="topology updates so far (0, then logarithmic)", ylabel=title, ylim=(0, None))
    axes[0].legend()
    plt.close(fig)
    return fig


def widening(spread: pd.DataFrame, updates: Sequence[int] = (0, 1, 2, 5, 10)) -> pd.DataFrame:
    """Spread within layers in units of its start, mean over seeds: after given updates, at its peak and at the end.

    `doubled at update` is the first update after which the spread is twice that of the start, nan if there is none.
    """
    rows = {}
    for method, part in spread.groupby("strategy", sort=False):
        mean = part.groupby("update")["std within"].mean()
        ratio = mean / mean.iloc[0]
        doubled = ratio.index[ratio >= 2]
        rows[method] = ({f"after {u}": ratio[u] for u in updates if u in ratio.index}
                        | {"peak": ratio.max(), "peak at update": ratio.idxmax(), "end": ratio.iloc[-1],
                           "doubled at update": doubled[0] if len(doubled) else np.nan})
    return pd.DataFrame(rows).T.astype(float).rename_axis("strategy")
