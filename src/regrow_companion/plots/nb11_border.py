"""What the border of a random crop does to the MLP of Table 4 on CIFAR-10: accuracy, input maps and hidden wiring.

A crop shifts the image by up to four pixels, and what comes in at the edge is black or the image mirrored. Nothing else
differs between the two groups of runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from regrow.config import RunConfig
from regrow.data import PAD
from regrow.metrics import dormant_counts
from regrow.record import Record
from regrow.tails.fit import fit_tail
from regrow_companion import paper, study
from regrow_companion.plots.nb08_accuracy import mean_and_std
from regrow_companion.plots.nb11_heat_maps import input_maps
from regrow_companion.style import cell_ticks, heat_map, style_of

BORDERS = {"crop_flip": "black", "mirror_crop_flip": "mirrored"}
READINGS = {name: {"augment": border} for border, name in BORDERS.items()} | {
    "mirrored, SNFS's constants": study.SNFS}


def groups(records: Sequence[Record]) -> Iterator[tuple[str, str, list[Record]]]:
    """Border, growth rule and, of these records, the runs of Table 4's MLP on CIFAR-10 with both; none without runs."""
    for border in BORDERS:
        for rule in study.STRATEGIES:
            if group := _like(records, rule, augment=border):
                yield border, rule, group


def _like(records: Sequence[Record], rule: str, **changes: Any) -> list[Record]:
    """Those of Table 4's MLP on CIFAR-10 with a growth rule and these changes, whatever their seed."""
    like = RunConfig(dataset="cifar10", grow=rule, **changes)
    return [record for record in records if record.config.but(seed=0) == like]


def complete(records: Sequence[Record]) -> bool:
    """Whether there is a run for either border and each growth rule, as `figure` and `wiring` need."""
    return len(list(groups(records))) == len(BORDERS) * len(study.STRATEGIES)


def accuracies(records: Sequence[Record]) -> pd.DataFrame:
    """A row per growth rule: validation and test accuracy (percent, last epoch) with either border, and the paper's.

    If there are such runs, with the constants of SNFS's code as well.
    """
    printed = {cell.method: cell.number for cell in paper.reported(4)
               if (cell.model, cell.dataset) == ("mlp", "cifar10")}
    rows: dict[str, dict[str, str]] = {}
    for (name, changes), rule in product(READINGS.items(), study.STRATEGIES):
        group = _like(records, rule, **changes)
        if not group:
            continue
        row = rows.setdefault(rule, {"rule": rule, "the paper, test": printed[rule]})
        last = [record.accuracy("last") for record in group]
        for part in ("validation", "test"):
            row[f"{name}, {part}"] = mean_and_std([getattr(accuracy, part) for accuracy in last])
        row[f"{name}, seeds"] = str(len(last))
    return pd.DataFrame(list(rows.values()))


def wiring(records: Sequence[Record]) -> pd.DataFrame:
    """A row per border, growth rule and seed: what the wiring is like at the end of training.

    Columns: border, rule, seed; `dormant`, hidden neurons at the paper's low threshold or below; `isolated`, neurons of
    hidden 1 without any connection; `largest`, the largest hidden degree; `alpha`, the exponent of both hidden layers
    together, fitted at the paper's x_min; `edge` and `corners`, percentage of the input's connections on the four
    outermost pixels all round (43.75 % of an image) and in the four corners (6.25 %).
    """
    rows = []
    for border, rule, group in groups(records):
        for record in group:
            first, *others = (layer[-1] for layer in record.hidden_layer_degrees())
            degrees, limits = np.concatenate([first, *others]), record.thresholds
            edge, corners = outermost(input_maps(record)[-1])
            rows.append({"border": BORDERS[border], "rule": rule, "seed": record.config.seed,
                         "dormant": int(dormant_counts(degrees, limits.low)), "isolated": int((first == 0).sum()),
                         "largest": int(degrees.max()), "alpha": fit_tail(degrees, limits.high).alpha,
                         "edge": 100 * edge, "corners": 100 * corners})
    return pd.DataFrame(rows)


def outermost(heat: NDArray[np.int64]) -> tuple[float, float]:
    """Shares of a map [H, W] that lie on its PAD outermost pixels all round, and in the four corners of that frame."""
    image = heat / heat.sum()
    middle = image[PAD:-PAD, PAD:-PAD].sum()
    arms = image[PAD:-PAD].sum() + image[:, PAD:-PAD].sum() - middle
    return float(1 - middle), float(1 - arms)


def spans(frame: pd.DataFrame) -> pd.DataFrame:
    """`wiring` with a row per border and rule: number of seeds, and the smallest and largest value of each column."""
    digits = {"dormant": 0, "isolated": 0, "largest": 0, "alpha": 2, "edge": 1, "corners": 1}
    rows = []
    for (border, rule), group in frame.groupby(["border", "rule"], sort=False):
        row = {"border": border, "rule": rule, "seeds": len(group)}
        rows.append(row | {name: _span(group[name], places) for name, places in digits.items()})
    return pd.DataFrame(rows)


def _span(values: pd.Series, places: int) -> str:
    low, high = f"{values.min():.{places}f}", f"{values.max():.{places}f}"
    return low if low == high else f"{low} to {high}"


def figure(records: Sequence[Record]) -> tuple[Figure, pd.DataFrame]:
    """The input layer at the end of training, a row per border, a column per growth rule, mean over seeds.

    Each border has a colour scale of its own, from 0 on; a line marks the four outermost pixels. Frame: border, rule,
    seeds, y, x, value.
    """
    maps = {(border, rule): (len(group), np.mean([input_maps(record)[-1] for record in group], axis=0))
            for border, rule, group in groups(records)}
    fig, axes = plt.subplots(2, len(study.STRATEGIES), figsize=(7, 4.4), sharex=True, sharey=True)
    parts = []
    for row, border in zip(axes, BORDERS, strict=True):
        top = max(float(maps[border, rule][1].max()) for rule in study.STRATEGIES)
        for ax, rule in zip(row, study.STRATEGIES, strict=True):
            seeds, heat = maps[border, rule]
            image = heat_map(ax, heat, low=0, high=top)
            side = heat.shape[0] - 2 * PAD
            ax.add_patch(plt.Rectangle(2 * (PAD,), side, side, fill=False, edgecolor="white", linewidth=0.8))
            for axis in (ax.xaxis, ax.yaxis):
                cell_ticks(axis, [0, 16, 31])
            if border == "crop_flip":
                ax.set_title(f"{style_of(rule).label} growth")
            y, x = np.indices(heat.shape)
            parts.append(pd.DataFrame({"border": BORDERS[border], "rule": rule, "seeds": seeds, "y": y.ravel(),
                                       "x": x.ravel(), "value": heat.ravel()}))
        row[0].set_ylabel(f"{BORDERS[border]} border (N={maps[border, study.STRATEGIES[0]][0]})\ny (pixels)")
        fig.colorbar(image, ax=row, shrink=0.9, aspect=20, pad=0.01).set_label("connections per pixel")
    for ax in axes[1]:
        ax.set_xlabel("x (pixels)")
    plt.close(fig)
    return fig, pd.concat(parts, ignore_index=True)
