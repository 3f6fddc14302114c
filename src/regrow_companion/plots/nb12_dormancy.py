"""Figure 9: hidden neurons whose degree has fallen to a threshold or below (Section 5.4 (B))."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from regrow import metrics
from regrow.errors import RegrowError
from regrow.record import Record
from regrow_companion import style


def dormant_neurons(records: Sequence[Record]) -> pd.DataFrame:
    """Dormant hidden neurons of every record at both thresholds and at every recorded topology update.

    Columns: strategy, seed, step, epoch, threshold, dormant (a count), hidden (how many there are). Raises
    RegrowError for networks of different sizes, whose counts cannot share an axis.
    """
    if len({tuple(record.shapes.values()) for record in records}) != 1:
        raise RegrowError("Figure 9 counts neurons of one network size; give it the records of one architecture.")
    limits = records[0].thresholds
    parts = []
    for record in records:
        degrees = record.hidden_degrees()
        for threshold in (limits.low, limits.high):
            parts.append(pd.DataFrame({
                "strategy": record.config.method, "seed": record.config.seed, "step": record.steps,
                "epoch": record.epochs_at, "threshold": threshold,
                "dormant": metrics.dormant_counts(degrees, threshold), "hidden": degrees.shape[-1]}))
    return pd.concat(parts, ignore_index=True)


def figure9(records: Sequence[Record]) -> tuple[Figure, pd.DataFrame]:
    """Dormant hidden neurons over training: (a) low and (b) high threshold, a line per strategy, a band of one
    standard deviation over seeds. The frame is `dormant_neurons(records)`."""
    frame = dormant_neurons(records)
    limits, hidden = records[0].thresholds, frame["hidden"].iloc[0]
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.5))
    for ax, letter, threshold in zip(axes, "ab", (limits.low, limits.high), strict=True):
        at = frame[frame["threshold"] == threshold]
        for strategy, group in at.groupby("strategy", sort=False):
            curves = group.pivot(index="epoch", columns="seed", values="dormant")
            style.seed_band(ax, curves.index, curves.to_numpy().T, str(strategy))
        ax.set(title=f"({letter}) degree $k$ ≤ {threshold}", xlabel="epoch", xlim=(0, frame["epoch"].max()))
        ax.set_ylim(bottom=0)
    axes[0].set_ylabel(f"dormant neurons (of {hidden} hidden)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    fig.supxlabel(textwrap.fill(limits.sentence[0].upper() + limits.sentence[1:] + ".", 105), fontsize=7.5)
    return fig, frame


def levels_off(epochs: ArrayLike, counts: ArrayLike, tolerance: float) -> float:
    """The first epoch from which a curve [T] stays within `tolerance` of its last value."""
    epochs, counts = np.asarray(epochs, dtype=float), np.asarray(counts, dtype=float)
    outside = np.flatnonzero(np.abs(counts - counts[-1]) > tolerance)
    return float(epochs[outside[-1] + 1]) if outside.size else float(epochs[0])


def summary(frame: pd.DataFrame, tolerance: float = 0.02) -> pd.DataFrame:
    """Per threshold and strategy: dormant share at the end (mean and standard deviation over seeds, percent), and the
    epoch from which the mean curve stays within `tolerance` times the hidden neurons of its last value."""
    rows = []
    for (threshold, strategy), group in frame.groupby(["threshold", "strategy"], sort=False):
        share = group.assign(share=100 * group["dormant"] / group["hidden"]).pivot(
            index="epoch", columns="seed", values="share")
        last = share.iloc[-1]
        rows.append({"threshold": threshold, "strategy": strategy, "seeds": last.size, "at the end (%)": last.mean(),
                     "sd (%)": last.std(ddof=1),
                     "levels off at epoch": levels_off(share.index, share.mean(axis=1), 100 * tolerance)})
    return pd.DataFrame(rows)
