"""The Neural Selection Hypothesis over training (Section 5.3): Figure 7 as in the paper, what it leaves out, and which
law describes the tails best, the power law beside six others (Section 8 asks for it).

All functions take the table of `regrow_companion.tail_tables.tables`, a row for each run, layer and time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from regrow.tails.compare import NAMES, SIGNIFICANT
from regrow.tails.fit import fit_tail
from regrow.tails.goodness import RULES, generator, goodness_of_fit, sample
from regrow_companion.style import seed_band, style_of
from regrow_companion.tail_tables import POOLED

QUANTITIES = {"alpha": r"exponent $\alpha$", "sigma": r"standard error $\sigma$ of $\alpha$", "D": "distance D",
              "p": "p-value (Eq. 20)", "n_tail": "neurons in the tail"}
RULE_LINES: dict[str, Any] = {"usual": (0, (1, 1)), "paper": "--"}
RULE_NAMES = {"usual": "usual rule: not rejected above 0.1", "paper": "the paper's rule: not rejected from 0.95"}
GREY = "#595959"
FEW_TIMES = 80  # below, every time gets a point of its own
SHIFT = 0.012  # between the strategies' lines of p and shares: those that coincide at 0 stay visible


# ------------------------------------------------------------------------------------------------- as in the paper

def figure7(series: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Exponent, its standard error, D and p of the hidden neurons together over training, mean and band over seeds.

    Below D stand the sizes of the tails (e), since p rises merely when tails get shorter. The epochs of the p panel are
    logarithmic, or its first updates would be a line's width from the axis, and its lines are shifted by one percent.
    Times at which a run has no tail to fit are left out of its strategy's mean. Frame: strategy, epoch, quantity, mean,
    sd (over seeds, ddof 1), seeds.
    """
    pooled = series[series["layer"] == POOLED]
    fig = plt.figure(figsize=(7, 6.2))
    axes = fig.subplot_mosaic([["alpha", "sigma"], ["D", "p"], ["n_tail", "p"]], height_ratios=(1, 1, 0.6))
    rows = []
    for letter, (quantity, label) in zip("abcde", QUANTITIES.items(), strict=True):
        ax = axes[quantity]
        for i, strategy in enumerate(pooled["strategy"].unique()):
            curves = _curves(pooled, strategy, quantity)
            drawn = curves + SHIFT * (i - 1) if quantity == "p" else curves
            seed_band(ax, curves.index, drawn.to_numpy().T, strategy)
            rows.append(pd.DataFrame({"strategy": strategy, "epoch": curves.index, "quantity": quantity,
                                      "mean": curves.mean(axis=1), "sd": curves.std(axis=1, ddof=1),
                                      "seeds": curves.shape[1]}))
        ax.set(title=f"({letter}) {label}", ylabel=label.split(" (")[0], xlabel="epoch",
               xlim=(0, pooled["epoch"].max()))
        ax.set_ylim(bottom=None if quantity == "alpha" else 0)
    for above, below in (("alpha", "D"), ("D", "n_tail")):
        axes[above].sharex(axes[below])
        axes[above].set_xlabel("")
        axes[above].tick_params(labelbottom=False)
    _p_axis(axes["p"])
    _log_axis(axes["p"], int(pooled["epoch"].max()))
    axes["p"].set(title="(d) p-value (Eq. 20) and both rules", xlabel="epoch (0, then logarithmic)")
    _name_peak(axes["p"], rows)
    _legend(fig, axes["alpha"].get_legend_handles_labels()[0] + _rule_handles())
    plt.close(fig)
    return fig, pd.concat(rows, ignore_index=True)


# -------------------------------------------------------------------------------------------- updates more often

