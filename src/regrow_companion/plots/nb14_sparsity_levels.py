"""Accuracy against sparsity (Tables 3, 4 and 7, Appendix C): the paper's numbers, and ours where there are runs."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regrow.config import RunConfig
from regrow.record import Record
from regrow_companion import paper, study
from regrow_companion.paper import DATASET_NAMES, MODEL_NAMES
from regrow_companion.plots.nb08_accuracy import network_name
from regrow_companion.style import style_of

SPARSITIES = (0.8, 0.9, 0.95)
COLUMNS = ["network", "dataset", "sparsity", "growth", "source", "mean", "std", "seeds"]


def levels(records: Sequence[Record]) -> pd.DataFrame:
    """Test accuracy per network, data set, sparsity and growth rule: the paper's, and those of dynamic records.

    Columns COLUMNS; `source` is 'paper' or 'ours', accuracies are in percent after the last epoch, `std` has ddof 1
    and is nan for one seed. A record of exactly the paper's setting goes by the paper's names, a small network's by its
    sizes; others are left out. The dense networks of Table 3 have sparsity 0 and the growth rule 'dense'.
    """
    rows = [(MODEL_NAMES[c.model], DATASET_NAMES[c.dataset], c.sparsity, c.method, "paper", c.mean, c.std, 5)
            for table in (3, 4, 7) for c in paper.reported(table)]
    groups: dict[tuple[str, str, float, str], list[float]] = {}
    for record in records:
        config = record.config
        if config in _grid() or (config.is_small and config.is_dynamic and config.sparsity in SPARSITIES):
            name = MODEL_NAMES[config.model] if config in _grid() else network_name(record)
            cell = name, DATASET_NAMES.get(config.dataset, config.dataset), config.sparsity, config.method
            groups.setdefault(cell, []).append(record.accuracy().test)
    for cell, values in groups.items():
        std = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
        rows.append((*cell, "ours", float(np.mean(values)), std, len(values)))
    return pd.DataFrame(rows, columns=COLUMNS)


def figure(records: Sequence[Record]) -> tuple[Figure, pd.DataFrame]:
    """A panel per network (rows) and data set (columns), a line per growth rule, an axis of its own for each panel.

    Filled markers with bars of one standard deviation are the paper's, open ones ours; the dotted line is the paper's
    dense network. Networks of ours that the paper does not have follow in rows of their own. The frame is
    `levels(records)`.
    """
    frame = levels(records)
    papers = [DATASET_NAMES[name] for name in study.DATASETS]
    panels = [[(network, dataset) for dataset in papers] for network in MODEL_NAMES.values()]
    own = list(dict.fromkeys((row.network, row.dataset) for row in frame.itertuples() if row.source == "ours"))
    extra = [panel for panel in own if panel not in [known for row in panels for known in row]]
    panels += [extra[i:i + len(papers)] for i in range(0, len(extra), len(papers))]
    fig, axes = plt.subplots(len(panels), len(papers), figsize=(7, 0.8 + 1.35 * len(panels)), sharex=True)
    for row, names in zip(axes, panels, strict=True):
        for ax, name in zip(row, names, strict=False):
            _panel(ax, frame[(frame["network"] == name[0]) & (frame["dataset"] == name[1])])
        for ax in row[len(names):]:
            ax.remove()
        row[0].set_ylabel(names[0][0] if names[0][0] in MODEL_NAMES.values() else "ours")
    for ax, title in zip(axes[0], papers, strict=True):
        ax.set_title(title)
    for network, dataset in extra:
        axes[-1][extra.index((network, dataset)) % len(papers)].set_title(dataset, fontsize=8)
    _finish(fig, axes[len(MODEL_NAMES) - 1], frame.loc[frame["source"] == "ours", "seeds"].tolist())
    if extra:
        axes[-1][0].tick_params(labelbottom=True)
    plt.close(fig)
    return fig, frame


def _grid() -> frozenset[RunConfig]:
    return frozenset(config for need in ("table4", "table7") for config in study.runs(need, "paper"))


def _panel(ax: Axes, frame: pd.DataFrame) -> None:
    places = {sparsity: place for place, sparsity in enumerate(SPARSITIES)}
    dense = frame.loc[frame["growth"] == "dense", "mean"]
    if len(dense):
        ax.axhline(float(dense.iloc[0]), color=style_of("dense").colour, linestyle=":", linewidth=1)
    for number, growth in enumerate(study.growth_rules()):
        style = style_of(growth)
        for source, shift in (("paper", -0.05), ("ours", 0.2)):
            at = frame[(frame["growth"] == growth) & (frame["source"] == source)].sort_values("sparsity")
            if len(at):
                x = at["sparsity"].map(places) + shift + 0.07 * (number - 1)
                face = style.colour if source == "paper" else "#FFFFFF"
                ax.errorbar(x, at["mean"], at["std"], color=style.colour, marker=style.marker, markersize=3.5,
                            markerfacecolor=face, linewidth=1, linestyle="-" if source == "paper" else "--",
                            elinewidth=0.8)
    ax.set(xlim=(-0.4, 2.5), xticks=range(3), xticklabels=[f"{100 * sparsity:.0f}" for sparsity in SPARSITIES])
    ax.margins(y=0.12)
    ax.tick_params(labelsize=7)


def _finish(fig: Figure, lowest: Sequence[Axes], seeds: Sequence[int]) -> None:
    """Legend and labels; `seeds` are those of each cell of ours."""
    for ax in lowest:
        ax.tick_params(labelbottom=True)
    handles = [Line2D([], [], color=style.colour, marker=style.marker, markersize=4, label=style.label)
               for style in map(style_of, study.growth_rules())]
    handles.append(Line2D([], [], color="#000000", linestyle=":", linewidth=1, label="dense, Table 3"))
    handles.append(Line2D([], [], color="#595959", marker="o", markersize=4, label="filled: the paper, N = 5"))
    if seeds:
        least, most = min(seeds), max(seeds)
        number = f"N = {least}" + f" to {most}" * (most > least)
        handles.append(Line2D([], [], color="#595959", marker="o", markerfacecolor="#FFFFFF", linestyle="--",
                              markersize=4, label=f"open: ours, last epoch, {number}"))
    fig.legend(handles=handles, loc="outside upper center", ncols=3)
    fig.supxlabel("sparsity (%)", fontsize=9)
    fig.supylabel("test accuracy (%), an axis of its own for each panel", fontsize=9)
