"""Figures B7 and B8: how much of the network is ever tried, and whether it pays (beyond the paper, its Section 8)."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from regrow import style
from regrow.study import STRATEGIES

# Augmentation: fill of a marker, and its name in a legend.
AUGMENTS = {"mirror_crop_flip": ("none", "mirrored border"), "crop_flip": ("full", "black border"),
            "flip": ("left", "flips alone"), "none": ("bottom", "not augmented")}


def figure_b7(explored: pd.DataFrame, reliable: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Over training: (a) places ever connected, percent of all weights, with chance as a dashed line; (b) of the places
    of the rewired layers those with a connection that outlived a pruning.

    `explored` is that of exploration.explored, of one configuration a rule; `reliable` that of exploration.reliable
    with strategy and seed; without rows there is no panel (b). Bands are one standard deviation over seeds. The frame
    is long: panel, strategy, seed, epoch, percent.
    """
    totals = reliable.groupby(["strategy", "seed", "epoch"], sort=False)[["places", "reliable"]].sum().reset_index()
    totals["percent"] = 100 * totals["reliable"] / totals["places"]
    panels = {"explored": explored, "reliable": totals}
    panels = {name: frame for name, frame in panels.items() if len(frame)}
    fig, axes = plt.subplots(1, len(panels), figsize=(7 if len(panels) == 2 else 5, 3.3), squeeze=False)
    for ax, letter, (panel, frame) in zip(axes[0], "ab", panels.items(), strict=False):
        for rule in (rule for rule in STRATEGIES if rule in set(frame["strategy"])):
            mine = frame[frame["strategy"] == rule]
            wide = mine.pivot(index="epoch", columns="seed", values="percent")
            style.seed_band(ax, wide.index, wide.to_numpy().T, rule)
        names = {"explored": "ever connected (% of all places)", "reliable": "outlived a pruning (% of places)"}
        ax.set(xlabel="epoch", title=f"({letter}) {panel}", ylabel=names[panel])
        ax.set_ylim(bottom=0)
        if panel == "reliable":
            ax.legend(loc="lower right")  # other runs than in (a)
    chance = explored.dropna(subset="chance").groupby("epoch")["chance"].first()
    axes[0, 0].plot(chance.index, chance, color="#000000", linestyle=(0, (1, 1.5)), label="any free place alike")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
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
