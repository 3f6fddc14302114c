"""Exact numbers of connections and uniformly random first masks, against the paper's networks and a naive reading."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regrow import models
from regrow.config import CHOICES, RunConfig
from regrow.sparsity import Shape, connection_counts, densities, random_masks, relative_density

INITS = sorted(CHOICES["init"])
MLP = {"fc1": (1024, 3072), "fc2": (512, 1024), "fc3": (10, 512)}
CONVNET = {"conv1": (32, 3, 3, 3), "conv2": (64, 32, 3, 3), "conv3": (128, 64, 3, 3), "fc": (10, 128)}

sizes = st.integers(1, 40)
kernels = st.integers(1, 5)
shapes_of_layers = st.lists(st.tuples(sizes, sizes) | st.tuples(sizes, sizes, kernels, kernels), min_size=1,
                            max_size=6).map(lambda layers: {f"layer{i}": s for i, s in enumerate(layers)})
some_density = st.one_of(st.floats(0.001, 1.0), st.sampled_from([0.05, 0.1, 0.2, 0.5, 1.0]))


def total(shapes: dict[str, Shape]) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def exact_densities(shapes: dict[str, Shape], density: float, init: str) -> dict[str, Fraction]:
    """The same rule in rational numbers: dense layers never leave the dense set once they would exceed 1."""

    def relative(shape: Shape) -> Fraction:
        n_out, n_in, *kernel = shape
        kernel_sum, kernel_area = sum(kernel), math.prod(kernel)
        if init == "uniform":
            return Fraction(1)
        if init == "er":
            return Fraction(n_in + n_out, n_in * n_out)
        return Fraction(n_in + n_out + (kernel_sum if init == "erk" else 0), n_in * n_out * kernel_area)

    dense: set[str] = set()
    while True:
        sparse = [name for name in shapes if name not in dense]
        if not sparse:
            return {name: Fraction(1) for name in shapes}
        room = Fraction(density) * total(shapes) - sum(math.prod(shapes[name]) for name in dense)
        factor = room / sum(relative(shapes[name]) * math.prod(shapes[name]) for name in sparse)
        top = max(relative(shapes[name]) for name in sparse)
        if factor * top <= 1:
            return {name: Fraction(1) if name in dense else factor * relative(shapes[name]) for name in shapes}
        dense.update(name for name in sparse if relative(shapes[name]) == top)


# ---- the paper's networks -------------------------------------------------------------------------------------------


def test_mlp_has_the_papers_numbers_of_connections() -> None:
    assert connection_counts(MLP, 0.05, "erk") == {"fc1": 129_918, "fc2": 48_719, "fc3": 5_120}


@pytest.mark.parametrize("dataset", ["cifar10", "fashion_mnist"])
def test_the_default_config_leads_to_the_same_numbers(dataset: str) -> None:
    config = RunConfig(dataset=dataset)
    counts = connection_counts(models.weight_shapes(config, 10, (3, 32, 32)), 1 - config.sparsity, config.init)
    assert counts == {"fc1": 129_918, "fc2": 48_719, "fc3": 5_120}


def test_mlp_mean_degrees() -> None:
    """The degrees that the paper's Figure 5 starts from."""
    fc1, fc2, fc3 = connection_counts(MLP, 0.05, "erk").values()
    assert (round(fc1 / 3072, 1), round(fc1 / 1024, 1), round(fc2 / 1024, 1)) == (42.3, 126.9, 47.6)
    assert (round(fc2 / 512, 1), fc3 / 512) == (95.2, 10)


@pytest.mark.parametrize(("init", "conv1"), [("erk", 0.478), ("erk_printed", 0.431)])
def test_convnet_shows_the_difference_between_erk_and_its_printed_formula(init: str, conv1: float) -> None:
    config = RunConfig(model="convnet")
    shapes = models.weight_shapes(config, 10, (3, 32, 32))
    assert sorted(shapes.values()) == sorted(CONVNET.values())
    first = next(iter(shapes))
    assert densities(shapes, 0.05, init)[first] == pytest.approx(conv1, abs=5e-4)


def test_relative_density_by_hand() -> None:
    shape = (4, 2, 3, 5)  # 120 weights
    assert relative_density(shape, "erk") == pytest.approx(14 / 120)
    assert relative_density(shape, "erk_printed") == pytest.approx(6 / 120)
    assert relative_density(shape, "er") == pytest.approx(6 / 8)
    assert relative_density(shape, "uniform") == 1


