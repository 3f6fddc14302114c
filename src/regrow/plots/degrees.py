"""Degree distributions: the two of theory (Fig. 1), after initialisation (Fig. 4) and while training (Fig. 5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from regrow import graph, study
from regrow.config import RunConfig
from regrow.figures import seed_band, style_of
from regrow.record import Record

Floats = NDArray[np.float64]
PAPER_EPOCHS = (2, 75, 150, 225, 300)  # the rows of Fig. 5
CIFAR10 = {"classes": 10, "image_shape": (3, 32, 32)}
THEORY, OTHER_THEORY, DATA = "#000000", "#CC79A7", "#BBBBBB"  # no strategy has these
_BIN = 6  # degrees in a bar of Fig. 4


# ------------------------------------------------------------------------------------------------ the two laws, Fig. 1

def poisson(k: ArrayLike, mean: float) -> Floats:
    """Eq. 15: probability that a neuron has degree k, where `mean` (lambda) connections are expected."""
    return stats.poisson.pmf(k, mean)


def power_law(k: ArrayLike, alpha: float, k_min: int = 1) -> Floats:
    """Eq. 16 for whole numbers: C k^-alpha from k_min on and 0 below, with C = 1 / zeta(alpha, k_min).

    Raises ValueError where no C exists (alpha <= 1) or the law would begin at degree 0.
    """
    if alpha <= 1 or k_min < 1:
        raise ValueError(f"A power law needs alpha above 1 and k_min of at least 1, not {alpha} and {k_min}.")
    degree = np.maximum(np.asarray(k, dtype=float), 1.0)
    return np.where(np.asarray(k) >= k_min, degree**-alpha / special.zeta(alpha, k_min), 0.0)


def power_law_mean(alpha: float, k_min: int = 1) -> float:
    """Mean degree under Eq. 16; infinite for alpha <= 2."""
    return float(special.zeta(alpha - 1, k_min) / special.zeta(alpha, k_min)) if alpha > 2 else np.inf


def figure1(alpha: float = 2.5, k_min: int = 4) -> tuple[Figure, pd.DataFrame]:
    """Eqs. 15 and 16 with the same mean degree, exact: on linear axes (left) and with both axes logarithmic (right).

    The paper gives no parameters; alpha lies in the range it names for scale-free networks (Section 5.3).
    """
    mean = power_law_mean(alpha, k_min)
    fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.2))
    laws: dict[str, tuple[Callable[..., Floats], tuple[Any, ...], str, str, str]] = {
        "Poisson": (poisson, (mean,), f"Poisson, $\\lambda$ = {mean:.1f} (Eq. 15)", THEORY, "o"),
        "power law": (power_law, (alpha, k_min), f"power law, $\\alpha$ = {alpha}, k ≥ {k_min} (Eq. 16)", OTHER_THEORY,
                      "D"),
    }
    rows = []
    for name, (law, parameters, label, colour, marker) in laws.items():
        linear = np.arange(0, 31)
        # Every degree at first, then about 12 a decade: they would merge into a bar.
        spread = np.concatenate([np.arange(1, 41), np.geomspace(48, 1000, 17).round().astype(int)])
        for ax, k, scale in ((left, linear, "linear"), (right, spread, "log-log")):
            p = law(k, *parameters)
            shown = p > (0 if scale == "linear" else 1e-8)
            ax.plot(k[shown], p[shown], color=colour, marker=marker, markersize=3, linewidth=0.8, label=label)
            rows += [{"panel": scale, "law": name, "degree": int(a), "probability": float(b)}
                     for a, b in zip(k[shown], p[shown], strict=True)]
    left.set(title="linear axes", xlabel="degree k", ylabel="probability P(k)", ylim=(0, None))
    right.set(title="logarithmic axes", xlabel="degree k", xscale="log", yscale="log", ylim=(1e-8, 1))
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    plt.close(fig)
    return fig, pd.DataFrame(rows)


# ------------------------------------------------------------------------------------------- networks as graphs, Sec. 4

def network_drawing(masks: Iterable[ArrayLike]) -> Figure:
    """A small network as the directed graph of Eq. 14, input on the left; each node shows its total degree."""
    net = graph.to_networkx(masks)
    sizes = np.bincount([layer for _, layer in net.nodes(data="layer")])
    place = {node: (at["layer"], (sizes[at["layer"]] - 1) / 2 - at["index"]) for node, at in net.nodes(data=True)}
    fig, ax = plt.subplots(figsize=(5, 2.8))
    nx.draw_networkx(net, place, ax=ax, labels={node: str(degree) for node, degree in net.degree}, font_size=9,
                     node_size=360, node_color="white", edgecolors="#333333", edge_color="#666666", arrowsize=9)
    for layer, name in enumerate(layer_names(len(sizes))):
        ax.text(layer, 1, name, transform=ax.get_xaxis_transform(), ha="center", va="bottom")
    ax.margins(0.12, 0.12)
    ax.set_axis_off()
    plt.close(fig)
    return fig


# ------------------------------------------------------------------------------------------- before training, Fig. 4

Shapes = Mapping[str, tuple[int, ...]]


def initial_wiring(config: RunConfig) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Weight shapes (n_out, n_in) and connections per layer of an MLP for CIFAR-10, before training."""
    from regrow import models, sparsity  # torch, which figures drawn from records do without

    shapes = models.weight_shapes(config, CIFAR10["classes"], CIFAR10["image_shape"])  # type: ignore[arg-type]
    return shapes, sparsity.connection_counts(shapes, 1 - config.sparsity, config.init)


