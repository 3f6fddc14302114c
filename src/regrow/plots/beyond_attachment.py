"""Figures B1 to B3: who gains connections, who loses them, and who wins, by degree (beyond Section 5.4)."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regrow import style
from regrow.beyond.attachment import KINDS, exponent
from regrow.beyond.pooling import BLOCK, pooled
from regrow.study import STRATEGIES

# (layer, side) and what a panel calls it: the degrees that the layer's own updates change.
GROUPS = {("fc1", "in"): "hidden 1, in", ("fc2", "in"): "hidden 2, in", ("fc1", "out"): "input, out",
          ("fc2", "out"): "hidden 1, out"}
WIDEST = 1.0  # points with wider intervals are left out of Figure B2: at the end hardly a connection moves
MIN_EVENTS = 30  # bins with fewer expected events are left out of plots, not of fits
PHASE_NAMES = {"early": "2-10 % of the updates", "late": "second half"}


def by_degree(kernel: pd.DataFrame) -> pd.DataFrame:
    """The kernel tables of all seeds added up, with what the plots show of every bin.

    Columns beside phase, layer, side, strategy: k (mean degree), for each kind the ratio to chance (`attachment_ratio`)
    and its 95 % interval from the scatter of updates (_low, _high), for attachment and pruning also events per neuron
    and update, and net (their difference); `seeds`.
    """
    keys = ["strategy", "layer", "side", "phase", "low", "high"]
    kernel = kernel.assign(**{f"{kind}_error": kernel[f"{kind}_error"] ** 2 for kind in KINDS})
    sums = kernel.drop(columns=["nodes"]).groupby(keys, sort=True).sum(numeric_only=True).drop(columns="seed")
    table = sums.reset_index()
    table["k"] = table["degree"] / table["neurons"]
    for kind in KINDS:
        chance = table[f"{kind}_chance"].where(table[f"{kind}_chance"] > 0)
        ratio, error = table[kind] / chance, 1.96 * np.sqrt(table[f"{kind}_error"]) / chance
        table = table.assign(**{f"{kind}_ratio": ratio, f"{kind}_low": ratio - error, f"{kind}_high": ratio + error})
    table["net"] = (table["attachment"] - table["pruning"]) / table["neurons"]
    table["seeds"] = kernel["seed"].nunique()
    return table


def figure_b1(kernel: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """The attachment kernel: gains over what chance would give against degree, a column per group, a row per phase.

    Bars are 95 % intervals from the scatter of updates. The frame is that of by_degree, of the two phases.
    """
    table = by_degree(kernel)
    table = table[table["phase"].isin(PHASE_NAMES) & (table["low"] > 0)].reset_index(drop=True)
    fig, axes = plt.subplots(2, 4, figsize=(7, 4.3), sharex="col", sharey=True)
    for row, phase in zip(axes, PHASE_NAMES, strict=True):
        for ax, (group, title) in zip(row, GROUPS.items(), strict=True):
            panel = _of(table, group, phase)
            _curves(ax, panel, "attachment")
            _linear(ax, panel)
            if phase == "early":
                ax.set_title(title)
        row[0].set_ylabel(f"{PHASE_NAMES[phase]}\ngains / chance")
    axes[0, 0].set(xscale="log", yscale="log", ylim=(0.02, 30))
    for ax in axes[0]:
        ax.set_xscale("log")
    fig.supxlabel("connections $k$ before the update", fontsize=9)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return fig, table


def pooled_exponents(exponents: pd.DataFrame, kinds: tuple[str, ...] = KINDS) -> pd.DataFrame:
    """Every exponent of every group and phase with a 95 % bootstrap interval over seeds and blocks of updates.

    Columns: layer, side, group, phase, strategy, kind, value, low, high, seeds.
    """
    rows = []
    last = exponents["step"].max()
    part = exponents["step"] / last
    phases = {"first update": exponents["step"] == exponents["step"].min(), "early": part <= 0.1,
              "middle": (part > 0.1) & (part <= 0.5), "late": part > 0.5}
    phases["early"] &= ~phases["first update"]
    for (layer, side), group in GROUPS.items():
        for phase, when in phases.items():
            chosen = exponents[when & (exponents["layer"] == layer) & (exponents["side"] == side)]
            for strategy in _present(exponents):
                of = chosen[chosen["strategy"] == strategy]
                for kind in kinds:
                    found = pooled(of, kind, f"{kind}_information", draws=1000)
                    rows.append({"layer": layer, "side": side, "group": group, "phase": phase, "strategy": strategy,
                                 "kind": kind, "value": found.value, "low": found.low, "high": found.high,
                                 "seeds": found.seeds})
    return pd.DataFrame(rows)


def slopes(kernel: pd.DataFrame) -> pd.DataFrame:
    """The attachment exponent below and above the mean degree, from the bins: equal if the kernel is a power law.

    Columns: layer, side, phase, strategy, below, above. Seeds are added up; nan where a half has one bin only.
    """
    table = by_degree(kernel)
    rows = []
    for (layer, side, phase, strategy), bins in table.groupby(["layer", "side", "phase", "strategy"], sort=False):
        if (layer, side) in GROUPS:
            mean = bins["degree"].sum() / bins["neurons"].sum()
            halves = {"below": bins[bins["k"] <= mean], "above": bins[bins["k"] > mean]}
            rows.append({"layer": layer, "side": side, "phase": phase, "strategy": strategy}
                        | {name: exponent(half["attachment"], half["attachment_chance"], half["k"]).value
                           for name, half in halves.items()})
    return pd.DataFrame(rows)


def figure_b2(exponents: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Exponents over training: of attachment (upper row) and of attachment that lasts (lower), a column per group.

    A point is a block of successive updates, seeds pooled; the band is its 95 % bootstrap interval. The frame has a row
    per point.
    """
    rows = []
    for (layer, side), _ in GROUPS.items():
        group = exponents[(exponents["layer"] == layer) & (exponents["side"] == side)]
        order = group["step"].rank(method="dense").astype(int) - 1
        for strategy in _present(exponents):
            mine = group[group["strategy"] == strategy]
            for _, block in mine.groupby(order[mine.index] // BLOCK):
                for kind in ("attachment", "lasting"):
                    found = pooled(block.assign(step=block["step"]), kind, f"{kind}_information", draws=300, block=1)
                    rows.append({"strategy": strategy, "layer": layer, "side": side, "kind": kind,
                                 "epoch": block["epoch"].mean(), "value": found.value, "low": found.low,
                                 "high": found.high, "seeds": found.seeds})
    frame = pd.DataFrame(rows)
    fig, axes = plt.subplots(2, 4, figsize=(7, 4.2), sharex=True, sharey="row")
    labels = {"attachment": "$\\beta$ of all gains", "lasting": "$\\beta$ of gains that\noutlive the next pruning"}
    for row, kind in zip(axes, labels, strict=True):
        for ax, (group_key, title) in zip(row, GROUPS.items(), strict=True):
            panel = frame[(frame["layer"] == group_key[0]) & (frame["side"] == group_key[1]) & (frame["kind"] == kind)]
            ax.axhline(1, color="#595959", linestyle=(0, (4, 3)), linewidth=1, label="linear: power law")
            ax.axhline(0, color="#595959", linewidth=0.8)
            for strategy in _present(exponents):
                line = panel[(panel["strategy"] == strategy) & (panel["high"] - panel["low"] < WIDEST)]
                how = style.style_of(strategy)
                ax.fill_between(line["epoch"], line["low"], line["high"], color=how.colour, alpha=0.2, linewidth=0)
                ax.plot(line["epoch"], line["value"], label=_label(exponents, strategy), markevery=6, markersize=4,
                        **how.line)
            if kind == "attachment":
                ax.set_title(title)
        row[0].set_ylabel(labels[kind])
    seen = frame[frame["high"] - frame["low"] < WIDEST]
    for row, kind in zip(axes, labels, strict=True):
        row[0].set_ylim(-0.3, min(5.0, 0.3 + seen.loc[seen["kind"] == kind, "high"].max()))
    fig.supxlabel("epoch", fontsize=9)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return fig, frame


def figure_b3(kernel: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Who loses and who wins, by in-degree, from the second update on: per hidden layer, the chance to lose a
    connection relative to the layer's mean, the same for connections one update old, and gains less losses.

    The frame is that of by_degree with all phases but the first update added up.
    """
    later = kernel[(kernel["phase"] != "first update") & (kernel["side"] == "in")]
    table = by_degree(later.assign(phase="all later"))
    table = table[(table["low"] > 0) & table["layer"].isin(("fc1", "fc2"))].reset_index(drop=True)
    fig, axes = plt.subplots(2, 3, figsize=(7, 4.4), sharex="row")
    heads = {"pruning": "loss per connection", "infancy": "loss per new connection", "net": "net gain per update"}
    for row, layer in zip(axes, ("fc1", "fc2"), strict=True):
        panel = table[table["layer"] == layer]
        for ax, (kind, title) in zip(row, heads.items(), strict=True):
            if kind == "net":
                for strategy in _present(kernel):
                    line = panel[(panel["strategy"] == strategy) & (panel["neurons"] >= MIN_EVENTS)]
                    ax.plot(line["k"], line["net"], label=_label(kernel, strategy), markersize=3.5,
                            **style.style_of(strategy).line)
                ax.axhline(0, color="#595959", linewidth=0.8)
                ax.set_yscale("symlog", linthresh=1)
                ax.set_ylabel("connections per neuron")
            else:
                _curves(ax, panel, kind)
                ax.axhline(1, color="#595959", linewidth=0.8)
                if kind == "pruning":
                    ax.set_yscale("log")
                    _plain_ticks(ax)
            ax.set_xscale("log")
            if layer == "fc1":
                ax.set_title(title)
        row[0].set_ylabel(f"{GROUPS[layer, 'in'].split(',')[0]}\nrelative to all")
    fig.supxlabel("in-degree $k$ before the update", fontsize=9)
    handles, labels = axes[0, 2].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=3)
    return fig, table


def _of(table: pd.DataFrame, group: tuple[str, str], phase: str) -> pd.DataFrame:
    return table[(table["layer"] == group[0]) & (table["side"] == group[1]) & (table["phase"] == phase)]


def _present(frame: pd.DataFrame) -> list[str]:
    return [strategy for strategy in STRATEGIES if strategy in set(frame["strategy"])]


def _label(frame: pd.DataFrame, strategy: str) -> str:
    seeds = frame.loc[frame["strategy"] == strategy, "seed"].nunique()
    return f"{style.style_of(strategy).label} (N={seeds})"


def _curves(ax: Axes, panel: pd.DataFrame, kind: str) -> None:
    """Ratio to chance against degree, a line per strategy with 95 % bars."""
    for strategy in [s for s in STRATEGIES if s in set(panel["strategy"])]:
        line = panel[(panel["strategy"] == strategy) & (panel[f"{kind}_chance"] >= MIN_EVENTS)]
        how = style.style_of(strategy)
        value, least = line[f"{kind}_ratio"], 1e-3
        bars = [value - line[f"{kind}_low"].clip(lower=least), line[f"{kind}_high"] - value]
        ax.errorbar(line["k"], value.clip(lower=least), yerr=np.clip(bars, 0, None), markersize=3.5, elinewidth=0.8,
                    label=f"{how.label} (N={panel['seeds'].iloc[0]})", **how.line)


def _linear(ax: Axes, panel: pd.DataFrame) -> None:
    """Chance, and a line of slope one through the mean degree."""
    ax.axhline(1, color="#595959", linewidth=0.8)
    mean = panel["degree"].sum() / panel["neurons"].sum()
    k = np.array([panel["k"].min(), panel["k"].max()])
    ax.plot(k, k / mean, color="#595959", linestyle=(0, (4, 3)), linewidth=1, label="slope 1")


def _plain_ticks(ax: Axes) -> None:
    """0.3, 1, 3 instead of powers of ten with many minor labels."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    ax.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 3)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