def interval_figure(series: Mapping[int, pd.DataFrame]) -> tuple[Figure, pd.DataFrame]:
    """Exponent, D, p and tail size under random growth with two update intervals, a line for each seed.

    `series` has a table of such runs for each number of steps between updates, the paper's first.
    Epochs are logarithmic, as in Figure 7 (d); lines of p are shifted by one percent. Frame: steps between updates,
    seed, epoch, quantity, value.
    """
    fig, axes = plt.subplots(2, 2, figsize=(7, 4.6), sharex=True)
    looks: tuple[dict[str, Any], ...] = ({"color": style_of("random").colour}, {"color": "#000000", "linestyle": "--"})
    rows = []
    for ax, (letter, quantity) in zip(axes.flat, zip("abcd", ("alpha", "D", "p", "n_tail"), strict=True), strict=True):
        for i, ((steps, table), look) in enumerate(zip(series.items(), looks, strict=True)):
            for seed, part in table[table["layer"] == POOLED].groupby("seed"):
                shift = SHIFT * i if quantity == "p" else 0
                ax.plot(part["epoch"], part[quantity] + shift, linewidth=0.9, alpha=0.8, **look)
                rows.append(pd.DataFrame({"steps between updates": steps, "seed": seed, "epoch": part["epoch"],
                                          "quantity": quantity, "value": part[quantity]}))
        ax.set(title=f"({letter}) {QUANTITIES[quantity]}", ylabel=QUANTITIES[quantity].split(" (")[0])
        ax.set_ylim(bottom=None if quantity == "alpha" else 0)
    _p_axis(axes[1, 0])
    _log_axis(axes[0, 0], int(max(table["epoch"].max() for table in series.values())))
    for ax in axes[1]:
        ax.set_xlabel("epoch (0, then logarithmic)")
    labels = [f"an update every {n} steps (N={_n(table, 'random')}), a line a seed" for n, table in series.items()]
    handles = [Line2D([], [], linewidth=1.2, label=label, **look) for label, look in zip(labels, looks, strict=True)]
    _legend(fig, handles + _rule_handles())
    plt.close(fig)
    return fig, pd.concat(rows, ignore_index=True).round({"epoch": 3, "value": 4})


# ----------------------------------------------------------------------------------------------- what it leaves out

def honest_figure(series: pd.DataFrame, matched_n: int) -> tuple[Figure, pd.DataFrame]:
    """Ten panels over the topology updates, whose axis is logarithmic since most happens at the first ones.

    One line a seed: p and below it the number of neurons it was computed from, p at equal tail size, D sqrt(n) with the
    range that nine in ten true power laws stay in, p of each hidden layer by itself with its tail. Last, the share of
    seeds that each rule does not reject. Lines of p and shares are shifted by one percent so that no strategy hides
    another. `matched_n` is the common size behind the column "p matched".
    Frame: panel, strategy, seed, layer, update, epoch, value.
    """
    pooled, layers = series[series["layer"] == POOLED], sorted(set(series["layer"]) - {POOLED})
    fig, axes = plt.subplots(5, 2, figsize=(7, 10), sharex=True, height_ratios=(1, 1, 1, 0.7, 1))
    rows: list[pd.DataFrame] = []
    panels = ((axes[0, 0], pooled, "p", "p, all hidden neurons"),
              (axes[0, 1], pooled, "p matched", f"p at {matched_n} neurons of each tail"),
              (axes[1, 0], pooled, "n_tail", "neurons in the tail, all hidden"),
              (axes[1, 1], pooled, "D sqrt(n)", r"$D\sqrt{n}$, all hidden, logarithmic"),
              *((ax, series[series["layer"] == layer], column, f"{title}, {layer} alone")
                for row, column, title in ((axes[2], "p", "p"), (axes[3], "n_tail", "neurons in the tail"))
                for ax, layer in zip(row, layers[:2], strict=False)))
    for (ax, part, column, title), letter in zip(panels, "abcdefgh", strict=False):
        _seeds(ax, part, column)
        ax.set_title(f"({letter}) {title}", fontsize=9)
        ax.set_ylabel(title.split(",")[0].split(" at ")[0])
        if column.startswith("p"):
            _p_axis(ax)
        elif column == "n_tail":
            ax.set_ylim(bottom=0)
        rows.append(part[["strategy", "seed", "layer", "update", "epoch"]].assign(panel=letter, value=part[column]))
    axes[1, 1].set_yscale("log")
    axes[1, 1].yaxis.set_major_locator(FixedLocator([0.5, 1, 2, 5, 10, 20]))
    axes[1, 1].yaxis.set_minor_locator(NullLocator())
    axes[1, 1].yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    low, high = true_power_law(pooled)
    axes[1, 1].axhspan(low, high, color="#000000", alpha=0.15, linewidth=0)
    for ax in axes[2:4, len(layers):].flat:
        ax.set_visible(False)
    for ax, letter, rule in zip(axes[4], "ij", RULES, strict=True):
        rows.append(_passing(ax, pooled, rule).assign(panel=letter))
        ax.set_title(f"({letter}) seeds with p {'>' if rule == 'usual' else '≥'} {RULES[rule]:g}", fontsize=9)
        ax.set(ylabel="share not rejected", xlabel="topology updates (0, then logarithmic)")
    _log_axis(axes[0, 0], int(series["update"].max()))
    strategies = pooled["strategy"].unique()
    handles = [Line2D([], [], linewidth=1.2, label=f"{style_of(s).label} (N={_n(pooled, s)}), a line a seed",
                      **style_of(s).line) for s in strategies]
    band = plt.Rectangle((0, 0), 1, 1, color="#000000", alpha=0.15, linewidth=0)
    band.set_label("nine in ten true power laws (d)")
    _legend(fig, [*handles, *_rule_handles(), band])
    plt.close(fig)
    return fig, pd.concat(rows, ignore_index=True)