def test_erk_and_er_agree_on_linear_layers() -> None:
    assert connection_counts(MLP, 0.05, "erk") == connection_counts(MLP, 0.05, "er")
    assert connection_counts(MLP, 0.05, "erk") == connection_counts(MLP, 0.05, "erk_printed")


def test_uniform_gives_every_layer_the_same_share() -> None:
    assert connection_counts(MLP, 0.05, "uniform") == {"fc1": 157_287, "fc2": 26_214, "fc3": 256}


def test_layers_that_tie_become_dense_together() -> None:
    """Both small layers would exceed 1; both end dense and the big one pays for it."""
    shapes = {"big": (100, 100), "a": (4, 4), "b": (4, 4)}
    shares = densities(shapes, 0.05, "er")
    assert shares["a"] == shares["b"] == 1
    assert connection_counts(shapes, 0.05, "er") == {"big": round(0.05 * 10_032) - 32, "a": 16, "b": 16}


def test_the_sum_leaves_no_fraction_behind() -> None:
    """Three layers of 2.5 exact connections: rounding each (2, 2, 2 or 3, 3, 3) would miss round(7.5) = 8."""
    counts = connection_counts({"a": (5, 5), "b": (5, 5), "c": (5, 5)}, 0.1, "uniform")
    assert sorted(counts.values()) == [2, 3, 3]


# ---- properties -----------------------------------------------------------------------------------------------------


@given(shapes_of_layers, some_density, st.sampled_from(INITS))
def test_counts_are_exact_and_possible(shapes: dict[str, Shape], density: float, init: str) -> None:
    counts = connection_counts(shapes, density, init)
    assert list(counts) == list(shapes)
    assert sum(counts.values()) == round(density * total(shapes))
    assert all(0 <= counts[name] <= math.prod(shapes[name]) for name in shapes)


@given(shapes_of_layers, some_density, st.sampled_from(INITS))
def test_densities_agree_with_rational_arithmetic(shapes: dict[str, Shape], density: float, init: str) -> None:
    exact = exact_densities(shapes, density, init)
    shares = densities(shapes, density, init)
    counts = connection_counts(shapes, density, init)
    for name, shape in shapes.items():
        assert shares[name] == pytest.approx(float(exact[name]), rel=1e-9)
        assert 0 <= shares[name] <= 1
        assert abs(counts[name] - exact[name] * math.prod(shape)) < 1 + 1e-6


@pytest.mark.parametrize("init", INITS)
def test_density_one_is_dense(init: str) -> None:
    for shapes in (MLP, CONVNET):
        assert connection_counts(shapes, 1.0, init) == {name: math.prod(shape) for name, shape in shapes.items()}


# ---- masks ----------------------------------------------------------------------------------------------------------


def test_masks_have_exactly_the_counts_for_every_seed() -> None:
    """Bernoulli masks, the common shortcut, would be off by hundreds in fc1."""
    counts = connection_counts(MLP, 0.05, "erk")
    for seed in range(3):
        masks = random_masks(MLP, counts, seed)
        assert {name: int(mask.sum()) for name, mask in masks.items()} == counts
        assert {name: tuple(mask.shape) for name, mask in masks.items()} == MLP
        assert all(mask.dtype == torch.bool for mask in masks.values())


def test_masks_follow_the_seed_and_nothing_else() -> None:
    shapes: dict[str, Shape] = {"a": (20, 30), "b": (20, 30)}
    counts = {"a": 100, "b": 100}
    torch.manual_seed(1)
    first = random_masks(shapes, counts, 0)
    torch.manual_seed(2)
    again, other = random_masks(shapes, counts, 0), random_masks(shapes, counts, 1)
    assert all(torch.equal(first[name], again[name]) for name in shapes)
    assert not torch.equal(first["a"], other["a"])
    assert not torch.equal(first["a"], first["b"])  # layers do not repeat each other


def test_masks_leave_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    random_masks({"a": (20, 30)}, {"a": 100}, 0)
    assert torch.equal(before, torch.get_rng_state())


def test_masks_are_uniform_over_positions() -> None:
    """Each of 12 positions is on in a quarter of 1200 masks; 6 standard deviations either way."""
    hits = torch.zeros(3, 4)
    for seed in range(1200):
        hits += random_masks({"a": (3, 4)}, {"a": 3}, seed)["a"]
    assert ((hits - 300).abs() < 6 * math.sqrt(1200 * 0.25 * 0.75)).all()


@pytest.mark.parametrize("count", [0, 1, 600])
def test_masks_at_the_edges(count: int) -> None:
    assert int(random_masks({"a": (20, 30)}, {"a": count}, 0)["a"].sum()) == count
