"""In-time over-parameterisation: how many places for a connection a network has tried, and how many well (Section 8).

Liu et al. (ICML 2021, "Do We Actually Need Dense Over-Parameterization?") count the places that ever held a connection,
and hold that accuracy needs those explored *reliably*: whose connection grew enough to escape the next pruning.
Figures B7 and B8 show how much of the network is ever tried, and whether it pays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from regrow.config import RunConfig
from regrow.record import Record
from regrow_companion import style
from regrow_companion.section8.nb18_dormancy import spearman
from regrow_companion.section8.watched import Watched
from regrow_companion.study import STRATEGIES

COLUMNS = ("step", "epoch", "layer", "places", "explored", "reliable")  # of the table `reliable`


def by_chance(connections: int, places: int, prune_rates: ArrayLike) -> NDArray[np.float64]:
    """Expected share of places ever connected, [U + 1], under growth that takes any free place (Eq. 8).

    At each update G = round(p n) connections grow on F = places - n + G free places, so a place that was never tried
    stays so with probability 1 - G / F. `prune_rates` are those of the U updates.
    """
    grown = np.round(np.asarray(prune_rates, dtype=float) * connections)
    free = places - connections + grown
    missed = np.divide(grown, free, out=np.zeros_like(grown), where=free > 0)
    untried = (places - connections) / places * np.cumprod(np.concatenate([[1.0], 1 - missed]))
    return 1 - untried


def comparable(records: Iterable[Record], like: RunConfig) -> list[Record]:
    """Each record once that differs from `like` in nothing but seed, augmentation and growth rule, static included."""
    found = {}
    for record in records:
        config = record.config
        if not config.is_dense and config.prune in (like.prune, "none") and config.but(
                seed=like.seed, augment=like.augment, prune=like.prune, grow=like.grow) == like:
            found[record.key] = record
    return list(found.values())


def explored(records: Iterable[Record]) -> pd.DataFrame:
    """Share of all maskable weights ever active, and what chance would give, a row per run and recorded update.

    Columns: key, strategy, augment, seed, epoch, percent, chance (percent; nan for a static run), accuracy (of the
    validation images, at the end).
    """
    parts = []
    for record in records:
        places = {layer: prod(shape) for layer, shape in record.shapes.items()}
        total = sum(places.values())
        tried = sum(series.astype(float) for series in record.explored.values())
        rates = record.prune_rates[1:]
        chance = sum(places[layer] * by_chance(count, places[layer], rates)
                     for layer, count in record.connections.items())
        whole = len(record.steps) > 2 or not record.config.is_dynamic  # some shipped records keep both ends only
        parts.append(pd.DataFrame({
            "key": record.key, "strategy": record.config.method, "augment": record.config.augment,
            "seed": record.config.seed, "epoch": record.epochs_at, "percent": 100 * tried / total,
            "chance": 100 * chance / total if whole and record.config.is_dynamic else np.nan,
            "accuracy": float(record.val_accuracy[-1])}))
    return pd.concat(parts, ignore_index=True)


def reliable(seen: Watched) -> pd.DataFrame:
    """Places of each rewired layer ever connected, and of these with a connection that outlived a pruning.

    A row per update and layer, with COLUMNS.
    """
    rows = [(int(step), step / seen.steps_per_epoch, layer, prod(seen.shapes[layer]), int(tried[u]),
             int(seen.reliable[layer][u]))
            for layer, tried in seen.explored.items() for u, step in enumerate(seen.steps)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def final(frame: pd.DataFrame) -> pd.DataFrame:
    """The last row of every run of `explored`."""
    return frame.loc[frame.groupby("key", sort=False)["epoch"].idxmax()].reset_index(drop=True)


def rank_correlation(x: Sequence[float], y: Sequence[float], draws: int = 2000) -> tuple[float, float, float]:
    """Spearman's rho of two sequences [n] and its 95 % bootstrap interval over the pairs."""
    first, second = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    chance = np.random.default_rng(0)
    picks = chance.integers(len(first), size=(draws, len(first)))
    low, high = np.nanquantile([spearman(first[pick], second[pick]) for pick in picks], [0.025, 0.975])
    return spearman(first, second), float(low), float(high)


# -------------------------------------------------------------------------------------------------------------- figures


# Augmentation: fill of a marker, and its name in a legend.
AUGMENTS = {"mirror_crop_flip": ("none", "mirrored border"), "crop_flip": ("full", "black border"),
            "flip": ("left", "flips alone"), "none": ("bottom", "not augmented")}


def figure_b7(explored: pd.DataFrame, reliable: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Over training: (a) places ever connected, percent of all weights, with chance as a dashed line; (b) of the places
    of the rewired layers those with a connection that outlived a pruning.

    `explored` is that of exploration.explored, of one configuration a rule; `reliable` that of exploration.reliable
    with strategy and seed, of the same runs. Bands are one standard deviation over seeds. The frame is long: panel,
    strategy, seed, epoch, percent.
    """
    totals = reliable.groupby(["strategy", "seed", "epoch"], sort=False)[["places", "reliable"]].sum().reset_index()
    totals["percent"] = 100 * totals["reliable"] / totals["places"]
    panels = {"explored": explored, "reliable": totals}
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.3))
    for ax, letter, (panel, frame) in zip(axes, "ab", panels.items(), strict=True):
        for rule in (rule for rule in STRATEGIES if rule in set(frame["strategy"])):
            style.seed_lines(ax, frame[frame["strategy"] == rule], "epoch", "percent", rule)
        names = {"explored": "ever connected (% of all places)", "reliable": "outlived a pruning (% of places)"}
        ax.set(xlabel="epoch", title=f"({letter}) {panel}", ylabel=names[panel])
        ax.set_ylim(bottom=0)
    chance = explored.dropna(subset="chance").groupby("epoch")["chance"].first()
    axes[0].plot(chance.index, chance, color="#000000", linestyle=(0, (1, 1.5)), label="any free place alike")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    columns = ["strategy", "seed", "epoch", "percent"]
    return fig, pd.concat([frame[columns].assign(panel=panel) for panel, frame in panels.items()], ignore_index=True)


def figure_b8(final: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Validation accuracy against the share ever connected, a dot per run; the fill says which augmentation.

    `final` is that of exploration.final. Runs of one rule and augmentation differ by seed.
    """
    fig, ax = plt.subplots(figsize=(5.4, 3.6))
    for (rule, augment), runs in final.groupby(["strategy", "augment"], sort=False):
        how, (fill, said) = style.style_of(str(rule)), AUGMENTS[str(augment)]
        name = how.label if final["augment"].nunique() == 1 else f"{how.label}, {said}"
        ax.plot(runs["percent"], runs["accuracy"], marker=how.marker, linestyle="none", color=how.colour,
                fillstyle=fill, label=f"{name} (n={len(runs)})", alpha=0.85)
    ax.set(xlabel="places ever connected (% of all weights)", ylabel="validation accuracy (%)", xlim=(0, 103))
    fig.legend(*ax.get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    return fig, final
