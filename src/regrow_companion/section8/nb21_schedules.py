"""How fast hubs form under other schedules of updates, batches and averages: a few numbers per update of each run.

Whole records of all these runs would be too large to ship; these tables are not. One file per need holds all its runs
(see `cases`). Figures B11 to B13 show them: other schedules of updates, other batches and averages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

from regrow import metrics
from regrow.config import RunConfig
from regrow.record import Record
from regrow.tails.fit import fit_tails
from regrow_companion import style
from regrow_companion.section8 import cases
from regrow_companion.section8.cases import Measuring, Performed, labelled
from regrow_companion.session import Session
from regrow_companion.study import SHIPPED, STRATEGIES
from regrow_companion.style import Style

NEEDS = ("schedules", "batches", "schedules300", "batches300")
TABLE = ""  # the only one of each need
# What these studies vary, and what a value is called; sizes and rates that follow the batch are not named.
NAMES = {"update_interval": "interval {}", "prune_rate": "$p_0$ = {}", "prune_schedule": "{} decay",
         "batch_size": "batch {}", "growth_beta": r"$\beta$ = {}"}
HUBS = 0.01  # the best connected hundredth of the hidden neurons


@dataclass(frozen=True)
class Series:
    """`table` has the columns of `series` with key, strategy, seed, option, validation % and test % in front."""

    table: pd.DataFrame
    runs: list[Performed]

    def last(self) -> pd.DataFrame:
        """The row of each run after its last update."""
        return self.table.groupby("key", sort=False).tail(1).reset_index(drop=True)


def series(record: Record) -> pd.DataFrame:
    """Hidden degrees along a run, a row per recorded update, the start included.

    Columns: step, epoch, largest (degree), hubs (percent of all connection ends that the best connected hundredth of
    the hidden neurons have), spread (standard deviation of the degrees), dormant low and dormant high (percent of the
    hidden neurons at or below the thresholds of Section 5.4), n_tail, alpha and D of the tail from the high threshold
    on, explored (percent of all places that were ever connected).
    """
    degrees = record.hidden_degrees()
    limits, ranked = record.thresholds, np.sort(degrees, axis=1)
    top = max(1, round(HUBS * degrees.shape[1]))
    fits = fit_tails(degrees, max(1, limits.high))
    tried = sum(counts.astype(float) for counts in record.explored.values())
    return pd.DataFrame({
        "step": record.steps, "epoch": record.epochs_at, "largest": ranked[:, -1],
        "hubs": 100 * ranked[:, -top:].sum(axis=1) / ranked.sum(axis=1), "spread": degrees.std(axis=1),
        "dormant low": 100 * metrics.dormant_counts(degrees, limits.low) / degrees.shape[1],
        "dormant high": 100 * metrics.dormant_counts(degrees, limits.high) / degrees.shape[1],
        "n_tail": fits.n_tail, "alpha": fits.alpha, "D": fits.D,
        "explored": 100 * tried / record.total_weights})


def option(config: RunConfig, usual: RunConfig) -> str:
    """What is unusual in a run, in words for a legend; "usual" if nothing is."""
    if config.batch_size != usual.batch_size:
        return NAMES["batch_size"].format(config.batch_size)  # its interval and learning rate go with it
    changed = [text.format(value) for name, text in NAMES.items()
               if (value := getattr(config, name)) != getattr(usual, name)]
    return ", ".join(changed) or "usual"


def of(book: Session, need: str) -> Series:
    """The runs of a need that are there, see `cases.of_need`."""
    found = cases.of_need(book, need, KIND, SHIPPED)
    return Series(found[TABLE], found.runs)


def _measure(record: Record, usual: RunConfig) -> cases.Tables:
    config = record.config
    labels = {"key": record.key, "strategy": config.method, "seed": config.seed, "option": option(config, usual),
              "validation %": float(record.val_accuracy[-1]), "test %": float(record.test_accuracy[-1])}
    return {TABLE: labelled(series(record), labels)}


# Shipped records may hold both ends only.
KIND = Measuring((TABLE,), _measure, whole=lambda record: len(record.steps) > 2)


# -------------------------------------------------------------------------------------------------------------- figures


USUAL = "usual"
VARIED = {"update_interval": "update interval", "prune_rate": "prune rate", "prune_schedule": "decay"}
# A value below the usual one or of another kind, the usual one, and one above.
LOOK = (Style("#0072B2", "", (0, (4, 1.5)), "below"), Style("#000000", "", "-", USUAL),
        Style("#D55E00", "", (0, (1, 1.2)), "above"))
MARKS = ("o", "s", "^", "D", "v", "P")


def options(runs: list[RunConfig]) -> dict[str, list[str]]:
    """For each key of VARIED the names of its options as `option` gives them, in order, the usual one between.

    The first run is the usual one.
    """
    usual, found = runs[0], {}
    for key in VARIED:
        values = {getattr(run, key): option(run.but(grow=usual.grow, seed=usual.seed), usual) for run in runs
                  if all(getattr(run, other) == getattr(usual, other) for other in VARIED if other != key)}
        others = [name for value, name in sorted(values.items()) if value != getattr(usual, key)]
        if key == "prune_schedule":
            others.reverse()  # linear, cosine, constant: ever more pruning
        found[key] = [*others[:1], USUAL, *others[1:]]
    return found


def figure_b11(table: pd.DataFrame, runs: list[RunConfig], column: str = "hubs") -> tuple[Figure, pd.DataFrame]:
    """A column of `series` over the epochs: a row of panels per thing varied, a column per growth rule.

    Lines are means over seeds, bands one standard deviation. The frame is long: strategy, option, seed, epoch, column.
    """
    rules = [rule for rule in STRATEGIES if rule in set(table["strategy"])]
    groups = options(runs)
    fig, axes = plt.subplots(len(groups), len(rules), figsize=(7, 5.4), sharex=True, sharey="col", squeeze=False)
    for row, (key, names) in zip(axes, groups.items(), strict=True):
        for ax, rule in zip(row, rules, strict=True):
            for name, look in zip(names, LOOK, strict=True):
                panel = table[(table["strategy"] == rule) & (table["option"] == name)]
                label = NAMES[key].format(getattr(runs[0], key)) if name == USUAL else name
                style.seed_lines(ax, panel, "epoch", column, look, label=label)
            if key == next(iter(groups)):
                ax.set_title(style.style_of(rule).label)
        row[0].set_ylabel(f"{VARIED[key]}\ntop 1 % of neurons (%)")
        row[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    for ax in axes.flat:
        ax.set_ylim(bottom=0)
    fig.supxlabel("epoch")
    return fig, table[["strategy", "option", "seed", "epoch", column]]


def figure_b12(last: pd.DataFrame, runs: list[RunConfig]) -> tuple[Figure, pd.DataFrame]:
    """At the end of training, for every option and growth rule: (a) validation accuracy, (b) the largest degree, (c)
    dormant neurons; marks are means over seeds, small dots single runs.

    `last` is that of Series.last; the frame has its rows.
    """
    names = [USUAL, *(name for group in options(runs).values() for name in group if name != USUAL)]
    panels = {"validation %": "validation accuracy (%)", "largest": "largest degree",
              "dormant low": "dormant neurons (%)"}
    fig, axes = plt.subplots(1, 3, figsize=(7, 3.4), sharey=True)
    rules = [rule for rule in STRATEGIES if rule in set(last["strategy"])]
    for ax, letter, (column, label) in zip(axes, "abc", panels.items(), strict=True):
        for shift, rule in zip(np.linspace(-0.2, 0.2, len(rules)), rules, strict=True):
            how = style.style_of(rule)
            mine = last[last["strategy"] == rule]
            at = np.array([names.index(name) for name in mine["option"]]) + shift
            style.strips(ax, mine[column], at, replace(how, marker="o"), size=3, orient="h")
            mean = mine.groupby("option")[column].mean()
            ax.plot(mean, [names.index(name) + shift for name in mean.index], linestyle="none", marker=how.marker,
                    color=how.colour, label=f"{how.label} (N={mine['seed'].nunique()})")
        ax.set(title=f"({letter})", xlabel=label)
        ax.grid(axis="y", linewidth=0.3)
    axes[1].set_xscale("log")
    axes[1].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[1].xaxis.set_major_formatter(ScalarFormatter())
    axes[1].xaxis.set_minor_locator(NullLocator())
    axes[0].set_yticks(range(len(names)), [_usual_name(runs[0]), *names[1:]])
    axes[0].set_ylabel("what is changed")
    axes[0].invert_yaxis()
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig, last


def figure_b13(agreement: pd.DataFrame, batches: pd.DataFrame, usual: RunConfig) -> tuple[Figure, pd.DataFrame]:
    """(a) Connections that gradient growth would grow from either of two batches, percent, by the size of the batches;
    (b) those that all training images would grow too, from a batch (lines) and from running averages (crosses, placed
    at the images that they average over); (c) accuracy by batch size.

    `agreement` is the first layer's table of `noise`, `batches` the last rows of the need of that name. Lines in (a)
    and (b) are moments of training. The frame is `agreement`.
    """
    fig, axes = plt.subplots(1, 3, figsize=(7, 3.1))
    by_batch, by_average = (agreement[agreement["of"] == of] for of in ("batch", "average"))
    moments = sorted(agreement["epoch"].round(1).unique())
    colours = map(to_hex, plt.get_cmap("viridis")(np.linspace(0, 0.85, len(moments))))
    for epoch, colour, mark in zip(moments, colours, MARKS, strict=False):
        for ax, column in zip(axes, ("with another", "with all"), strict=False):
            seeds = by_batch[by_batch["epoch"].round(1) == epoch].groupby(["size", "seed"])[[column]].mean() * 100
            look = Style(colour, mark, "-", f"epoch {epoch:g}")
            style.seed_lines(ax, seeds.reset_index(), "size", column, look, label=look.label, markevery=1)
        mean = by_average[by_average["epoch"].round(1) == epoch].groupby("size")["with all"].mean()
        averaged = usual.batch_size * (1 + mean.index) / (1 - mean.index)
        axes[1].plot(averaged, 100 * mean, linestyle="none", marker="x", color=colour)
    for ax, title in zip(axes, ("(a) two batches", "(b) with all images"), strict=False):
        ax.set(title=title, xscale="log", ylim=(0, None), xlabel="images of the gradient")
        ax.minorticks_off()
    sizes = sorted(by_batch["size"].astype(int).unique())
    axes[0].set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45)
    axes[0].set_ylabel("connections in common (%)")
    _accuracy(axes[2], batches[batches["strategy"].isin(("random", "gradient"))], usual)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(moments))
    return fig, agreement


def _accuracy(ax: Axes, batches: pd.DataFrame, usual: RunConfig) -> None:
    sizes = batches["option"].replace(USUAL, f"batch {usual.batch_size}").str.removeprefix("batch ").astype(int)
    for rule, mine in batches.assign(size=sizes).groupby("strategy", sort=False):
        style.seed_lines(ax, mine, "size", "validation %", str(rule))
    ax.set(title="(c) accuracy", xscale="log", xlabel="batch size", ylabel="validation accuracy (%)")
    ax.set_xticks(sorted(set(sizes)), [str(size) for size in sorted(set(sizes))], minor=False)
    ax.minorticks_off()
    ax.legend()


def _usual_name(usual: RunConfig) -> str:
    return f"usual: every {usual.update_interval},\n$p_0$ = {usual.prune_rate:g}, {usual.prune_schedule}"
