"""Convolutions as graphs: who has how many connections, beside what chance would give (question of Section 8).

A weight [n_out, n_in, h, w] joins input channels to output channels, or, if every position of the kernel is a sender of
its own, n_in * h * w units to output channels. Layers stand by themselves: where shortcuts add up, a channel belongs to
several of them. Layers that are full are left out, as nothing can be rewired there.
Figures B19 and B20 show the wiring of convolutional networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from regrow import metrics
from regrow.config import RunConfig
from regrow.record import Record
from regrow_companion import style
from regrow_companion.paper import MODEL_NAMES
from regrow_companion.section8 import cases, strength
from regrow_companion.section8.cases import Measuring, Performed, labelled
from regrow_companion.session import Session
from regrow_companion.study import SHIPPED, STRATEGIES
from regrow_companion.tail_tables import Settings, one_time_point

LONG, SHORT = NEEDS = ("cnn300", "cnn")
INTO, OUT, UNITS = NODES = ("channels, in", "channels, out", "units, out")
START, END = ENDS = ("start", "end")
ENOUGH = 100  # nodes in a layer, below which its tail is not fitted
N_SETS = 500  # synthetic sets behind a p: its standard error is 0.02 at most, and there are hundreds of layers
RUN = ["key", "model", "strategy", "seed"]
TAIL = ["n_tail", "alpha", "D", "p", "best"]


@dataclass(frozen=True)
class Wiring:
    """Tables of all runs there are; see `table`, `degrees` and `tails` for the columns."""

    nodes: pd.DataFrame
    degrees: pd.DataFrame
    tails: pd.DataFrame
    runs: list[Performed]

    @property
    def end(self) -> pd.DataFrame:
        """The rows of `nodes` after training."""
        return self.nodes[self.nodes["moment"] == self.nodes["moment"].max()]


def units(mask: Any) -> Any:
    """Outgoing connections of every input channel at every kernel position: [n_out, n_in, h, w] -> [n_in * h * w].

    Takes a numpy array or a torch tensor and returns the same kind. The positions of a channel stand side by side.
    """
    return mask.reshape(len(mask), -1).sum(axis=0)


def node_degrees(mask: NDArray[np.bool_]) -> dict[str, NDArray[np.int64]]:
    """Degrees of every kind of NODES in a layer [n_out, n_in, ...]; those of a kind add up to the layer's connections.

    Without units where the kernel has one position, as they are channels, and without a kind of one node, which has
    nobody to differ from.
    """
    found = {INTO: metrics.in_degree(mask), OUT: metrics.out_degree(mask)}
    found |= {UNITS: units(mask)} if prod(mask.shape[2:]) > 1 else {}
    return {nodes: k for nodes, k in found.items() if len(k) > 1}


def places(shape: Sequence[int]) -> dict[str, int]:
    """Possible connections of one node of each kind in a weight [n_out, n_in, ...]."""
    size = prod(shape)
    return {INTO: size // shape[0], OUT: size // shape[1], UNITS: shape[0]}


def chances(shape: Sequence[int], connections: int) -> dict[str, strength.Spread]:
    """Spread of the degrees of each kind if the layer's connections were put on its places at random: the degree of a
    node is hypergeometric. Exact, for any number of connections."""
    return {nodes: strength.expected_spread(strength.hypergeometric(prod(shape), connections, own))
            for nodes, own in places(shape).items()}


def rewired(record: Record) -> list[str]:
    """The layers that have free places."""
    return [layer for layer, shape in record.shapes.items() if record.connections[layer] < prod(shape)]


def table(record: Record) -> pd.DataFrame:
    """How unequal degrees are, a row for each of the six moments, layer and kind of nodes.

    Columns: key, model, strategy, seed, validation % (at the end), moment (0 ... 5), epoch, layer, nodes, n, places
    (possible connections of one node), mean, sd, chance_sd, largest, dead (nodes without connections), gini,
    chance_gini. The sd is that of all nodes there are, not of a sample: their mean is the layer's connections over n
    however they are wired, so random wiring has mean sd ** 2 = chance_sd ** 2 exactly.
    """
    rows = []
    by_chance = {layer: chances(record.shapes[layer], record.connections[layer]) for layer in rewired(record)}
    for number, moment in enumerate(record.moments):
        masks = record.masks(number)
        for layer, chance in by_chance.items():
            for nodes, found in node_degrees(masks[layer]).items():
                rows.append({
                    "validation %": float(record.val_accuracy[-1]), "moment": number, "epoch": moment.epoch,
                    "layer": layer, "nodes": nodes, "n": len(found), "places": places(record.shapes[layer])[nodes],
                    "mean": found.mean(), "sd": found.std(), "chance_sd": chance[nodes].sd,
                    "largest": int(found.max()), "dead": int((found == 0).sum()), "gini": strength.spread(found).gini,
                    "chance_gini": chance[nodes].gini})
    return _labelled(record, pd.DataFrame(rows))


def degrees(record: Record) -> pd.DataFrame:
    """Every node's degree at the start and the end, equal ones of a layer counted together.

    Columns: key, model, strategy, seed, layer, nodes, moment ("start" or "end"), degree, relative degree (over the
    layer's mean, so that layers can be pooled), count.
    """
    rows = []
    for moment, layer, nodes, found in _both_ends(record):
        values, counts = np.unique(found, return_counts=True)
        rows.append(pd.DataFrame({"layer": layer, "nodes": nodes, "moment": moment, "degree": values,
                                  "relative degree": values / found.mean(), "count": counts}))
    return _labelled(record, pd.concat(rows, ignore_index=True))


def tails(record: Record) -> pd.DataFrame:
    """A power law fitted to the tail of every layer with 100 nodes or more of a kind, at the end of training.

    A tail begins at the paper's 110, scaled with the mean degree (metrics.scaled_thresholds). Columns: key, model,
    strategy, seed, layer, nodes, n, xmin, n_tail, alpha, D (Eq. 19), p (Eq. 20, 500 synthetic sets), best (the law of
    largest AIC weight); tails of equal values have n_tail only.
    """
    rows = []
    for moment, layer, nodes, found in _both_ends(record):
        if moment == END and len(found) >= ENOUGH:
            xmin = max(1, metrics.scaled_thresholds(float(found.mean())).high)
            settings = Settings(xmin=xmin, n_sets=N_SETS, matched_n=len(found) + 1)  # cut to no common length
            fit = one_time_point(found, settings, (record.key, f"{layer}, {nodes}", len(record.steps)))
            rows.append({"layer": layer, "nodes": nodes, "n": len(found), "xmin": xmin,
                         **{name: fit.get(name) for name in TAIL}})
    types = {"n": int, "xmin": int, "n_tail": int, "alpha": float, "D": float, "p": float}  # also where there is no row
    return _labelled(record, pd.DataFrame(rows, columns=["layer", "nodes", "n", "xmin", *TAIL]).astype(types))


def between(nodes: pd.DataFrame) -> pd.DataFrame:
    """Share of the variance of the units' degrees that lies between channels, from the rows of `table`.

    A channel's degree is the sum over its h * w units, so the variance of the units is that of channels' degrees over
    (h * w) ** 2 plus that within channels. Columns: key, model, strategy, seed, moment, epoch, layer, share, chance
    (the quotient of the variances expected under random wiring).
    """
    index = [*RUN, "moment", "epoch", "layer"]
    wide = nodes.pivot(index=index, columns="nodes", values=["sd", "chance_sd", "places"]).dropna()
    positions = wide["places", OUT] / wide["places", UNITS]
    shares = {name: (wide[sd, OUT] / (positions * wide[sd, UNITS])) ** 2
              for name, sd in (("share", "sd"), ("chance", "chance_sd"))}
    return pd.DataFrame(shares).astype(float).reset_index()


def ratios(nodes: pd.DataFrame) -> pd.DataFrame:
    """sd over chance_sd, mean over layers, of each run, moment and kind of nodes. Columns: those, and ratio."""
    ratio = nodes.assign(ratio=nodes["sd"] / nodes["chance_sd"])
    return ratio.groupby([*RUN, "moment", "epoch", "nodes"], sort=False)["ratio"].mean().reset_index()


def of(book: Session) -> Wiring:
    """The runs that are there, the long ones first, see `cases.of_need`; `model` tells them apart (`called`)."""
    short = cases.of_need(book, SHORT, KIND, SHIPPED)
    found = [some for some in (cases.if_there(book, LONG, KIND, SHIPPED), short) if some is not None]
    runs = [run for some in found for run in some.runs]
    names = {run.key: called(run.config) for run in runs}
    tables = {name: pd.concat([some[name] for some in found], ignore_index=True) for name in TABLES}
    return Wiring(**{name: frame.assign(model=frame["key"].map(names)) for name, frame in tables.items()}, runs=runs)


def called(config: RunConfig) -> str:
    """What notebook 24 calls a network: by its name and how long it was trained."""
    return f"{MODEL_NAMES[config.model]}, {config.epochs} epochs"


TABLES: dict[str, Callable[[Record], pd.DataFrame]] = {"nodes": table, "degrees": degrees, "tails": tails}
# Shipped records hold the masks of both ends only.
KIND = Measuring(tuple(TABLES), lambda record, usual: {name: measure(record) for name, measure in TABLES.items()},
                 whole=lambda record: len(record.mask_moments) == len(record.moments))


def _labelled(record: Record, frame: pd.DataFrame) -> pd.DataFrame:
    config = record.config
    return labelled(frame, dict(zip(RUN, (record.key, config.model, config.method, config.seed), strict=True)))


def _both_ends(record: Record) -> list[tuple[str, str, str, NDArray[np.int64]]]:
    """(moment, layer, nodes, degrees) before and after training."""
    return [(moment, layer, nodes, found) for moment, number in zip(ENDS, (0, len(record.moments) - 1), strict=True)
            for masks in [record.masks(number)] for layer in rewired(record)
            for nodes, found in node_degrees(masks[layer]).items()]


# -------------------------------------------------------------------------------------------------------------- figures


TITLES = {INTO: "channels, incoming", OUT: "channels, outgoing", UNITS: "units, outgoing"}
GREY = "#8c8c8c"
DASHED = (0, (4, 3))


def figure_b19(nodes: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Standard deviation of degrees over what chance would give, mean over layers, along training: a row per network, a
    column per kind of nodes (units are channels at a position of the kernel); 1 is random wiring.

    `nodes` is that of channels.Wiring. Bands are one standard deviation over seeds. The frame is that of
    channels.ratios.
    """
    frame = ratios(nodes)
    models = list(dict.fromkeys(frame["model"]))
    fig, axes = plt.subplots(len(models), 3, figsize=(7, 0.9 + 1.9 * len(models)), sharey="row", sharex="row",
                             squeeze=False)
    for row, model in zip(axes, models, strict=True):
        for ax, kind in zip(row, NODES, strict=True):
            ax.axhline(1, color=GREY, linewidth=1, linestyle=DASHED)
            mine = frame[(frame["model"] == model) & (frame["nodes"] == kind)]
            for rule in _rules(mine):
                style.seed_lines(ax, mine[mine["strategy"] == rule], "epoch", "ratio", rule)
        row[0].set_ylabel(f"{_named(model, frame)}\nsd / sd by chance")
        row[0].set_ylim(bottom=0)
    _titles(axes[0])
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    chance = Line2D([], [], color=GREY, linewidth=1, linestyle=DASHED, label="random wiring")
    _legend(fig, axes[0, 0], chance)
    return fig, frame


def pooled(degrees: pd.DataFrame) -> pd.DataFrame:
    """Share of nodes with a relative degree as large or larger, layers and seeds together.

    `degrees` is that of channels.Wiring. Columns: model, nodes, moment, strategy ("all" before training, when all are
    wired at random), seeds, relative degree, share.
    """
    parts = []
    named = degrees.assign(strategy=degrees["strategy"].where(degrees["moment"] == END, "all"))
    for (model, nodes, moment, strategy), rows in named.groupby(["model", "nodes", "moment", "strategy"], sort=False):
        counts = rows.groupby("relative degree")["count"].sum()
        larger = counts.to_numpy()[::-1].cumsum()[::-1] / counts.sum()
        parts.append(pd.DataFrame({"model": model, "nodes": nodes, "moment": moment, "strategy": strategy,
                                   "seeds": rows["seed"].nunique(), "relative degree": counts.index, "share": larger}))
    return pd.concat(parts, ignore_index=True)


def figure_b20(degrees: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Share of nodes with a degree over their layer's mean as large or larger, at the end of training, on logarithmic
    axes: a row per network, a column per kind of nodes; grey before training.

    Nodes without connections count and have no place on the axis: curves begin below 1 where there are any. The frame
    is that of `pooled`.
    """
    frame = pooled(degrees)
    models = list(dict.fromkeys(frame["model"]))
    fig, axes = plt.subplots(len(models), 3, figsize=(7, 1.0 + 2.0 * len(models)), sharey="row", sharex="col",
                             squeeze=False)
    for row, model in zip(axes, models, strict=True):
        for ax, kind in zip(row, NODES, strict=True):
            mine = frame[(frame["model"] == model) & (frame["nodes"] == kind) & (frame["relative degree"] > 0)]
            before = mine[mine["moment"] == START]
            ax.plot(before["relative degree"], before["share"], color=GREY, linewidth=2.6, label="before training")
            after = mine[mine["moment"] == END]
            for rule in _rules(after):
                curve, how = after[after["strategy"] == rule], style.style_of(rule)
                marks = _spaced(curve["relative degree"].to_numpy(float))
                ax.plot(curve["relative degree"], curve["share"], **how.line, markersize=3.5, linewidth=1.2,
                        markevery=marks, label=how.label)
            ax.set(xscale="log", yscale="log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=9))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
        row[0].set_ylabel(f"{_named(model, degrees)}\nshare as large or larger")
    _titles(axes[0])
    for ax in axes[-1]:
        ax.set_xlabel("degree / mean of its layer")
    _legend(fig, axes[0, 0])
    return fig, frame


def _named(model: str, frame: pd.DataFrame) -> str:
    """A network with the seeds of a rule, the fewest and the most, for rows of a figure differ in them."""
    rows = frame[frame["model"] == model]
    seeds = sorted(set(rows.groupby("strategy")["seed"].nunique()))
    return f"{model}\nN = {' to '.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))}"


def _legend(fig: Figure, ax: Axes, *more: Line2D) -> None:
    """The rules by name; how many seeds there are stands beside each row."""
    handles, labels = ax.get_legend_handles_labels()
    names = [label.partition(" (N")[0] for label in (*labels, *(str(line.get_label()) for line in more))]
    fig.legend([*handles, *more], names, loc="outside upper center", ncols=4)


def _titles(row: np.ndarray) -> None:
    for ax, letter, kind in zip(row, "abc", NODES, strict=True):
        axis: Axes = ax
        axis.set_title(f"({letter}) {TITLES[kind]}", fontsize=9)


def _rules(frame: pd.DataFrame) -> list[str]:
    return [rule for rule in STRATEGIES if rule in set(frame["strategy"])]


def _spaced(x: np.ndarray, number: int = 7) -> list[int]:
    """Indices of points that lie about evenly on a logarithmic axis."""
    wanted = np.linspace(np.log(x[0]), np.log(x[-1]), number)
    return sorted({int(np.abs(np.log(x) - at).argmin()) for at in wanted})
