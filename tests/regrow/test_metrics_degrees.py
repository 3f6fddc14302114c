"""Degrees, distributions, adjacency and pixel maps against hand-computed and brute-force answers."""

from __future__ import annotations

from itertools import pairwise

import networkx as nx
import numpy as np
import pytest

from regrow import metrics

# 3 inputs -> 2 hidden -> 2 outputs, seven connections, drawn by hand: rows are receiving neurons.
FIRST = np.array([[1, 1, 0], [0, 1, 1]], dtype=bool)
SECOND = np.array([[1, 0], [1, 1]], dtype=bool)
HAND = {"fc1": FIRST, "fc2": SECOND}


def degrees_of(masks: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], tuple[str, ...]]:
    received = {name: metrics.in_degree(mask) for name, mask in masks.items()}
    sent = {name: metrics.out_degree(mask) for name, mask in masks.items()}
    return received, sent, tuple(masks)


def random_masks(sizes: list[int], density: float, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.random((above, below)) < density for below, above in pairwise(sizes)]


def test_hand_computed_degrees():
    received, sent, layers = degrees_of(HAND)
    assert received["fc1"].tolist() == [2, 2] and sent["fc1"].tolist() == [1, 2, 1]
    assert received["fc2"].tolist() == [1, 2] and sent["fc2"].tolist() == [2, 1]
    assert [d.tolist() for d in metrics.total_degrees(received, sent, layers)] == [[1, 2, 1], [4, 3], [1, 2]]
    assert metrics.hidden_degrees(received, sent, layers).tolist() == [4, 3]


def test_convolution_degrees_count_every_kernel_position():
    mask = np.random.default_rng(0).random((4, 3, 5, 5)) < 0.3
    assert metrics.in_degree(mask).tolist() == [int(mask[o].sum()) for o in range(4)]
    assert metrics.out_degree(mask).tolist() == [int(mask[:, i].sum()) for i in range(3)]


@pytest.mark.parametrize("shape", [(6, 9), (4, 3, 3, 3), (2, 512, 9, 9)])
def test_torch_tensors_give_the_same_degrees(shape):
    torch = pytest.importorskip("torch")
    mask = np.random.default_rng(1).random(shape) < 0.9
    tensor = torch.from_numpy(mask)
    assert isinstance(metrics.in_degree(tensor), torch.Tensor)
    assert metrics.in_degree(tensor).tolist() == metrics.in_degree(mask).tolist()
    assert metrics.out_degree(tensor).tolist() == metrics.out_degree(mask).tolist()


def test_degree_sums_equal_the_number_of_connections():
    masks = dict(zip(("a", "b", "c"), random_masks([40, 30, 20, 5], 0.2, seed=2), strict=True))
    received, sent, layers = degrees_of(masks)
    connections = sum(int(mask.sum()) for mask in masks.values())
    for name, mask in masks.items():
        assert received[name].sum() == sent[name].sum() == mask.sum()
    assert sum(int(d.sum()) for d in metrics.total_degrees(received, sent, layers)) == 2 * connections


def test_total_degrees_keep_time_and_do_not_overflow_int16():
    received = {"a": np.full((3, 2, 4), 30_000, np.int16), "b": np.ones((3, 2, 5), np.int16)}
    sent = {"a": np.zeros((3, 2, 7), np.int16), "b": np.full((3, 2, 4), 30_000, np.int16)}
    layers = metrics.total_degrees(received, sent, ("a", "b"))
    assert [d.shape for d in layers] == [(3, 2, 7), (3, 2, 4), (3, 2, 5)]
    assert all(d.dtype == np.int32 for d in layers) and (layers[1] == 60_000).all()
    assert metrics.hidden_degrees(received, sent, ("a", "b")).shape == (3, 2, 4)


