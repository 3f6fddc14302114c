"""Figure 20: how far the ranking of hidden neurons by degree at one time agrees with another's (Appendix I)."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from regrow.errors import RegrowError
from regrow.metrics import kendall_matrix
from regrow.record import Record
from regrow_companion import study, style

HEAD = 4  # columns of rank_agreement's frame before those of the times
NEGATIVE = "#CC79A7"  # pink, a hue that the scale itself does not contain


def rank_agreement(records: Sequence[Record]) -> pd.DataFrame:
    """Kendall's tau-b between the total degrees of all hidden neurons at every two recorded times, mean over seeds.

    One row per strategy and time: strategy, seeds, epoch, lowest (the smallest tau of any seed in the row), and a
    column per time, named after its epoch, with tau to four decimals. The matrix is symmetric: what lies below its
    diagonal is empty. Raises RegrowError for records that were not taken at the same epochs.
    """
    epochs = records[0].epochs_at
    if any(not np.array_equal(record.epochs_at, epochs) for record in records):
        raise RegrowError("Figure 20 compares the same updates in every run; give it records of one schedule.")
    below = np.tri(len(epochs), k=-1, dtype=bool)
    parts = []
    for strategy, group in study.by_method(records).items():
        tau = np.array([kendall_matrix(r.hidden_degrees()) for r in group])
        head = pd.DataFrame({"strategy": strategy, "seeds": len(group), "epoch": epochs,
                             "lowest": np.where(below, 1, tau.min(axis=0)).min(axis=1).round(4)})
        upper = np.where(below, np.nan, tau.mean(axis=0).round(4))
        parts.append(pd.concat([head, pd.DataFrame(upper, columns=[f"{epoch:.6g}" for epoch in epochs])], axis=1))
    return pd.concat(parts, ignore_index=True)


def means(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Every tau of rank_agreement's frame once, in one sequence."""
    values = frame.iloc[:, HEAD:].to_numpy(dtype=float).ravel()
    return values[~np.isnan(values)]


def matrix_of(frame: pd.DataFrame, strategy: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Epochs [T] and the whole symmetric matrix [T, T] of one strategy, from the frame of rank_agreement."""
    rows = frame[frame["strategy"] == strategy]
    upper = rows.iloc[:, HEAD:].to_numpy(dtype=float)
    return rows["epoch"].to_numpy(), np.where(np.tri(len(rows), dtype=bool), upper.T, upper)


def figure20(records: Sequence[Record]) -> tuple[Figure, pd.DataFrame]:
    """A heat map per strategy, 0 light to 1 dark as in the paper, both axes in epochs, one colour bar.

    A mean below 0 does not fit the paper's scale: such cells are pink and the colour bar then ends in a pink tip.
    The frame is `rank_agreement(records)`.
    """
    frame = rank_agreement(records)
    strategies = list(frame["strategy"].unique())
    colours = mpl.colormaps["viridis_r"].with_extremes(under=NEGATIVE, bad="#BBBBBB")
    fig, axes = plt.subplots(1, len(strategies), figsize=(7, 2.6), sharey=True, squeeze=False)
    for ax, letter, strategy in zip(axes[0], "abcdefgh", strategies, strict=False):
        epochs, tau = matrix_of(frame, strategy)
        image = style.heat_map(ax, tau, low=0, high=1, colours=colours)
        ax.spines[["top", "right"]].set_visible(False)  # wider than a cell, they would hide the first row
        for axis, parts in ((ax.xaxis, 4), (ax.yaxis, 7)):
            ticks = MaxNLocator(parts, steps=[1, 2, 5, 10]).tick_values(epochs[0], epochs[-1])
            ticks = ticks[(ticks >= epochs[0]) & (ticks <= epochs[-1])]
            style.cell_ticks(axis, np.interp(ticks, epochs, np.arange(len(epochs))), [f"{tick:g}" for tick in ticks])
        seeds = frame.loc[frame["strategy"] == strategy, "seeds"].iloc[0]
        ax.set(title=f"({letter}) {style.style_of(strategy).label} (N={seeds})", xlabel="epoch")
    axes[0, 0].set_ylabel("epoch")
    beside = axes[0, -1].inset_axes((1.07, 0, 0.06, 1))  # exactly as high as the panels
    fig.colorbar(image, cax=beside, label="Kendall's τ-b", extend="min" if (means(frame) < 0).any() else "neither")
    return fig, frame


def settled_at(frame: pd.DataFrame, level: float = 0.9) -> dict[str, float]:
    """Per strategy, the first epoch from which tau with the ranking after training is `level` or more for good."""
    found = {}
    for strategy in frame["strategy"].unique():
        epochs, tau = matrix_of(frame, strategy)
        below = np.flatnonzero(~(tau[-1] >= level))
        found[str(strategy)] = float(epochs[below[-1] + 1]) if below.size else float(epochs[0])
    return found