def true_power_law(pooled: pd.DataFrame, n_sets: int = 500) -> tuple[float, float]:
    """The range of D sqrt(n) that nine in ten samples of a power law stay in, at the table's median alpha and n_tail.

    It hardly depends on either.
    """
    xmin, n = 100, int(pooled["n_tail"].median())
    draws = sample(float(pooled["alpha"].median()), xmin, n, generator("true power law", 0))
    distances = goodness_of_fit(draws, fit_tail(draws, xmin), n_sets).distances * np.sqrt(n)
    low, high = np.quantile(distances, (0.05, 0.95))
    return float(low), float(high)


def passing(series: pd.DataFrame) -> pd.DataFrame:
    """Share of the rows that each rule does not reject, for each strategy and layer, with how many there are.

    Columns: strategy, layer, time points, usual, paper (fractions; a time without a p does not count).
    """
    tested = series[series["p"].notna()]
    groups = tested.groupby(["strategy", "layer"], sort=False)["p"]
    return pd.DataFrame({"time points": groups.size(), "usual": groups.agg(lambda p: (p > RULES["usual"]).mean()),
                         "paper": groups.agg(lambda p: (p >= RULES["paper"]).mean())}).reset_index()


def _passing(ax: Axes, pooled: pd.DataFrame, rule: str) -> pd.DataFrame:
    keeps: Mapping[str, Callable[[pd.Series], pd.Series]] = {"usual": lambda p: p > RULES["usual"],
                                                            "paper": lambda p: p >= RULES["paper"]}
    tested, parts = pooled[pooled["p"].notna()], []
    for i, strategy in enumerate(tested["strategy"].unique()):
        style, part = style_of(strategy), tested[tested["strategy"] == strategy]
        share = keeps[rule](part["p"]).groupby(part["update"]).mean()
        shifted = share + SHIFT * (i - 1)
        ax.plot(share.index, shifted, linewidth=1.2, markevery=max(1, share.size // 12), markersize=3, **style.line)
        parts.append(pd.DataFrame({"strategy": strategy, "seed": "all", "layer": POOLED, "update": share.index,
                                   "epoch": part.groupby("update")["epoch"].first().to_numpy(),
                                   "value": share.to_numpy()}))
    ax.set_ylim(-0.04, 1.04)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    return pd.concat(parts, ignore_index=True)


def _seeds(ax: Axes, part: pd.DataFrame, column: str) -> None:
    for i, strategy in enumerate(part["strategy"].unique()):
        style, curves = style_of(strategy), _curves(part, strategy, column, "update")
        shift = SHIFT * (i - 1) if column.startswith("p") else 0
        for seed in curves.columns:
            ax.plot(curves.index, curves[seed] + shift, color=style.colour, linewidth=0.9, alpha=0.75, markersize=3,
                    marker="." if len(curves) < FEW_TIMES else "")


def _curves(part: pd.DataFrame, strategy: str, column: str, time: str = "epoch") -> pd.DataFrame:
    """[times, seeds]; times at which any seed has no value are left out."""
    return part[part["strategy"] == strategy].pivot(index=time, columns="seed", values=column).dropna()


def _n(part: pd.DataFrame, strategy: str) -> int:
    return int(part.loc[part["strategy"] == strategy, "seed"].nunique())


def _name_peak(ax: Axes, rows: list[pd.DataFrame]) -> None:
    peak = max((frame.loc[frame["mean"].idxmax()] for frame in rows if frame["quantity"].iloc[0] == "p"),
               key=lambda row: row["mean"])
    ax.annotate(f"highest mean: {peak['mean']:.2f},\n{style_of(peak['strategy']).label}, epoch {peak['epoch']:.1f}",
                (peak["epoch"], peak["mean"]), (0.45, 0.6), textcoords="axes fraction", va="center", fontsize=8,
                arrowprops={"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 2, "shrinkB": 2})


def _p_axis(ax: Axes) -> None:
    for rule, level in RULES.items():
        ax.axhline(level, color=GREY, linewidth=1, linestyle=RULE_LINES[rule], zorder=1)
    ax.set_ylim(-0.03, 1.03)


def _rule_handles() -> list[Line2D]:
    return [Line2D([], [], color=GREY, linewidth=1, linestyle=RULE_LINES[rule], label=RULE_NAMES[rule])
            for rule in RULES]


def _log_axis(ax: Axes, last: int) -> None:
    ax.set_xscale("symlog", linthresh=1, linscale=0.5)
    ax.set_xlim(0, last)
    ax.set_xticks([0, *(10**i for i in range(len(str(last)))), last])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda time, _: f"{time:.0f}"))


def _legend(fig: Figure, handles: list[Any]) -> None:
    fig.legend(handles=handles, loc="outside lower center", ncols=2)


POWER_LAW = "power law"
# Lightness falls from one to the next, and a line parts them, so that they can be told apart without colour too.
COLOURS = {POWER_LAW: "#000000", "truncated power law": "#882255", "log-normal": "#CC6677",
           "stretched exponential": "#88CCEE", "exponential": "#332288", "negative binomial": "#DDCC77",
           "Poisson": "#DDDDDD"}
HATCHES = {"stretched exponential": "....", "exponential": "////", "negative binomial": "xxxx"}
RATIOS = ("log-normal", "truncated power law")


def winners(series: pd.DataFrame, periods: int = 12) -> pd.DataFrame:
    """Share of time points at which each law has the smallest AIC, by strategy, layer and period of training.

    Periods hold equally many of the table's times. Columns: strategy, layer, epoch (the middle of the period), law,
    share, time points (runs times updates).
    """
    tested = series[series["best"].notna()].copy()
    times, place = np.unique(tested["epoch"], return_inverse=True)
    periods = min(periods, times.size)
    tested["epoch"] = (place * periods // times.size + 0.5) * times[-1] / periods
    counts = tested.groupby(["strategy", "layer", "epoch", "best"], sort=False).size().rename("n").reset_index()
    total = counts.groupby(["strategy", "layer", "epoch"])["n"].transform("sum")
    return counts.assign(share=counts["n"] / total, total=total).drop(columns="n").rename(
        columns={"best": "law", "total": "time points"}).sort_values(["strategy", "layer", "epoch"], ignore_index=True)


def decided(series: pd.DataFrame, law: str) -> pd.DataFrame:
    """How often the likelihood ratio decides between the power law and `law` at p < 0.1, as fractions of time points.

    Columns: strategy, layer, power law, other, undecided.
    """
    tested = series[series[f"ratio {law}"].notna()]
    clear = tested[f"p {law}"] < SIGNIFICANT
    ours = clear & (tested[f"ratio {law}"] > 0)
    theirs = clear & (tested[f"ratio {law}"] < 0)
    keys = [tested["strategy"], tested["layer"]]
    frame = pd.DataFrame({POWER_LAW: ours.groupby(keys, sort=False).mean(),
                          "other": theirs.groupby(keys, sort=False).mean()})
    return frame.assign(undecided=1 - frame.sum(axis=1)).reset_index()


def winners_figure(series: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Above, a panel for each strategy: how often each law wins by AIC, seeds and updates of a period together.

    Below: log-likelihood of the power law minus that of the log-normal (left) and the truncated power law (right), per
    neuron of the tail, mean and band over seeds; below 0 the power law is the worse description. These begin after the
    first update: before training the ratios are many times as large. All hidden neurons.
    Frame: panel, strategy, epoch, law, value, sd.
    """
    pooled = series[series["layer"] == POOLED]
    strategies = list(pooled["strategy"].unique())
    fig = plt.figure(figsize=(7, 5.8))
    above, below = np.ravel(fig.subfigures(2, 1, squeeze=False, height_ratios=(1.15, 1)))
    top = above.subplots(1, len(strategies), sharey=True, squeeze=False)[0]
    shares, rows = winners(pooled), []
    for ax, strategy in zip(top, strategies, strict=True):
        part = shares[shares["strategy"] == strategy]
        table = part.pivot(index="epoch", columns="law", values="share").fillna(0.0)
        floor, width = np.zeros(len(table)), 0.96 * np.diff(table.index).min() if len(table) > 1 else 1.0
        for law in (name for name in COLOURS if name in table):
            ax.bar(table.index, table[law], width, bottom=floor, color=COLOURS[law], hatch=HATCHES.get(law),
                   edgecolor="white", linewidth=0.5)
            floor = floor + table[law].to_numpy()
        ax.set(title=style_of(strategy).label, xlabel="epoch", ylim=(0, 1), xlim=(0, pooled["epoch"].max()))
        rows.append(part.rename(columns={"share": "value"}).assign(panel="share", sd=np.nan))
    top[0].set_ylabel("share of time points won (AIC)")
    top[0].yaxis.set_major_formatter(PercentFormatter(1))
    seen = set(shares["law"])
    handles = [plt.Rectangle((0, 0), 1, 1, facecolor=COLOURS[law], hatch=HATCHES.get(law), edgecolor="white", label=law)
               for law in COLOURS if law in seen or law == POWER_LAW]
    above.legend(handles=handles, loc="outside lower center", ncols=4)
    bottom = below.subplots(1, len(RATIOS), sharex=True)
    for ax, law in zip(bottom, RATIOS, strict=True):
        for strategy in strategies:
            part = pooled[(pooled["strategy"] == strategy) & (pooled["update"] > 0)]
            per_neuron = part.assign(value=part[f"ratio {law}"] / part["n_tail"])
            curves = per_neuron.pivot(index="epoch", columns="seed", values="value").dropna()
            seed_band(ax, curves.index, curves.to_numpy().T, strategy)
            rows.append(pd.DataFrame({"panel": "ratio", "strategy": strategy, "epoch": curves.index, "law": law,
                                      "value": curves.mean(axis=1), "sd": curves.std(axis=1, ddof=1)}))
        ax.axhline(0, color="#000000", linewidth=0.8)
        ax.set(title=f"power law against {law}", xlabel="epoch", xlim=(0, pooled["epoch"].max()))
    bottom[0].set_ylabel("log-likelihood ratio per neuron")
    below.legend(*bottom[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(strategies))
    plt.close(fig)
    columns = ["panel", "strategy", "epoch", "law", "value", "sd"]
    return fig, pd.concat([part[columns] for part in rows], ignore_index=True)


assert set(COLOURS) == {POWER_LAW, *NAMES}
