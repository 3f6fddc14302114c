"""Figures B1 to B6 and B22: what watched runs show (beyond the paper's Section 5.4).

B1 to B3: who gains connections, who loses them, and who wins, by degree; B22: who keeps them, by k-shell. B4 to B6:
dormancy by activation and by degree, and what degree says of activity.
"""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from regrow_companion import style
from regrow_companion.section8.nb18_attachment import BLOCK, KINDS, exponent, later_incoming, pooled
from regrow_companion.study import STRATEGIES
from regrow_companion.style import Style

# (layer, side) and what a panel calls it: the degrees that the layer's own updates change.
GROUPS = {("fc1", "in"): "hidden 1, in", ("fc2", "in"): "hidden 2, in", ("fc1", "out"): "input, out",
          ("fc2", "out"): "hidden 1, out"}
WIDEST = 1.0  # points with wider intervals are left out of Figure B2: at the end hardly a connection moves
FEWEST_KEPT = 1000  # connections over all updates without which Figure B22 says nothing of a tenth
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
            for strategy in present(exponents):
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
        for strategy in present(exponents):
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
            for strategy in present(exponents):
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
                for strategy in present(kernel):
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


def kept_by_shell(shells: pd.DataFrame) -> pd.DataFrame:
    """Incoming connections that an update leaves, percent, all updates after the first; a row per strategy, seed, nodes
    and tenth of the network's highest shell (10: the core) whose neurons have had FEWEST_KEPT in all."""
    points = later_incoming(shells).groupby(["strategy", "seed", "nodes", "tenth"])
    sums = points[["kept", "degree"]].sum().reset_index()
    sums["percent"] = 100 * sums["kept"] / sums["degree"].where(sums["degree"] >= FEWEST_KEPT)
    return sums.dropna(subset="percent").reset_index(drop=True)