def initial_degrees(config: RunConfig) -> list[NDArray[np.int32]]:
    """Total degrees of every node layer, input first, that a run on CIFAR-10 starts from: its own masks, untrained."""
    shapes, counts = initial_wiring(config)
    return list(_random_degrees(tuple(shapes.items()), tuple(counts.values()), config.seed))


@lru_cache(maxsize=16)
def _random_degrees(shapes: tuple[Any, ...], counts: tuple[int, ...], seed: int) -> tuple[NDArray[np.int32], ...]:
    """Cached, since strategies of one seed ask for the same masks: these depend on nothing else."""
    from regrow import sparsity

    names = [name for name, _ in shapes]
    masks = sparsity.random_masks(dict(shapes), dict(zip(names, counts, strict=True)), seed)
    return tuple(graph.total_degrees({name: graph.in_degree(mask.numpy()) for name, mask in masks.items()},
                                     {name: graph.out_degree(mask.numpy()) for name, mask in masks.items()}, names))


def expected_pmfs(shapes: Shapes, counts: Mapping[str, int]) -> list[Floats]:
    """Exact distribution of the total degree in every node layer of an untrained MLP, P[k] for k = 0, 1, ...

    A layer has exactly counts[name] connections, so one neuron's in-degree is hypergeometric (nearly binomial, hence
    nearly Poisson), and so is its out-degree; the two come from different masks and are independent.
    """
    received, sent = [np.ones(1)], []
    for name, (n_out, n_in) in shapes.items():
        received.append(stats.hypergeom(n_out * n_in, n_in, counts[name]).pmf(np.arange(n_in + 1)))
        sent.append(stats.hypergeom(n_out * n_in, n_out, counts[name]).pmf(np.arange(n_out + 1)))
    return [np.convolve(a, b) for a, b in zip(received, [*sent, np.ones(1)], strict=True)]


def layer_names(n: int) -> list[str]:
    """Names of n node layers: input, hidden 1, ..., output."""
    return ["input", *(f"hidden {i}" for i in range(1, n - 1)), "output"]


