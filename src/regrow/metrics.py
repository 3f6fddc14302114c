"""A sparse network as a graph (Sections 4.4 and 4.5): degrees, pixel maps, k-shells, rank correlation, dormancy.

A mask is a boolean weight [n_out, n_in] ([out, in, h, w] for a convolution) that is True where a connection exists.
"Node layers" are the layers of neurons: L masks in forward order join L + 1 of them, input first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse


def in_degree(mask: Any) -> Any:
    """Incoming connections of every output neuron or channel: [n_out, n_in, ...] -> [n_out] int64 (Section 4.5).

    Takes a numpy array or a torch tensor and returns the same kind, on the same device.
    """
    return mask.sum(axis=tuple(range(1, mask.ndim)))


def out_degree(mask: Any) -> Any:
    """Outgoing connections of every input neuron or channel: [n_out, n_in, ...] -> [n_in] int64 (Section 4.5).

    Takes a numpy array or a torch tensor and returns the same kind, on the same device.
    """
    return mask.sum(axis=(0, *range(2, mask.ndim)))


def total_degrees(
    in_degree: Mapping[str, ArrayLike], out_degree: Mapping[str, ArrayLike], layers: Sequence[str]
) -> list[NDArray[np.int32]]:
    """In-degree from the layer below plus out-degree to the layer above, for each node layer (Section 4.5).

    `in_degree[layer]` is [..., n_out], `out_degree[layer]` is [..., n_in]; leading axes (time, say) are kept. Returns
    len(layers) + 1 arrays [..., n]: input, hidden 1, ..., output. Raises ValueError where one layer's outputs are not
    the next one's inputs. Meant for fully connected layers: from degrees alone a chain of convolutions looks the same,
    and is counted by channel.
    """
    if not layers:
        raise ValueError("total_degrees needs the name of at least one layer.")
    first, last = (np.asarray(d, dtype=np.int32) for d in (out_degree[layers[0]], in_degree[layers[-1]]))
    return [first, *hidden_layer_degrees(in_degree, out_degree, layers), last]


def hidden_layer_degrees(
    in_degree: Mapping[str, ArrayLike], out_degree: Mapping[str, ArrayLike], layers: Sequence[str]
) -> list[NDArray[np.int32]]:
    """Total degrees of each hidden layer, [..., n]; see total_degrees. The input's out-degree is not needed."""
    hidden = []
    for below, above in pairwise(layers):
        degrees_in = np.asarray(in_degree[below], dtype=np.int32)
        degrees_out = np.asarray(out_degree[above], dtype=np.int32)
        if degrees_in.shape != degrees_out.shape:
            raise ValueError(
                f"Total degrees need a chain of fully connected layers, but {below} ends in "
                f"{degrees_in.shape[-1]} neurons (array {degrees_in.shape}) and {above} starts from "
                f"{degrees_out.shape[-1]} (array {degrees_out.shape}); look at their in- and out-degrees separately."
            )
        hidden.append(degrees_in + degrees_out)
    return hidden


def hidden_degrees(
    in_degree: Mapping[str, ArrayLike], out_degree: Mapping[str, ArrayLike], layers: Sequence[str]
) -> NDArray[np.int32]:
    """Total degrees of all hidden neurons side by side, [..., n_hidden] (Figs. 4 and 20); see total_degrees.

    Raises ValueError as total_degrees does, and for a single layer, which has no hidden neurons.
    """
    hidden = hidden_layer_degrees(in_degree, out_degree, layers)
    if not hidden:
        raise ValueError(f"A network of the single layer {layers[0]} has no hidden neurons; use its in-degrees.")
    return np.concatenate(hidden, axis=-1)


def degree_distribution(degrees: ArrayLike) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Eq. 17: the degrees k that occur, ascending, and the fraction P(k) of neurons that have each."""
    values, counts = np.unique(np.asarray(degrees), return_counts=True)
    return values, counts / counts.sum()


def cumulative_distribution(degrees: ArrayLike) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Eq. 18: the degrees k that occur, ascending, and the fraction F(k) of neurons with degree k or less."""
    values, counts = np.unique(np.asarray(degrees), return_counts=True)
    return values, np.cumsum(counts) / counts.sum()  # integers are summed, so F ends in exactly 1


def dormant_counts(degrees: ArrayLike, threshold: float) -> NDArray[np.int64]:
    """Neurons with degree `threshold` or less, counted along the last axis: [..., n] -> [...] (Section 5.4, Fig. 9).

    The paper uses 10 (all that a dense output layer of 10 classes leaves to the last hidden layer) and 110.
    """
    return np.sum(np.asarray(degrees) <= threshold, axis=-1)


