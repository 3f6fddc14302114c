"""A growth rule beside others under equal conditions: the same seeds, first wirings, batches and budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy import stats

from regrow import metrics
from regrow.record import Record
from regrow_companion import study
from regrow_companion.style import style_of


def like_with_like(records: Sequence[Record], older: Sequence[Record], rule: str = "l3") -> list[Record]:
    """`records`, or, as long as `rule` is not among them, those of `older` that differ in nothing but rule and seed.

    For a rule whose runs were made with another border of the random crop than the runs beside which it belongs. Runs
    that switch rules are left out.
    """
    found = [record.config for record in older if record.config.grow == rule]
    if not found or any(record.config.grow == rule for record in records):
        return list(records)
    pure = [record for record in older if record.config.is_dynamic and len(set(record.config.grow_phases)) == 1]
    return [record for record in pure if record.config.but(seed=found[0].seed, grow=rule) == found[0]]


def comparison(records: Sequence[Record], base: str = "random") -> pd.DataFrame:
    """One row a method: accuracy, its difference to `base` seed by seed, and what became of the wiring.

    Columns: method, seeds, validation and test accuracy (%, mean over seeds), their standard deviation for the first,
    difference to base in validation points with the ends of its 95 % t-interval over the seeds that both have (nan for
    fewer than two), standard deviation and largest of the hidden degrees at the end, dormant (%, at or below the low
    threshold) and explored (%, positions ever connected).
    """
    groups, rows = study.by_method(records), []
    for method, runs in groups.items():
        accuracy = [run.val_accuracy[-1] for run in runs]
        other = {run.config.seed: run.val_accuracy[-1] for run in groups.get(base, ())}
        gains = [run.val_accuracy[-1] - other[run.config.seed] for run in runs if run.config.seed in other]
        middle, low, high = interval(gains)
        ends = [run.hidden_degrees(-1) for run in runs]
        limit = runs[0].thresholds.low
        rows.append({
            "method": method, "seeds": len(runs), "validation": np.mean(accuracy),
            "sd": np.std(accuracy, ddof=1) if len(runs) > 1 else np.nan,
            "test": np.mean([run.test_accuracy[-1] for run in runs]), "difference": middle, "low": low, "high": high,
            "degree sd": np.mean([end.std() for end in ends]), "largest degree": np.mean([end.max() for end in ends]),
            "dormant": 100 * np.mean([metrics.dormant_counts(end, limit) / end.size for end in ends]),
            "explored": 100 * np.mean([sum(int(seen[-1]) for seen in run.explored.values()) / run.total_weights
                                       for run in runs])})
    return pd.DataFrame(rows)


def interval(differences: ArrayLike) -> tuple[float, float, float]:
    """Mean of paired differences and the ends of its 95 % t-interval; nan ends for fewer than two."""
    values = np.asarray(differences, dtype=float)
    if not values.size:
        return np.nan, np.nan, np.nan
    middle = float(values.mean())
    if values.size < 2:
        return middle, np.nan, np.nan
    half = float(stats.t.ppf(0.975, values.size - 1) * values.std(ddof=1) / np.sqrt(values.size))
    return middle, middle - half, middle + half


def figure(records: Sequence[Record]) -> tuple[Figure, pd.DataFrame]:
    """(a) Validation accuracy over training, a thin line a seed and the mean; (b) hidden degrees at the end, as the
    share of neurons with a degree above k. The frame holds both curves' points."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.2))
    parts = []
    for method, runs in study.by_method(records).items():
        style = style_of(method)
        curves = np.stack([run.val_accuracy for run in runs])
        epochs = np.arange(1, curves.shape[1] + 1)
        left.plot(epochs, curves.T, color=style.colour, linewidth=0.4, alpha=0.5)
        left.plot(epochs, curves.mean(axis=0), **style.line | {"marker": ""}, label=f"{style.label} (N={len(runs)})")
        degrees = np.sort(np.concatenate([run.hidden_degrees(-1) for run in runs]))
        above = 1 - np.arange(1, degrees.size + 1) / degrees.size
        right.plot(degrees, above, **style.line | {"marker": ""}, drawstyle="steps-post")
        parts += [pd.DataFrame({"panel": "a", "method": method, "x": epochs, "y": curves.mean(axis=0)}),
                  pd.DataFrame({"panel": "b", "method": method, "x": degrees, "y": above})]
    left.set(xlabel="epoch", ylabel="validation accuracy (%)", title="(a) accuracy")
    right.set(xscale="symlog", yscale="log", xlabel="degree $k$", ylabel="share of neurons above $k$",
              title="(b) hidden degrees at the end")
    fig.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    plt.close(fig)
    return fig, pd.concat(parts, ignore_index=True)
