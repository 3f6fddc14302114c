"""Graph metrics: k-shells against graph libraries, the matrix of Kendall's tau against a loop over pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from bench.table import Table
from bench.timing import TIMED_COLUMNS, Timing, interleaved
from bench.workload import config
from regrow import models, sparsity
from regrow.metrics import k_shells, kendall_matrix

COLUMNS = ("task", "method", *TIMED_COLUMNS, "times_ours")
SIZES: dict[str, dict[str, int]] = {
    "tiny": {"rounds": 2, "times": 6, "neurons": 40, "pairs": 5},
    "full": {"rounds": 5, "times": 264, "neurons": 1536, "pairs": 100},
}
Masks = Sequence[NDArray[np.bool_]]


def run(size: str) -> Table:
    """The paper's MLP at 95 % for the shells; 264 updates x 1,536 hidden neurons for tau."""
    options, notes = SIZES[size], ["Shells include building the library's graph from the masks."]
    masks = _masks(size)
    shells: dict[str, Callable[[Masks], NDArray[Any]]] = {"regrow.k_shells": by_regrow, "networkx": by_networkx}
    try:
        import igraph  # noqa: F401

        shells["igraph"] = by_igraph
    except ImportError:
        notes.append("igraph is not installed, so it is left out.")
    timings = interleaved({name: partial(method, masks) for name, method in shells.items()},
                          rounds=options["rounds"])
    rows = _rows("k-shells", timings)

    series, pairs = _degrees(options["times"], options["neurons"]), options["pairs"]
    chosen = np.random.default_rng(1).integers(options["times"], size=(pairs, 2))
    every = options["times"] * (options["times"] - 1) // 2
    timings = interleaved({"regrow.kendall_matrix": lambda: kendall_matrix(series),
                           "scipy loop": lambda: [kendalltau(series[a], series[b]) for a, b in chosen]},
                          rounds=min(3, options["rounds"]))
    timings["scipy loop"] = Timing(tuple(t * every / pairs for t in timings["scipy loop"].seconds))
    rows += _rows("Kendall's tau", timings)
    notes.append(f"Kendall's tau: {options['times']} x {options['neurons']:,} degrees. The scipy loop is extrapolated "
                 f"from {pairs} of its {every:,} pairs.")
    return Table("topology", "ms per result, one thread", COLUMNS, rows, notes=tuple(notes))


def _rows(task: str, timings: dict[str, Timing]) -> list[dict[str, Any]]:
    ours = next(iter(timings.values())).median
    return [{"task": task, "method": name, **timing.columns(), "times_ours": timing.median / ours}
            for name, timing in timings.items()]


def _masks(size: str) -> Masks:
    shapes = models.weight_shapes(config(size, 0.05), 10, (3, 32, 32))
    counts = sparsity.connection_counts(shapes, 0.05, "erk")
    return [mask.numpy() for mask in sparsity.random_masks(shapes, counts, seed=0).values()]


def _degrees(times: int, neurons: int) -> NDArray[np.int64]:
    """Degrees that drift, [times, neurons]: ties and slow change as in a record."""
    chance = np.random.default_rng(0)
    return np.maximum(0, 150 + chance.integers(-5, 6, size=(times, neurons)).cumsum(0))


def _edges(masks: Masks) -> tuple[NDArray[np.int64], int]:
    """Edges [E, 2] between neurons numbered through all layers, and how many neurons there are."""
    starts = np.cumsum([0, masks[0].shape[1], *(len(mask) for mask in masks)])
    places = [np.argwhere(mask)[:, ::-1] + ends for mask, ends in zip(masks, pairwise(starts), strict=False)]
    return np.concatenate(places), int(starts[-1])


def by_regrow(masks: Masks) -> NDArray[Any]:
    return np.concatenate(k_shells(masks))


def by_networkx(masks: Masks) -> NDArray[Any]:
    edges, n = _edges(masks)
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(edges.tolist())
    cores = nx.core_number(graph)
    return np.array([cores[node] for node in range(n)])


def by_igraph(masks: Masks) -> NDArray[Any]:
    import igraph

    edges, n = _edges(masks)
    return np.array(igraph.Graph(n, edges).coreness())
