"""`python -m regrow beyond layers`: networks whose layers trade connections, and networks that grow (Section 8).

The paper keeps the number of connections of every layer and the neurons as they are. Here each growth rule trains the
same MLP in four kinds: fixed (the paper's, as control), by momentum and by magnitude, and growing; `nb22_engines` has
the rules. Is attachment preferential there too, and is it linear? Figures B14 to B16 show layers that trade
connections, attachment there, and networks that grow.

The paper profile is the paper's MLP and data for 30 epochs instead of 300, with two seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike, NDArray

from regrow import data, provenance, schedule
from regrow.config import RunConfig, nearest
from regrow.cost import total_steps
from regrow.errors import ConfigError
from regrow.metrics import dormant_counts, total_degrees
from regrow.record import Record
from regrow_companion import study, style
from regrow_companion.section8 import nb18_attachment as attachment
from regrow_companion.section8.cases import Case, Experiment, Tables, Tell
from regrow_companion.section8.nb18_attachment import pooled
from regrow_companion.section8.nb18_plots import GROUPS
from regrow_companion.section8.nb22_engines import (
    GrowingEngine,
    MagnitudeEngine,
    MomentumEngine,
    births,
    expected_degree,
)
from regrow_companion.section8.watched import Watched, WatchedEngine, observe
from regrow_companion.study import STRATEGIES

ENGINES: dict[str, type[WatchedEngine]] = {"fixed": WatchedEngine, "momentum": MomentumEngine,
                                           "magnitude": MagnitudeEngine, "growing": GrowingEngine}
NAMES = {"fixed": "fixed layers", "momentum": "traded by momentum", "magnitude": "traded by magnitude",
         "growing": "neurons are born"}
TABLES = ("exponents", "layers", "ages", "accuracy")
SEEDS = {"quick": (0,), "paper": (0, 1)}
SETTINGS: dict[str, dict[str, Any]] = {"quick": study.QUICK_MLP | {"epochs": 10}, "paper": study.SHORT}


@dataclass(frozen=True)
class LayersCase(Case):
    """One run in one of the kinds. Raises ConfigError for a kind that does not exist."""

    kind: str

    def __post_init__(self) -> None:
        if self.kind not in ENGINES:
            raise ConfigError(f"There is no kind {self.kind!r}{nearest(self.kind, ENGINES)}.")

    @property
    def labels(self) -> dict[str, Any]:
        return {"kind": self.kind, "strategy": self.run.method, "seed": self.run.seed}


def planned(profile: str) -> list[LayersCase]:
    """Every kind with every growth rule, seed by seed; random growth has no momentum to redistribute by."""
    return [LayersCase(RunConfig(**SETTINGS[profile], grow=grow, seed=seed), kind) for seed in SEEDS[profile]
            for kind in ENGINES for grow in study.STRATEGIES if (kind, grow) != ("momentum", "random")]


def perform(case: LayersCase, root: Path | None, tell: Tell) -> tuple[Tables, dict[str, Any]]:
    """Train and watch one case."""
    run = case.run
    images = data.load_for(run, root=root)
    made = provenance.of_run(device="cpu", engine="sparse", threads=1, data_sha256=images.sha256)
    record, seen = observe(run, images, engine=ENGINES[case.kind], progress=tell, provenance=made)
    return tables(case, record, seen), seen.provenance


def tables(case: LayersCase, record: Record, seen: Watched) -> Tables:
    """What is kept of a case.

    exponents is that of attachment.exponents; see `over_time` and `ages` for layers and ages; accuracy is one row:
    validation and test, percent at the end.
    """
    born = birth_updates(case, record)
    accuracy = pd.DataFrame({"validation": record.val_accuracy[-1:], "test": record.test_accuracy[-1:]})
    places = born_places(record, born) if case.kind == "growing" else None
    return {"exponents": attachment.exponents(seen, places), "layers": over_time(record, born),
            "ages": ages(record, born), "accuracy": accuracy}


def birth_updates(case: LayersCase, record: Record) -> dict[str, NDArray[np.intp]]:
    """The update at which each neuron above a layer was born, [n_out]; 0 is before training."""
    total = case.run.epochs * record.steps_per_epoch
    updates = schedule.update_steps(case.run, total)
    born = {name: np.zeros(shape[0], np.intp) for name, shape in record.shapes.items()}
    if case.kind == "growing":
        born |= {name: births(len(born[name]), updates, total) for name in record.layers[:-1]}
    return born


def born_places(record: Record, born: dict[str, NDArray[np.intp]]) -> dict[tuple[str, str], ArrayLike]:
    """Places beside a neuron on either side of each layer, [U, 1]: the neurons that are born there at each update."""
    updates = np.arange(1, len(record.steps))[:, None]
    places: dict[tuple[str, str], ArrayLike] = {}
    below: ArrayLike = next(iter(record.shapes.values()))[1]
    for name in record.layers:
        above = (born[name] <= updates).sum(axis=1, keepdims=True)
        places |= {(name, "in"): below, (name, "out"): above}
        below = above
    return places


def over_time(record: Record, born: dict[str, NDArray[np.intp]]) -> pd.DataFrame:
    """Each layer before training and after every update, and the neurons above it.

    Columns: step, epoch, layer, connections, density (of all its places), nodes, neurons (born until then), low and
    dormant (how many of them have a total degree of at most the low threshold of the paper, scaled), largest (degree).
    """
    low = record.thresholds.low
    degrees = dict(zip(record.layers, total_degrees(record.in_degree, record.out_degree, record.layers)[1:],
                       strict=True))
    rows = []
    for u, step in enumerate(record.steps):
        for name, nodes in _nodes(record).items():
            there, count = degrees[name][u][born[name] <= u], int(record.in_degree[name][u].sum(dtype=np.int64))
            rows.append({"step": int(step), "epoch": step / record.steps_per_epoch, "layer": name,
                         "connections": count, "density": count / prod(record.shapes[name]), "nodes": nodes,
                         "neurons": len(there), "low": low, "dormant": int(dormant_counts(there, low)),
                         "largest": int(there.max())})
    return pd.DataFrame(rows)


def ages(record: Record, born: dict[str, NDArray[np.intp]]) -> pd.DataFrame:
    """Every hidden neuron at the end of training, and when it was born.

    Columns: layer, nodes, neuron, birth (the update, 0 before training), birth_epoch, rank (neurons there were after
    its birth), in_degree, degree (total).
    """
    degrees = total_degrees(record.in_degree, record.out_degree, record.layers)[1:]
    parts = []
    for (name, nodes), degree in zip(list(_nodes(record).items())[:-1], degrees, strict=False):
        birth = born[name]
        parts.append(pd.DataFrame({
            "layer": name, "nodes": nodes, "neuron": np.arange(len(birth)), "birth": birth,
            "birth_epoch": record.epochs_at[birth], "rank": np.searchsorted(birth, birth, side="right"),
            "in_degree": record.in_degree[name][-1], "degree": degree[-1]}))
    return pd.concat(parts, ignore_index=True)


def _nodes(record: Record) -> dict[str, str]:
    """What the neurons above each layer are called."""
    hidden = [f"hidden {i}" for i in range(1, len(record.layers))]
    return dict(zip(record.layers, [*hidden, "output"], strict=True))


EXPERIMENT = Experiment("layers", planned, perform, lambda case: total_steps(case.run), TABLES)


# -------------------------------------------------------------------------------------------------------------- figures


GREY = "#595959"
HALVES = {"first half": "$\\beta$, first half\nof training", "second half": "$\\beta$, second half\nof training"}


def figure_b14(layers: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Connections of each layer over training: a column per kind, a row per layer that changes in any.

    Bands are one standard deviation over seeds. The frame is long: kind, strategy, seed, layer, epoch, connections,
    density (of the layer's places), of all layers.
    """
    changes = layers.groupby("layer")["connections"].nunique()
    rows = [layer for layer in changes.index if changes[layer] > 1] or [str(changes.index[0])]
    kinds = _kinds(layers)
    fig, axes = plt.subplots(len(rows), len(kinds), figsize=(7, 1.1 + 1.35 * len(rows)), sharex=True, sharey="row",
                             squeeze=False)
    for panels, layer in zip(axes, rows, strict=True):
        for ax, kind in zip(panels, kinds, strict=True):
            mine = layers[(layers["layer"] == layer) & (layers["kind"] == kind)]
            mine = mine.assign(connections=mine["connections"] / 1000)
            for strategy in _strategies(mine):
                style.seed_lines(ax, mine[mine["strategy"] == strategy], "epoch", "connections", strategy)
            if layer == rows[0]:
                ax.set_title(NAMES[kind], fontsize=9)
            ax.margins(y=0.15)
        panels[0].set_ylabel(f"{layer}\nconnections (1000)")
    fig.supxlabel("epoch", fontsize=9)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    columns = ["kind", "strategy", "seed", "layer", "epoch", "connections", "density"]
    return fig, layers[columns].reset_index(drop=True)