def chain(masks: Iterable[ArrayLike]) -> tuple[list[NDArray[np.bool_]], list[int]]:
    """Masks as a list of boolean matrices, and the sizes of the node layers, input first.

    Raises ValueError where the masks are not those of fully connected layers that follow each other.
    """
    matrices = [np.asarray(mask, dtype=bool) for mask in masks]
    if not matrices or any(matrix.ndim != 2 for matrix in matrices):
        shapes = ", ".join(str(matrix.shape) for matrix in matrices) or "none"
        raise ValueError(f"A network graph needs the masks [n_out, n_in] of fully connected layers, not {shapes}.")
    for below, above in pairwise(matrices):
        if below.shape[0] != above.shape[1]:
            raise ValueError(
                f"Masks must follow each other in forward order, but {below.shape[0]} neurons meet {above.shape[1]}."
            )
    return matrices, [matrices[0].shape[1], *(matrix.shape[0] for matrix in matrices)]


def adjacency(masks: Iterable[ArrayLike]) -> sparse.csr_array:
    """Eqs. 12 and 14 without directions: symmetric 0/1 matrix [n, n] int32 over the neurons of all layers, input first.

    `masks` are the [n_out, n_in] masks of a chain of fully connected layers; ValueError otherwise (see chain).
    """
    matrices, sizes = chain(masks)
    starts = np.cumsum([0, *sizes])
    row_sizes = [np.zeros(sizes[0], dtype=np.intp)]
    columns = []
    for matrix, start in zip(matrices, starts, strict=False):
        per_row = np.count_nonzero(matrix, axis=1)
        # One scan over the flat mask, less each row's own offset, is twice as fast as a two-dimensional nonzero.
        row_offsets = np.arange(len(matrix)) * matrix.shape[1] - start
        columns.append((np.flatnonzero(matrix) - np.repeat(row_offsets, per_row)).astype(np.int32))
        row_sizes.append(per_row)
    indices = np.concatenate(columns)
    indptr = np.concatenate([[0], *row_sizes]).cumsum().astype(np.int32)
    size = int(starts[-1])
    downwards = sparse.csr_array((np.ones(len(indices), dtype=np.int32), indices, indptr), shape=(size, size))
    return (downwards + downwards.T).tocsr()


def to_networkx(masks: Iterable[ArrayLike]) -> nx.DiGraph:
    """Eq. 14: the directed graph, for teaching and drawing; fast enough for small networks only.

    Nodes are numbered through all layers, input first, and carry `layer` (0 is the input) and `index` (place in the
    layer); edges follow the signal. `masks` and errors as in adjacency.
    """
    matrices, sizes = chain(masks)
    starts = np.cumsum([0, *sizes])
    graph = nx.DiGraph()
    for layer, size in enumerate(sizes):
        graph.add_nodes_from((int(starts[layer]) + i, {"layer": layer, "index": i}) for i in range(size))
    for layer, matrix in enumerate(matrices):
        post, pre = np.nonzero(matrix)
        graph.add_edges_from(zip((pre + starts[layer]).tolist(), (post + starts[layer + 1]).tolist(), strict=True))
    return graph


def input_heat_map(out_degree: ArrayLike, image_shape: tuple[int, int, int]) -> NDArray[Any]:
    """Connections leaving each pixel, its colour channels added up: [..., C*H*W] -> [..., H, W] (Fig. 8).

    Raises ValueError where the layer does not have one neuron for each value of an image (C, H, W).
    """
    degrees = np.asarray(out_degree)
    channels, height, width = image_shape
    if degrees.shape[-1] != channels * height * width:
        raise ValueError(
            f"An image of {channels} x {height} x {width} has {channels * height * width} values, "
            f"but the layer has {degrees.shape[-1]} inputs."
        )
    return degrees.reshape(*degrees.shape[:-1], channels, height, width).sum(axis=-3)


def path_counts(mask1: ArrayLike, mask2: ArrayLike) -> NDArray[np.int64]:
    """Paths input -> hidden 1 -> hidden 2 that begin at each input, [n_in]; mask1 [h1, n_in], mask2 [h2, h1]."""
    (first, second), _ = chain((mask1, mask2))
    return out_degree(second) @ first


def first_hidden_map(mask1: ArrayLike, mask2: ArrayLike, image_shape: tuple[int, int, int]) -> NDArray[np.int64]:
    """The first hidden layer mapped back to the image, [H, W] (Fig. 19).

    `mask1` is [h1, C*H*W], `mask2` is [h2, h1]. The paper does not define this map; our reading is the number of paths
    pixel -> hidden 1 -> hidden 2, so that a pixel counts each hidden neuron it feeds by that neuron's out-degree,
    added up over colours. Raises ValueError as chain and input_heat_map do.
    """
    return input_heat_map(path_counts(mask1, mask2), image_shape)


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


