"""k-shells against networkx, which peels one node at a time."""

from __future__ import annotations

from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from regrow import RunConfig, Store
from regrow.metrics import coreness, k_shells, to_networkx


def oracle(masks: list[np.ndarray]) -> list[int]:
    shells = nx.core_number(to_networkx(masks).to_undirected())
    return [shells[node] for node in range(len(shells))]


def exact_mask(shape: tuple[int, int], connections: int, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`connections` True entries, drawn without replacement with probability proportional to `weights`."""
    scores = np.log(weights) + rng.gumbel(size=shape)
    mask = np.zeros(scores.size, dtype=bool)
    mask[np.argpartition(-scores.ravel(), connections)[:connections]] = True
    return mask.reshape(shape)


def paper_mlp(skewed: bool) -> list[np.ndarray]:
    """3072-1024-512-10 at 5 % (ERK counts): uniformly random, or with the hubs and idle neurons of a trained net."""
    rng = np.random.default_rng(0)
    masks = []
    for shape, connections in (((1024, 3072), 129_918), ((512, 1024), 48_719)):
        weights = np.ones(shape)
        if skewed:
            weights = np.outer(rng.pareto(1.2, shape[0]) + 1e-3, rng.pareto(1.2, shape[1]) + 1e-3)
        masks.append(exact_mask(shape, connections, weights, rng))
    return [*masks, np.ones((10, 512), dtype=bool)]


def test_hand_computed_shells():
    # Inputs 0 to 2 with hidden 0 to 2 form a 2-core; input 3 hangs on hidden 0, input 4 is alone;
    # output 0 is a leaf of hidden 2, output 1 alone.
    first = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 0, 0], [1, 0, 1, 0, 0]], dtype=bool)
    second = np.array([[0, 0, 1], [0, 0, 0]], dtype=bool)
    shells = k_shells([first, second])
    assert [shell.tolist() for shell in shells] == [[2, 2, 2, 1, 0], [2, 2, 2], [1, 0]]
    assert all(shell.dtype == np.int32 for shell in shells)


def test_a_dense_layer_gives_the_size_of_its_smaller_side():
    assert [s.tolist() for s in k_shells({"fc": np.ones((3, 5), dtype=bool)}.values())] == [[3] * 5, [3] * 3]


@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=5),
    density=st.sampled_from([0.0, 0.05, 0.2, 0.5, 0.9, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_shells_equal_networkx_on_random_layered_graphs(sizes, density, seed):
    rng = np.random.default_rng(seed)
    masks = [rng.random((above, below)) < density for below, above in pairwise(sizes)]
    shells = k_shells(masks)
    assert [len(shell) for shell in shells] == sizes
    assert np.concatenate(shells).tolist() == oracle(masks)


@pytest.mark.parametrize("skewed", [False, True], ids=["random", "skewed"])
def test_shells_equal_networkx_on_the_papers_mlp(skewed):
    masks = paper_mlp(skewed)
    shells = k_shells(masks)
    assert np.concatenate(shells).tolist() == oracle(masks)
    # The dense output layer holds every neuron of hidden 2 in shell 10 or higher (Fig. 12).
    assert shells[2].min() >= 10
    if skewed:
        assert shells[2].min() == 10 and shells[1].min() == 0


@pytest.mark.parametrize("seed", range(3))
def test_coreness_holds_for_graphs_without_layers(seed):
    reference = nx.barabasi_albert_graph(300, 4, seed=seed)
    reference.add_node(300)
    matrix = sparse.csr_array(nx.to_scipy_sparse_array(reference, nodelist=range(301)))
    assert coreness(matrix).tolist() == [nx.core_number(reference)[node] for node in range(301)]


def test_coreness_of_a_trained_network(tmp_path):
    """Masks that training has made uneven, with neurons that lost everything."""
    config = RunConfig(hidden=(60, 30), train_limit=1000, epochs=4, update_interval=4, grow="gradient")
    masks = list(Store(tmp_path).ensure(config).masks(5).values())
    shells = k_shells(masks)
    assert any((shell == 0).any() for shell in shells)
    assert np.concatenate(shells).tolist() == oracle(masks)
