"""Weighted degrees, and how unequal degrees are: the measures of notebook 23.

The strength of a neuron is the sum of its connections' |w|, as Barrat, Barthelemy, Pastor-Satorras and Vespignani
(PNAS 101, 2004) define it for weighted networks. If weights do not care about degree, s ~ k^beta with beta = 1; above
1, the connections of the well connected are the stronger ones, below 1 the weaker ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import prod

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from torch import Tensor

from regrow.metrics import in_degree, out_degree
from regrow_companion.section8.nb18_dormancy import spearman


@dataclass(frozen=True)
class Exponent:
    """A fitted exponent with its 95 % bootstrap interval over n neurons; nan where degrees do not differ."""

    beta: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Spread:
    """How unequal degrees are: standard deviation and Gini coefficient."""

    sd: float
    gini: float


def neurons(masks: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> pd.DataFrame:
    """Every hidden neuron, a row each: layer ("hidden 1", ...), neuron, in_degree, out_degree, in_strength and
    out_strength.

    `masks` and `weights` [n_out, n_in] are those of a chain of layers; weights are 0 without a connection.
    """
    parts = []
    for number, (below, above) in enumerate(pairwise(masks), start=1):
        # The strength of a neuron is the degree of |w|: the same sums.
        sizes = {name: weights[name].double().abs() for name in (below, above)}
        parts.append(pd.DataFrame({
            "layer": f"hidden {number}", "neuron": np.arange(len(masks[below])),
            "in_degree": in_degree(masks[below]).numpy(), "out_degree": out_degree(masks[above]).numpy(),
            "in_strength": in_degree(sizes[below]).numpy(), "out_strength": out_degree(sizes[above]).numpy()}))
    return pd.concat(parts, ignore_index=True)


def degrees(masks: Mapping[str, Tensor]) -> dict[str, NDArray[np.int64]]:
    """Total degree of every neuron by node layer: "input" (which has only an out-degree), "hidden 1", ..."""
    layers = list(masks)
    found = {"input": out_degree(masks[layers[0]]).numpy()}
    for number, (below, above) in enumerate(pairwise(layers), start=1):
        found[f"hidden {number}"] = (in_degree(masks[below]) + out_degree(masks[above])).numpy()
    return found


def chances(masks: Mapping[str, Tensor]) -> dict[str, NDArray[np.float64]]:
    """For each node layer of `degrees` the exact P(k), k = 0, 1, ..., under random masks of as many connections.

    One neuron's in-degree is then hypergeometric: its places drawn among all those of the layer. In- and out-degree
    belong to different masks, so their sum has the convolution of the two.
    """
    layers = list(masks)
    ins = [hypergeometric(prod(masks[name].shape), int(masks[name].sum()), masks[name].shape[1]) for name in layers]
    outs = [hypergeometric(prod(masks[name].shape), int(masks[name].sum()), masks[name].shape[0]) for name in layers]
    found = {"input": outs[0]}
    return found | {f"hidden {i}": np.convolve(ins[i - 1], outs[i]) for i in range(1, len(layers))}


def hypergeometric(size: int, connections: int, places: int) -> NDArray[np.float64]:
    """P(k), k = 0 ... places, of a neuron with `places` of `size` places, `connections` of which are taken."""
    return stats.hypergeom(size, connections, places).pmf(np.arange(places + 1))


def spread(values: ArrayLike) -> Spread:
    """Sample standard deviation and Gini coefficient of degrees [n]: mean |difference| of two different neurons over
    twice the mean. 0 is full equality; near 1, one neuron has everything."""
    x = np.sort(np.asarray(values, dtype=float))
    n, rank = len(x), np.arange(1, len(x) + 1)
    gini = (2 * rank - n - 1) @ x / ((n - 1) * x.sum()) if x.any() else np.nan
    return Spread(float(x.std(ddof=1)), float(gini))


def expected_spread(chance: NDArray[np.float64]) -> Spread:
    """The same of a distribution P(k), k = 0, 1, ...: its Gini coefficient is sum F (1 - F) over the mean."""
    k, below = np.arange(len(chance)), np.cumsum(chance)
    mean = float(k @ chance)
    variance = float((k - mean) ** 2 @ chance)
    return Spread(variance**0.5, float((below * (1 - below)).clip(0).sum()) / mean)


def exponent(degree: ArrayLike, strength: ArrayLike, draws: int = 1000) -> Exponent:
    """beta of s ~ k^beta: least squares of log s on log k over the neurons [n] that have both, bootstrap over them."""
    k, s = np.asarray(degree, dtype=float), np.asarray(strength, dtype=float)
    there = (k > 0) & (s > 0)
    if len(set(k[there])) < 2:
        return Exponent(np.nan, np.nan, np.nan, int(there.sum()))
    x, y = np.log(k[there]), np.log(s[there])
    picks = np.random.default_rng(0).integers(len(x), size=(draws, len(x)))
    low, high = np.nanquantile(_slope(x[picks], y[picks]), [0.025, 0.975])
    return Exponent(float(_slope(x, y)), float(low), float(high), len(x))


def exponents(frame: pd.DataFrame) -> pd.DataFrame:
    """Exponent and rank correlation of strength and degree, of the neurons of all seeds together.

    `frame` has the columns of `neurons` with dataset, kind and round in front. A row per network, layer and side ("in",
    "out", or "all" for both added up): beta, low, high, n and rho, Spearman's over the neurons with a connection.
    """
    rows = []
    for (dataset, kind, round, layer), group in frame.groupby(["dataset", "kind", "round", "layer"], sort=False):
        for side, parts in {"in": ("in",), "out": ("out",), "all": ("in", "out")}.items():
            degree, weight = (sum(group[f"{part}_{what}"].to_numpy(float) for part in parts)
                              for what in ("degree", "strength"))
            found, there = exponent(degree, weight), degree > 0
            rows.append({"dataset": dataset, "kind": kind, "round": round, "layer": layer, "side": side,
                         **asdict(found), "rho": spearman(degree[there], weight[there])})
    return pd.DataFrame(rows)


def ccdf(values: ArrayLike) -> tuple[NDArray, NDArray[np.float64]]:
    """The values that occur, ascending, and the share of all values that are as large or larger."""
    found, counts = np.unique(np.asarray(values), return_counts=True)
    return found, counts[::-1].cumsum()[::-1] / counts.sum()


def _slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares slopes along the last axis; nan where all x are the same."""
    dx, dy = x - x.mean(axis=-1, keepdims=True), y - y.mean(axis=-1, keepdims=True)
    width = (dx**2).sum(axis=-1)
    return np.divide((dx * dy).sum(axis=-1), width, out=np.full(width.shape, np.nan), where=width > 0)
