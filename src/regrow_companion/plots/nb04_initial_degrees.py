"""Degree distributions before training: the two laws of theory (Fig. 1), and after initialisation (Fig. 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from regrow import metrics, sparsity
from regrow.config import RunConfig
from regrow_companion.style import style_of

Floats = NDArray[np.float64]
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
    net = metrics.to_networkx(masks)
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
    names = [name for name, _ in shapes]
    masks = sparsity.random_masks(dict(shapes), dict(zip(names, counts, strict=True)), seed)
    return tuple(metrics.total_degrees({name: metrics.in_degree(mask.numpy()) for name, mask in masks.items()},
                                     {name: metrics.out_degree(mask.numpy()) for name, mask in masks.items()}, names))


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

    An error bar is mean +- one standard deviation over seeds, the black line the exact law that chance gives. `configs`
    are runs of one MLP on CIFAR-10; nothing is trained. P(k) is the fraction of hidden neurons per unit of degree.
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
        ax.errorbar((edges[:-1] + edges[1:] - 1) / 2, mean, sd, fmt="none", ecolor=style.colour, elinewidth=1,
                    capsize=1.5, label="± 1 standard deviation")
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