# Rows of signs multiplied at once: small enough to stay in cache, large enough for the matrix product.
BLOCK = 2048


def kendall_matrix(series: ArrayLike) -> NDArray[np.float64]:
    """Tau-b between every two rows of `series` [T, n]: the T x T matrix of Fig. 20, as scipy.stats.kendalltau gives.

    A row is turned into a vector of signs sign(x_i - x_j), one for each pair of neurons i < j and 0 for a tie. Tau-b is
    the cosine of the angle between two such vectors: their product counts concordant minus discordant pairs, their
    squared lengths count the pairs not tied. So the matrix is a Gram matrix, found in exact whole numbers block by
    block; the blocks take about 6 T (n + 2048) bytes. NaN where a row is constant. Raises ValueError for NaN in
    `series` or a wrong number of axes.
    """
    values = np.asarray(series)
    if values.ndim != 2:
        raise ValueError(
            f"Rank correlation over time needs an array [times, neurons], not one of shape {values.shape}."
        )
    if np.isnan(values).any():
        raise ValueError("Rank correlation needs numbers only, but the series contains NaN.")
    times, neurons = values.shape
    # Ranks instead of values: differences cannot overflow, whatever the dtype of the series.
    dtype = np.int16 if neurons < 2**15 else np.int32
    ranks = np.empty((neurons, times), dtype=dtype)
    for time, row in enumerate(values):
        ranks[:, time] = np.unique(row, return_inverse=True)[1]

    gram = np.zeros((times, times))
    differences = np.empty((BLOCK + neurons, times), dtype=dtype)
    signs = np.empty(differences.shape, dtype=np.float32)  # sums of +-1 stay exact below 2**24
    filled = 0
    for i in range(neurons - 1):
        pairs = neurons - 1 - i
        np.subtract(ranks[i + 1 :], ranks[i], out=differences[filled : filled + pairs])
        filled += pairs
        if filled >= BLOCK or pairs == 1:
            block = signs[:filled]
            np.clip(differences[:filled], -1, 1, out=block, casting="unsafe")
            gram += block.T @ block
            filled = 0

    lengths = np.sqrt(np.diag(gram))
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN we want for constant rows
        tau = gram / lengths[:, None] / lengths
    return np.clip(tau, -1.0, 1.0)


PAPER_LOW, PAPER_HIGH = 10, 110  # Fig. 9; 110 is also xmin of the power-law fits (Section 5.4)
_PAPER_CONNECTIONS, _PAPER_SIZES = (129_918, 48_719, 5_120), (1024, 512)
PAPER_MEAN_DEGREE = (sum(_PAPER_CONNECTIONS) + _PAPER_CONNECTIONS[1]) / sum(_PAPER_SIZES)  # 151.4


@dataclass(frozen=True)
class Thresholds:
    """Degrees at or below which a hidden neuron counts as dormant, and xmin; scaled with the mean hidden degree."""

    low: int
    high: int
    mean_degree: float

    @property
    def scaled(self) -> bool:
        return (self.low, self.high) != (PAPER_LOW, PAPER_HIGH)

    @property
    def sentence(self) -> str:
        """What the plot must say."""
        if not self.scaled:
            return f"thresholds {self.low} and {self.high} as in the paper"
        return (f"thresholds {self.low} and {self.high}: the paper's {PAPER_LOW} and {PAPER_HIGH} times "
                f"{self.mean_degree:.1f}/{PAPER_MEAN_DEGREE:.1f}, the ratio of mean hidden degrees")


def network_thresholds(shapes: Mapping[str, tuple[int, ...]], connections: Mapping[str, int]) -> Thresholds:
    """Thresholds for an MLP: the paper's, times its mean hidden degree over that of the paper's network.

    Layers in forward order. Where the last one is dense, the low threshold never falls below the number of classes: a
    neuron of the last hidden layer that has lost all its inputs still keeps that many connections.
    """
    counts = [connections[layer] for layer in shapes]
    hidden = [shape[0] for shape in shapes.values()][:-1]
    mean = sum(counts[:-1] + counts[1:]) / sum(hidden)
    last = list(shapes.values())[-1]
    return scaled_thresholds(mean, last[0] if counts[-1] == prod(last) else 0)


def scaled_thresholds(mean_degree: float, floor: int = 0) -> Thresholds:
    """The paper's thresholds for neurons of another mean degree; the low one is at least `floor`."""
    ratio = mean_degree / PAPER_MEAN_DEGREE
    return Thresholds(max(floor, round(PAPER_LOW * ratio)), round(PAPER_HIGH * ratio), mean_degree)