def attachment_by_kind(exponents: pd.DataFrame) -> pd.DataFrame:
    """The attachment exponent of every kind, rule and group of neurons in either half of training, without the first
    update, which finds the wiring that chance made.

    Columns: kind, strategy, layer, side, group, half, value, and low and high of a 95 % bootstrap interval over seeds
    and blocks of updates, seeds.
    """
    half = np.where(exponents["step"] <= 0.5 * exponents["step"].max(), *HALVES)
    later = exponents.assign(half=half)[exponents["step"] > exponents["step"].min()]
    found = []
    for (kind, strategy, layer, side, half), rows in later.groupby(["kind", "strategy", "layer", "side", "half"],
                                                                   sort=False):
        if (layer, side) in GROUPS:
            beta = pooled(rows, "attachment", "attachment_information", draws=1000, block=4)
            found.append({"kind": kind, "strategy": strategy, "layer": layer, "side": side,
                          "group": GROUPS[layer, side], "half": half, "value": beta.value, "low": beta.low,
                          "high": beta.high, "seeds": beta.seeds})
    return pd.DataFrame(found)


def figure_b15(exponents: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Exponent of attachment by kind: a column per group of neurons, a row per half of training.

    Bars are 95 % intervals, lines stand at 0 (chance) and 1 (linear). The frame is that of attachment_by_kind.
    """
    frame = attachment_by_kind(exponents)
    kinds, strategies = _kinds(frame), _strategies(frame)
    fig, axes = plt.subplots(2, 4, figsize=(7, 4.2), sharex=True, sharey="row")
    for row, half in zip(axes, HALVES, strict=True):
        for ax, (group, title) in zip(row, GROUPS.items(), strict=True):
            ax.axhline(1, color=GREY, linestyle=(0, (4, 3)), linewidth=1, label="linear: power law")
            ax.axhline(0, color=GREY, linewidth=0.8)
            mine = frame[(frame["half"] == half) & (frame["layer"] == group[0]) & (frame["side"] == group[1])]
            for at, strategy in enumerate(strategies):
                points = mine[mine["strategy"] == strategy].dropna(subset="value")
                x = points["kind"].map(kinds.index) + 0.24 * (at - (len(strategies) - 1) / 2)
                how = style.style_of(strategy)
                bars = np.clip([points["value"] - points["low"], points["high"] - points["value"]], 0, None)
                ax.errorbar(x, points["value"], yerr=bars, color=how.colour, marker=how.marker, markersize=4,
                            linestyle="none", elinewidth=1, label=f"{how.label} (N={_seeds(exponents, strategy)})")
            if half == "first half":
                ax.set_title(title)
            ax.set_xticks(range(len(kinds)), kinds, rotation=40, ha="right", rotation_mode="anchor")
            ax.set_xlim(-0.5, len(kinds) - 0.5)
        row[0].set_ylabel(HALVES[half])
    fig.supxlabel("what the layers may do", fontsize=9)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return fig, frame


def cohorts(ages: pd.DataFrame) -> pd.DataFrame:
    """Growing networks at the end: in-degree over the layer's mean, by the update of birth; seeds together.

    Columns: strategy, layer, nodes, birth, birth_epoch, neurons, low, median, high (quartiles), mean, expected
    (growing.expected_degree, for which the time of birth is in neurons and not in updates).
    """
    mine = _relative(ages)
    keys = ["strategy", "layer", "nodes", "birth"]
    cohort = mine.groupby(keys, sort=False)
    table = cohort["relative"].quantile([0.25, 0.5, 0.75]).unstack().set_axis(["low", "median", "high"], axis=1)
    table = table.assign(mean=cohort["relative"].mean(), neurons=cohort.size(), expected=cohort["expected"].mean(),
                         birth_epoch=cohort["birth_epoch"].first()).reset_index()
    return table[[*keys, "birth_epoch", "neurons", "low", "median", "high", "mean", "expected"]]


def figure_b16(ages: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Growing networks: in-degree at the end over the layer's mean against birth, a dot per neuron, a row per layer.

    Points with bars are medians and quartiles of a cohort, diamonds its mean, the dashed line linear attachment.
    Neurons without connections are drawn at half a connection. The frame is that of `cohorts`.
    """
    every, table = _relative(ages), cohorts(ages)
    strategies, nodes = _strategies(table), list(dict.fromkeys(table["nodes"]))
    fig, axes = plt.subplots(len(nodes), len(strategies), figsize=(7, 1 + 1.8 * len(nodes)), sharex=True, sharey=True,
                             squeeze=False)
    for row, layer in zip(axes, nodes, strict=True):
        for ax, strategy in zip(row, strategies, strict=True):
            dots = every[(every["strategy"] == strategy) & (every["nodes"] == layer)]
            bars = table[(table["strategy"] == strategy) & (table["nodes"] == layer)]
            _cohorts(ax, dots, bars, strategy)
            if layer == nodes[0]:
                seeds = dots["seed"].nunique()
                ax.set_title(f"{style.style_of(strategy).label} (N={seeds})")
        row[0].set_ylabel(f"{layer}\nin-degree / mean")
    axes[0, 0].set(yscale="log", ylim=(0.8 * every["shown"].min(), 1.3 * every["shown"].max()))
    axes[0, 0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    fig.supxlabel("birth (epoch); founders at 0", fontsize=9)
    handles = [Line2D([], [], color=GREY, marker=".", linestyle="none", alpha=0.4, label="a neuron"),
               Line2D([], [], color=GREY, marker="o", linestyle="none", label="median, quartiles"),
               Line2D([], [], color=GREY, marker="D", markerfacecolor="white", linestyle="none", label="mean"),
               Line2D([], [], color="#000000", linestyle=(0, (4, 3)), label="linear attachment")]
    fig.legend(handles=handles, loc="outside upper center", ncols=4)
    return fig, table


def _cohorts(ax: Axes, dots: pd.DataFrame, bars: pd.DataFrame, strategy: str) -> None:
    """One panel of Figure B16."""
    how, x = style.style_of(strategy), bars["birth_epoch"]
    width = np.diff(np.sort(x.unique())).min() if len(x.unique()) > 1 else 1.0
    jitter = np.random.default_rng(0).uniform(-0.35, 0.35, len(dots)) * width  # the same in every drawing
    ax.plot(dots["birth_epoch"] + jitter, dots["shown"], ".", color=how.colour, markersize=2.5, alpha=0.35,
            markeredgewidth=0, rasterized=True)  # thousands of neurons a panel
    ax.errorbar(x, bars["median"], yerr=[bars["median"] - bars["low"], bars["high"] - bars["median"]], linestyle="none",
                color=how.colour, marker=how.marker, markersize=4.5, elinewidth=1.2)
    ax.plot(x, bars["mean"], "D", color=how.colour, markerfacecolor="white", markersize=3.5)
    founders, later = bars[bars["birth"] == 0], bars[bars["birth"] > 0].sort_values("birth")
    ax.plot(later["birth_epoch"], later["expected"], color="#000000", linestyle=(0, (4, 3)), linewidth=1)
    ax.plot(founders["birth_epoch"], founders["expected"], "_", color="#000000", markersize=10)
    ax.margins(x=0.04)


def _relative(ages: pd.DataFrame) -> pd.DataFrame:
    """The neurons of growing networks with `relative`, in-degree over the mean of the layer, `shown`, which is that and
    never 0, and what is expected."""
    mine = ages[ages["kind"] == "growing"]
    layer = mine.groupby(["strategy", "seed", "layer"], sort=False)
    mean = layer["in_degree"].transform("mean")
    mine = mine.assign(relative=mine["in_degree"] / mean, shown=mine["in_degree"].clip(lower=0.5) / mean)
    parts = [part.assign(expected=expected_degree(part["rank"].to_numpy(float), int(part["rank"].min()), len(part)))
             for _, part in mine.groupby(["strategy", "seed", "layer"], sort=False)]
    return pd.concat(parts)


def _kinds(frame: pd.DataFrame) -> list[str]:
    return [kind for kind in NAMES if kind in set(frame["kind"])]


def _strategies(frame: pd.DataFrame) -> list[str]:
    return [strategy for strategy in STRATEGIES if strategy in set(frame["strategy"])]


def _seeds(frame: pd.DataFrame, strategy: str) -> int:
    return int(frame.loc[frame["strategy"] == strategy, "seed"].nunique())