def poisson_check(config: RunConfig) -> tuple[Figure, pd.DataFrame]:
    """Initial degrees of input and hidden layers beside their exact law and the Poisson law of the same mean.

    Bars: one seed's neurons at the paper's scale. The frame has mean and standard deviation of each, and the total
    variation distance between exact law and Poisson (0 equal, 1 disjoint).
    """
    degrees, pmfs = initial_degrees(config), expected_pmfs(*initial_wiring(config))
    fig, axes = plt.subplots(1, len(pmfs) - 1, figsize=(7, 2.9))
    rows = []
    for ax, name, found, pmf in zip(axes, layer_names(len(pmfs))[:-1], degrees, pmfs, strict=False):
        k = np.arange(len(pmf))
        mean = float(pmf @ k)
        law = poisson(k, mean)
        window = slice(int(found.min()) - 8, int(found.max()) + 9)
        counts = np.bincount(found, minlength=len(pmf)) / len(found)
        ax.bar(k[window], counts[window], width=1, color=DATA, label="neurons of one seed")
        ax.plot(k[window], pmf[window], color=THEORY, label="exact (hypergeometric)")
        ax.plot(k[window], law[window], color=OTHER_THEORY, linestyle="--", label="Poisson, same mean")
        ax.set(title=f"{name} (N={len(found):,})", xlabel="degree k")
        rows.append({"layer": name, "neurons": len(found), "mean": mean, "std found": found.std(),
                     "std exact": np.sqrt(pmf @ (k - mean) ** 2), "std Poisson": np.sqrt(mean),
                     "distance to Poisson": 0.5 * (np.abs(pmf - law).sum() + 1 - law.sum())})
    axes[0].set_ylabel("fraction of neurons P(k)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    plt.close(fig)
    return fig, pd.DataFrame(rows)


def figure4(configs: Sequence[RunConfig]) -> tuple[Figure, pd.DataFrame]:
    """Degree distribution of the hidden neurons before training, one panel for each strategy, mean over seeds.

    A band is mean +- one standard deviation over seeds, the black line the exact law that chance gives. `configs` are
    runs of one MLP on CIFAR-10; nothing is trained. P(k) is the fraction of hidden neurons per unit of degree.
    """
    methods = list(dict.fromkeys(config.method for config in configs))
    shapes, counts = initial_wiring(configs[0])
    hidden, pmfs = list(shapes.values())[:-1], expected_pmfs(shapes, counts)[1:-1]
    law = np.zeros(max(map(len, pmfs)) + _BIN)
    for (size, _), pmf in zip(hidden, pmfs, strict=True):
        law[: len(pmf)] += pmf * size / sum(n for n, _ in hidden)
    pooled = {config: np.concatenate(initial_degrees(config)[1:-1]) for config in configs}
    low, high = min(d.min() for d in pooled.values()), max(d.max() for d in pooled.values())
    edges = np.arange(low // _BIN - 1, high // _BIN + 3) * _BIN
    expected = np.add.reduceat(law, edges)[:-1] / _BIN
    fig, axes = plt.subplots(1, len(methods), figsize=(7, 3.1), sharex=True, sharey=True, squeeze=False)
    rows = []
    for ax, method in zip(axes[0], methods, strict=True):
        found = np.array([np.histogram(pooled[config], edges)[0] / pooled[config].size / _BIN
                          for config in configs if config.method == method])
        style = style_of(method)
        mean, sd = found.mean(axis=0), found.std(axis=0, ddof=1) if len(found) > 1 else np.zeros(len(expected))
        ax.stairs(mean, edges - 0.5, fill=True, color=style.colour, alpha=0.35, label="mean over seeds")
        ax.stairs(mean + sd, edges - 0.5, baseline=mean - sd, fill=True, color=style.colour, alpha=0.7,
                  label="± 1 standard deviation")
        ax.plot(np.arange(edges[0], edges[-1]), law[edges[0]:edges[-1]], color=THEORY, linewidth=1, label="exact law")
        for i, pmf in enumerate(pmfs, start=1):
            ax.text(np.argmax(pmf), law.max() * 1.1, f"hidden {i}", ha="center", va="bottom", fontsize=8)
        ax.set(title=f"{style.label} (N={len(found)} seeds)", xlabel="degree k", ylim=(0, law.max() * 1.25))
        rows += [{"strategy": method, "seeds": len(found), "degree from": a, "degree to": b - 1, "P(k)": m, "sd": s,
                  "P(k) exact": e} for a, b, m, s, e in zip(edges, edges[1:], mean, sd, expected, strict=False)]
    axes[0, 0].set_ylabel("fraction of hidden neurons P(k)")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    fig.suptitle("One wiring per seed, shared by all strategies: the panels are equal by construction", fontsize=9)
    plt.close(fig)
    return fig, pd.DataFrame(rows)


# ------------------------------------------------------------------------------------------- during training, Fig. 5

def nearest_update(record: Record, moment: int) -> int:
    """Index into `steps` of the topology nearest to one of the record's moments; the earlier one if two tie."""
    return int(np.abs(record.steps - record.moment_steps[moment]).argmin())


def hidden(record: Record, index: int | slice = slice(None)) -> NDArray[np.int32]:
    """Total degrees of all hidden neurons after update `index`: [n_hidden], or [U+1, n_hidden] for all updates."""
    return graph.hidden_degrees({name: degrees[index] for name, degrees in record.in_degree.items()},
                                {name: degrees[index] for name, degrees in record.out_degree.items()}, record.layers)


def log_bins(largest: int, per_decade: int = 12) -> NDArray[np.int64]:
    """Edges of half-open bins of whole numbers: {0}, {1}, {2}, ... while bins are narrow, then evenly in the logarithm.

    The edges are the same for all data; only how many there are depends on `largest`, which the last one exceeds.
    """
    steps = np.arange(np.ceil(per_decade * np.log10(largest + 1)) + 1)
    return np.unique([0, *(10 ** (steps / per_decade)).round().astype(np.int64)])


def binned(degrees: ArrayLike, edges: NDArray[np.int64]) -> Floats:
    """P(k) in each bin: the fraction of neurons in it divided by the number of degrees it covers."""
    values = np.asarray(degrees)
    return np.histogram(values, edges)[0] / values.size / np.diff(edges)


def bin_centres(edges: NDArray[np.int64]) -> Floats:
    """Geometric mean of the smallest and the largest degree of each bin; 0 for the bin {0}."""
    return np.sqrt(edges[:-1] * (edges[1:] - 1.0))


def figure5(records: Sequence[Record]) -> tuple[Figure, pd.DataFrame]:
    """Degree distributions of the hidden neurons at five moments (rows), one line per strategy, averaged over seeds.

    Both axes are logarithmic and the bins widen with the degree. Solid lines: mean over seeds, band +- one standard
    deviation; dashed vertical lines: mean largest degree, where the distribution ends, with the same band; grey: before
    training. All records must be runs of one network and length.
    """
    groups = study.by_method(records)
    edges = log_bins(max(int(hidden(record).max()) for record in records))
    before = np.mean([binned(hidden(record, 0), edges) for record in records], axis=0)
    moments = records[0].moments[1:]
    fig, axes = plt.subplots(len(moments), 1, figsize=(7, 8.8), sharex=True, sharey=True)
    rows, centres = [], bin_centres(edges)
    for row, (ax, moment, paper) in enumerate(zip(axes, moments, PAPER_EPOCHS, strict=True), start=1):
        ax.stairs(before, edges, fill=True, color=DATA, alpha=0.6, label="before training")
        for method, group in groups.items():
            at = [hidden(record, nearest_update(record, row)) for record in group]
            ends = np.array([degrees.max() for degrees in at])
            lines = np.array([binned(degrees, edges) for degrees in at])
            mean, sd = _distribution(ax, centres, lines, method)
            end, end_sd = _end(ax, ends, method)
            common = {"row": row, "epoch": moment.epoch, "paper epoch": paper, "strategy": method, "seeds": len(group)}
            rows += [common | {"what": "P(k)", "degree": k, "value": m, "sd": s}
                     for k, m, s in zip(centres, mean, sd, strict=True)]
            rows.append(common | {"what": "largest degree", "degree": end, "value": np.nan, "sd": end_sd})
        epoch = records[0].epochs_at[nearest_update(records[0], row)]
        ax.set_title(f"epoch {epoch:.3g} of {records[0].config.epochs} (paper: {paper} of 300)", fontsize=9, loc="left")
    _set_symlog(axes[0], edges[-1])
    axes[0].set(yscale="log", xlim=(-0.15, edges[-1] * 1.15))
    frame = pd.DataFrame(rows)
    shown = frame["value"][frame["value"] > 0]
    axes[0].set_ylim(shown.min() / 2, shown.max() * 3)
    axes[-1].set_xlabel("total degree k of a hidden neuron (0, then logarithmic)")
    fig.supylabel("P(k): fraction of hidden neurons per unit of degree", fontsize=9)
    axes[0].plot([], [], color="#333333", linestyle="--", linewidth=1.2, label="largest degree (mean)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    plt.close(fig)
    return fig, frame


def _distribution(ax: Axes, k: Floats, lines: Floats, method: str) -> tuple[Floats, Floats]:
    """Mean of [seeds, bins] as a line that skips empty bins, with a band; returns mean and standard deviation."""
    style, mean = style_of(method), lines.mean(axis=0)
    sd = lines.std(axis=0, ddof=1) if len(lines) > 1 else np.zeros_like(mean)
    some = mean > 0
    low = np.maximum(mean - sd, mean / 10)  # a logarithmic axis has no place for zero
    ax.fill_between(k[some], low[some], (mean + sd)[some], color=style.colour, alpha=0.2, linewidth=0)
    ax.plot(k[some], mean[some], color=style.colour, marker=style.marker, markersize=3, linewidth=1.2,
            label=f"{style.label} (N={len(lines)} seeds)")
    return mean, sd


def _end(ax: Axes, ends: NDArray[Any], method: str) -> tuple[float, float]:
    """Dashed line at the mean of [seeds] largest degrees, with a band; returns mean and standard deviation."""
    style, mean = style_of(method), float(ends.mean())
    sd = float(ends.std(ddof=1)) if len(ends) > 1 else 0.0
    ax.axvspan(mean - sd, mean + sd, color=style.colour, alpha=0.12, linewidth=0)
    ax.axvline(mean, color=style.colour, linestyle="--", linewidth=1.2)
    return mean, sd


def _set_symlog(ax: Axes, largest: float) -> None:
    """Degree axis: linear up to 1, so that 0 has a place, logarithmic from there on."""
    ax.set_xscale("symlog", linthresh=1, linscale=0.5)
    ax.set_xticks([0, *(10**i for i in range(int(np.log10(largest)) + 1))])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:,.0f}"))


# --------------------------------------------------------------------------------------- spread over updates, Sec. 5.3

def degree_spread(records: Sequence[Record]) -> pd.DataFrame:
    """Spread of the hidden degrees after every update: one row per strategy, seed and update.

    `std` is over all hidden neurons. The mean degree of a layer never changes, so the part of the variance that is
    due to layers having different means is constant; `std within` leaves it out. `largest` is the largest degree.
    """
    frames = []
    for method, group in study.by_method(records).items():
        for record in group:
            layers = graph.total_degrees(record.in_degree, record.out_degree, record.layers)[1:-1]
            everyone = np.concatenate(layers, axis=-1)
            within = np.concatenate([layer - layer.mean(axis=-1, keepdims=True) for layer in layers], axis=-1)
            frames.append(pd.DataFrame({
                "strategy": method, "seed": record.config.seed, "update": np.arange(len(record.steps)),
                "epoch": record.epochs_at, "std": everyone.std(axis=-1),
                "std within": np.sqrt((within**2).mean(axis=-1)), "largest": everyone.max(axis=-1)}))
    return pd.concat(frames, ignore_index=True)


def spread_figure(spread: pd.DataFrame) -> Figure:
    """`degree_spread` over updates, which are on a logarithmic axis since most happens at the first ones."""
    fig, axes = plt.subplots(1, 2, figsize=(7, 3))
    panels = {"std within": "standard deviation within layers", "largest": "largest degree"}
    for ax, (column, title) in zip(axes, panels.items(), strict=True):
        for method in spread["strategy"].unique():
            table = spread[spread["strategy"] == method].pivot(index="seed", columns="update", values=column)
            seed_band(ax, table.columns, table.to_numpy(), method)
        _set_symlog(ax, spread["update"].max())
        ax.set(xlabel="topology updates so far (0, then logarithmic)", ylabel=title, ylim=(0, None))
    axes[0].legend()
    plt.close(fig)
    return fig


def widening(spread: pd.DataFrame, updates: Sequence[int] = (0, 1, 2, 5, 10)) -> pd.DataFrame:
    """Spread within layers in units of its start, mean over seeds: after given updates, at its peak and at the end.

    `doubled at update` is the first update after which the spread is twice that of the start, nan if there is none.
    """
    rows = {}
    for method, part in spread.groupby("strategy", sort=False):
        mean = part.groupby("update")["std within"].mean()
        ratio = mean / mean.iloc[0]
        doubled = ratio.index[ratio >= 2]
        rows[method] = ({f"after {u}": ratio[u] for u in updates if u in ratio.index}
                        | {"peak": ratio.max(), "peak at update": ratio.idxmax(), "end": ratio.iloc[-1],
                           "doubled at update": doubled[0] if len(doubled) else np.nan})
    return pd.DataFrame(rows).T.astype(float).rename_axis("strategy")