def test_layers_that_do_not_chain_are_refused():
    received, sent, _ = degrees_of({"conv": np.ones((4, 3, 3, 3), bool), "fc": np.ones((10, 64), bool)})
    with pytest.raises(ValueError, match=r"conv ends in 4 neurons .* fc starts from 64"):
        metrics.total_degrees(received, sent, ("conv", "fc"))
    with pytest.raises(ValueError, match="no hidden neurons"):
        metrics.hidden_degrees(received, sent, ("fc",))
    with pytest.raises(ValueError, match="at least one layer"):
        metrics.total_degrees(received, sent, ())
    with pytest.raises(ValueError, match="fully connected"):
        metrics.chain([np.ones((4, 3, 3, 3), bool)])
    with pytest.raises(ValueError, match="not none"):
        metrics.chain([])
    with pytest.raises(ValueError, match="4 neurons meet 5"):
        metrics.chain([np.ones((4, 3), bool), np.ones((2, 5), bool)])


def test_distributions_follow_equations_17_and_18():
    degrees = np.array([[3, 0, 3], [1, 3, 0]])
    values, fraction = metrics.degree_distribution(degrees)
    assert values.tolist() == [0, 1, 3]
    np.testing.assert_allclose(fraction, [2 / 6, 1 / 6, 3 / 6])
    values, cumulative = metrics.cumulative_distribution(degrees)
    assert values.tolist() == [0, 1, 3] and cumulative[-1] == 1.0
    np.testing.assert_allclose(cumulative, [(degrees <= k).mean() for k in values])


def test_dormant_neurons_include_the_threshold_and_keep_time():
    degrees = np.array([[[10, 11, 9], [10, 10, 10]], [[50, 60, 70], [0, 10, 111]]])
    assert metrics.dormant_counts(degrees, 10).tolist() == [[2, 3], [0, 2]]
    assert metrics.dormant_counts(degrees, 110).tolist() == [[3, 3], [3, 2]]


def test_hand_computed_adjacency():
    expected = np.zeros((7, 7), dtype=int)
    for a, b in [(0, 3), (1, 3), (1, 4), (2, 4), (3, 5), (3, 6), (4, 6)]:
        expected[a, b] = expected[b, a] = 1
    assert metrics.adjacency(HAND.values()).toarray().tolist() == expected.tolist()


@pytest.mark.parametrize(("sizes", "density"), [([7, 5, 4, 3], 0.4), ([6, 1, 5], 0.5), ([5, 4], 0.0), ([3, 8, 2], 1.0)])
def test_networkx_graph_agrees_with_adjacency_and_degrees(sizes, density):
    masks = random_masks(sizes, density, seed=3)
    directed = metrics.to_networkx(masks)
    matrix = metrics.adjacency(masks)
    assert directed.number_of_edges() == sum(int(mask.sum()) for mask in masks) == matrix.nnz // 2
    nodes = range(sum(sizes))
    assert (nx.to_numpy_array(directed.to_undirected(), nodelist=nodes) == matrix.toarray()).all()
    assert [(d["layer"], d["index"]) for _, d in directed.nodes(data=True)] == [
        (layer, i) for layer, size in enumerate(sizes) for i in range(size)
    ]
    assert all(directed.nodes[b]["layer"] == directed.nodes[a]["layer"] + 1 for a, b in directed.edges)
    received, sent, layers = degrees_of({str(i): mask for i, mask in enumerate(masks)})
    totals = np.concatenate(metrics.total_degrees(received, sent, layers))
    assert totals.tolist() == [directed.degree[i] for i in nodes] == matrix.sum(axis=1).tolist()


def test_input_heat_map_adds_colours_and_keeps_time():
    degrees = np.random.default_rng(4).integers(0, 9, (5, 3 * 2 * 4)).astype(np.int16)
    heat = metrics.input_heat_map(degrees, (3, 2, 4))
    assert heat.shape == (5, 2, 4)
    for t, y, x in np.ndindex(5, 2, 4):
        assert heat[t, y, x] == sum(degrees[t, c * 8 + y * 4 + x] for c in range(3))
    with pytest.raises(ValueError, match="24 values, but the layer has 25"):
        metrics.input_heat_map(np.zeros(25), (3, 2, 4))


def test_first_hidden_map_counts_paths():
    first, second = random_masks([2 * 3 * 3, 6, 5], 0.5, seed=5)
    paths = np.zeros((3, 3), dtype=int)
    for c, y, x, h, k in np.ndindex(2, 3, 3, 6, 5):
        paths[y, x] += first[h, c * 9 + y * 3 + x] and second[k, h]
    assert metrics.first_hidden_map(first, second, (2, 3, 3)).tolist() == paths.tolist()
