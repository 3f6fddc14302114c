"""k-shell decomposition of a whole network (Section 4.5.1, Figs. 10 to 12), straight from its masks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from regrow.graph import adjacency, chain


def k_shells(masks: Iterable[ArrayLike]) -> list[NDArray[np.int32]]:
    """The shell (coreness) of every neuron: one int32 array [n] for each node layer, input first (Section 4.5.1).

    A neuron's shell is the highest k such that it belongs to the k-core, the largest part of the network in which
    everyone has k neighbours or more. Neighbours are counted in both directions, as the paper does although its graph
    is directed. `masks` are the [n_out, n_in] masks of a chain of fully connected layers; ValueError otherwise.
    """
    matrices, sizes = chain(masks)
    return np.split(coreness(adjacency(matrices)), np.cumsum(sizes)[:-1])


def coreness(graph: sparse.csr_array) -> NDArray[np.int32]:
    """Coreness [n] of every node of an undirected graph, given as a symmetric matrix [n, n] without self-loops.

    Peels all nodes of degree <= k at once, then those that this brings down to k, and so on; then the next k. A node
    pays for its edges once, when it leaves, so the cost is that of reading the matrix plus one pass over the
    nodes for every wave (some 40 waves for the paper's MLP before training).
    """
    indptr, indices = graph.indptr, graph.indices
    nodes = graph.shape[0]
    degree = np.diff(indptr).astype(np.int64)
    shell = np.zeros(nodes, dtype=np.int32)
    alive = np.ones(nodes, dtype=bool)
    while alive.any():
        k = int(degree[alive].min())  # above the last k; shells in between are empty
        while (wave := np.flatnonzero(alive & (degree <= k))).size:
            shell[wave] = k
            alive[wave] = False
            starts, lengths = indptr[wave], indptr[wave + 1] - indptr[wave]
            # Positions of the wave's neighbours in `indices`: one run start, start + 1, ... for each of its nodes.
            runs = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
            neighbours = indices[runs + np.arange(len(runs))]
            degree -= np.bincount(neighbours, minlength=nodes)  # also of dead nodes, which nobody reads again
    return shell