def figure_b22(shells: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Connections that an update leaves by the k-shell of their neuron, a panel per hidden layer, a line per growth
    rule; bands are one standard deviation over seeds. The frame is that of kept_by_shell."""
    frame = kept_by_shell(shells)
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.0), sharex=True, sharey=True)
    for ax, letter, nodes in zip(axes, "ab", LAYERS, strict=True):
        for rule in present(frame):
            panel = frame[(frame["strategy"] == rule) & (frame["nodes"] == nodes)]
            style.seed_lines(ax, panel, "tenth", "percent", rule, markevery=1)
        ax.set(title=f"({letter}) {nodes}", xlabel="shell, share of the highest", xticks=range(0, 11, 2), ylim=(0, 100),
               xticklabels=["0", "0.2", "0.4", "0.6", "0.8", "core"])
    axes[0].set_ylabel("left by an update (% of\nincoming connections)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig, frame


def _of(table: pd.DataFrame, group: tuple[str, str], phase: str) -> pd.DataFrame:
    return table[(table["layer"] == group[0]) & (table["side"] == group[1]) & (table["phase"] == phase)]


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
    ax.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 3)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


LAYERS = ("hidden 1", "hidden 2")
TAU = 0.025
LAYER_COLOURS = {"hidden 1": "#0072B2", "hidden 2": "#E69F00"}
# What Figure B4 counts, and how.
SENSES = {"low": Style("#D55E00", "", "-", "by degree"),
          f"score_{TAU:g}": Style("#0072B2", "", "-", f"by activation, τ = {TAU:g}"),
          f"both_{TAU:g}": Style("#000000", "", (0, (1, 1.2)), "in both senses"),
          "constant": Style("#009E73", "", (0, (5, 2)), "same output always")}


def figure_b4(moments: pd.DataFrame, low: int, thresholds: str) -> tuple[Figure, pd.DataFrame]:
    """Dormant neurons over training in both senses: percent of a layer, a column per growth rule, a row per layer.

    Lines are means over seeds, bands one standard deviation; `low` and `thresholds` (a sentence) say what few
    connections are. The frame is long: strategy, seed, nodes, epoch, sense, percent.
    """
    frame = moments.melt(id_vars=["strategy", "seed", "nodes", "epoch", "neurons"], value_vars=list(SENSES),
                         var_name="sense", value_name="count")
    frame["percent"] = 100 * frame.pop("count") / frame["neurons"]
    rules = present(moments)
    fig, axes = plt.subplots(2, len(rules), figsize=(7, 4.2), sharex=True, sharey="row", squeeze=False)
    for row, nodes in zip(axes, LAYERS, strict=True):
        for ax, rule in zip(row, rules, strict=True):
            panel = frame[(frame["strategy"] == rule) & (frame["nodes"] == nodes)]
            for sense, look in SENSES.items():
                style.seed_lines(ax, panel[panel["sense"] == sense], "epoch", "percent", look, label=look.label)
            if nodes == LAYERS[0]:
                ax.set_title(f"{style.style_of(rule).label} (N={panel['seed'].nunique()})")
        row[0].set_ylabel(f"{nodes}\nneurons (%)")
        row[0].set_ylim(bottom=0)
    sentence = f"By degree: {low} connections or fewer ({thresholds})."
    fig.supxlabel("epoch\n" + textwrap.fill(sentence, 110), fontsize=8)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return fig, frame


def figure_b5(neurons: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Every hidden neuron at a quarter of training: activation score (upper row) and gradient (lower row) against
    degree, a column per growth rule; of its first seed, for dots of several would hide each other.

    Gradients are root mean squares over all places of a neuron's row of weights. What is smaller than the axes show, 0
    included, lies at their edge. The frame has a row per neuron.
    """
    first, seeds = neurons["epoch"].min(), neurons.groupby("strategy")["seed"].transform("min")
    frame = neurons.loc[(neurons["epoch"] == first) & (neurons["seed"] == seeds),
                        ["strategy", "seed", "nodes", "epoch", "neuron", "degree", "score", "gradient"]]
    frame = frame.reset_index(drop=True)
    rules = present(frame)
    fig, axes = plt.subplots(2, len(rules), figsize=(7, 4.4), sharex=True, sharey="row", squeeze=False)
    for row, (value, label) in zip(axes, {"score": "activation score", "gradient": "gradient (RMS)"}.items(),
                                   strict=True):
        floor = max(frame.loc[frame[value] > 0, value].quantile(0.01), 1e-4 if value == "score" else 0.0)
        for ax, rule in zip(row, rules, strict=True):
            for nodes in LAYERS:
                dots = frame[(frame["strategy"] == rule) & (frame["nodes"] == nodes)]
                ax.scatter(np.maximum(dots["degree"], 0.7), np.maximum(dots[value], floor), s=4, alpha=0.35,
                           linewidths=0, color=LAYER_COLOURS[nodes], marker="o" if nodes == LAYERS[0] else "^",
                           label=nodes, rasterized=True)
            ax.set(xscale="log", yscale="log")
            if value == "score":
                ax.axhline(TAU, color="#595959", linestyle=(0, (4, 3)), linewidth=1, label=f"τ = {TAU:g}")
                ax.set_title(f"{style.style_of(rule).label} (seed {dots['seed'].iloc[0]})")
        row[0].set_ylabel(label)
    fig.supxlabel(f"connections of a neuron at epoch {first:.0f} (0 is drawn at the edge, on both axes)", fontsize=9)
    legend = fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    return fig, frame


CORRELATIONS = {"degree_score": "degree with\nactivation score",
                "degree_update": "degree with gradient\nof a connection",
                "grown_in_degree_given_score": "gains with degree,\nactivation held fixed",
                "grown_score_given_in_degree": "gains with activation,\ndegree held fixed"}


def figure_b6(moments: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Rank correlations over training, a column each, a row per layer: what degree says of activity, and which of the
    two says more about the connections that an update adds.

    Lines are means over seeds, bands one standard deviation. The frame is long.
    """
    frame = moments.melt(id_vars=["strategy", "seed", "nodes", "epoch", "neurons"], value_vars=list(CORRELATIONS),
                         var_name="pair", value_name="rho").dropna(subset="rho")
    fig, axes = plt.subplots(2, len(CORRELATIONS), figsize=(7, 4.4), sharex=True, sharey=True)
    for row, nodes in zip(axes, LAYERS, strict=True):
        for ax, (pair, label) in zip(row, CORRELATIONS.items(), strict=True):
            for rule in present(moments):
                some = frame[(frame["strategy"] == rule) & (frame["nodes"] == nodes) & (frame["pair"] == pair)]
                style.seed_lines(ax, some, "epoch", "rho", rule, markersize=3.5, markevery=1)
            ax.axhline(0, color="#595959", linewidth=0.8)
            if nodes == LAYERS[0]:
                ax.set_title(label, fontsize=8.5)
        row[0].set_ylabel(f"{nodes}\nSpearman's ρ")
    axes[0, 0].set_ylim(-0.4, 1.02)
    fig.supxlabel("epoch", fontsize=9)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig, frame


def dormant_shares(moments: pd.DataFrame) -> pd.DataFrame:
    """At the end, per rule and layer: percent dormant by degree, by activation, in both senses; of those dormant by
    degree the percent that is still active; Spearman's rho of degree and score. Means over seeds."""
    last = moments[moments["epoch"] == moments["epoch"].max()]
    rows = []
    for (rule, nodes), group in last.groupby(["strategy", "nodes"], sort=False):
        total, low, both = (group[name].sum() for name in ("neurons", "low", f"both_{TAU:g}"))
        rows.append({"strategy": rule, "layer": nodes, "seeds": len(group), "by degree (%)": 100 * low / total,
                     "by activation (%)": 100 * group[f"score_{TAU:g}"].sum() / total,
                     "in both senses (%)": 100 * both / total,
                     "few connections yet active (%)": 100 * (1 - both / low) if low else np.nan,
                     "rho of degree and score": group["degree_score"].mean()})
    return pd.DataFrame(rows)


def present(frame: pd.DataFrame) -> list[str]:
    """The growth rules of a frame in their usual order."""
    return [rule for rule in STRATEGIES if rule in set(frame["strategy"])]
