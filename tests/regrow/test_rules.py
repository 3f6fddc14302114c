"""Pruning and growth rules and the selection under them, against hand-computed 3x3 cases and a naive sorted list."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations
from unittest import mock

import numpy as np
import pytest
import torch
from builders import NUMBERS, RATES, Elsewhere, copies_there_and_back
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from regrow import rules  # noqa: F401  they register the rules
from regrow.config import CHOICES, FINGERPRINTS, RunConfig
from regrow.errors import ConfigError, RegrowError
from regrow.rules import (
    GROWTH,
    PRUNING,
    PRUNING_NEEDS,
    LayerState,
    connections_to_prune,
    growth,
    largest,
    needs,
    pruning,
    scores,
    smallest,
)

WEIGHT = torch.tensor([[0.1, 0.0, -0.2],
                       [0.0, 0.3, 0.0],
                       [-0.4, 0.0, 0.5]])
MASK = torch.tensor([[1, 0, 1],
                     [0, 1, 0],
                     [1, 0, 1]], dtype=torch.bool)
GRADIENT = torch.tensor([[0.9, -0.8, 0.1],
                         [0.2, -0.9, -0.7],
                         [0.0, 0.6, 0.3]])


def layer(weight: Tensor = WEIGHT, mask: Tensor = MASK, *, gradient: Tensor | None = None,
          average: Tensor | None = None, seed: int = 0) -> LayerState:
    return LayerState(weight, mask, torch.Generator().manual_seed(seed), gradient, average)


def on(*positions: int) -> Tensor:
    """A 3x3 boolean tensor, True at the flat positions."""
    flat = torch.zeros(9, dtype=torch.bool)
    flat[list(positions)] = True
    return flat.reshape(3, 3)


def naive(scores: np.ndarray, among: np.ndarray, n: int, *, big: bool) -> set[int]:
    """The n best candidates of a fully sorted list; equal scores in the order of their flat index."""
    values, positions = scores.ravel(), np.flatnonzero(among)
    ranked = sorted(positions, key=lambda i: (-values[i] if big else values[i], i))
    return {int(i) for i in ranked[:n]}


def positions(chosen: Tensor) -> set[int]:
    return set(chosen.flatten().nonzero().squeeze(1).tolist())


def nearest_whole(x: float) -> int:
    """Half to even, written without round()."""
    low = math.floor(x)
    if x - low == 0.5:
        return low + low % 2
    return low + (x - low > 0.5)


@st.composite
def layers(draw: st.DrawFn) -> LayerState:
    """A layer of up to 6x6, from empty to full; a few are convolutions."""
    shape = draw(st.sampled_from([(1, 1), (1, 6), (4, 3), (6, 6), (2, 3, 2, 2)]))
    size = math.prod(shape)

    def tensor(elements: st.SearchStrategy, dtype: torch.dtype) -> Tensor:
        return torch.tensor(draw(st.lists(elements, min_size=size, max_size=size)), dtype=dtype).reshape(shape)

    mask = tensor(st.booleans(), torch.bool)
    weight = tensor(NUMBERS, torch.float32) * mask
    return LayerState(weight, mask, torch.Generator().manual_seed(draw(st.integers(0, 5))),
                      tensor(NUMBERS, torch.float32), tensor(NUMBERS, torch.float32))


# ---- selection ------------------------------------------------------------------------------------------------------


@given(layers(), st.data())
def test_selection_is_the_head_of_a_sorted_list(state: LayerState, data: st.DataObject) -> None:
    assert state.gradient is not None
    n = data.draw(st.integers(0, int(state.mask.sum())))
    scores, among = state.gradient.numpy(), state.mask.numpy()
    assert positions(largest(state.gradient, state.mask, n)) == naive(scores, among, n, big=True)
    assert positions(smallest(state.gradient, state.mask, n)) == naive(scores, among, n, big=False)


@pytest.mark.parametrize("kind", ["smooth", "ties", "constant", "columns", "high sample", "nan", "infinite"])
@pytest.mark.parametrize("n", [0, 1, 37, 6_000, 29_999, 40_000, "all"])
def test_selection_in_a_large_layer_is_the_head_of_a_sorted_list(kind: str, n: int | str) -> None:
    """Large tensors take a short cut through a sample of every 64th position; it must never show."""
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((400, 320)).astype(np.float32)
    if kind == "ties":
        scores = scores.round()
    elif kind == "constant":
        scores[:] = 0
    elif kind == "columns":
        scores *= np.arange(320) % 64 != 0  # the sample sees zeros only
    elif kind == "high sample":
        scores.ravel()[::64] += 100  # the sample sees large values only
    elif kind == "nan":
        scores.ravel()[::7] = np.nan
    elif kind == "infinite":
        scores[scores > 2.5], scores[scores < 0] = np.inf, -np.inf
    among = rng.random((400, 320)) < 0.8
    count = int(among.sum()) if n == "all" else int(n)
    candidates = np.flatnonzero(among)
    keys = np.nan_to_num(scores.ravel()[candidates], nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    expected = np.sort(candidates[np.argsort(-keys, kind="stable")[:count]])
    chosen = largest(torch.from_numpy(scores), torch.from_numpy(among), count)
    assert np.array_equal(chosen.flatten().nonzero().squeeze(1).numpy(), expected)


def test_ties_go_to_the_lower_index() -> None:
    scores = torch.tensor([[1.0, 2.0, 2.0], [0.0, 2.0, 1.0], [1.0, 1.0, 2.0]])
    everywhere = torch.ones(3, 3, dtype=torch.bool)
    assert positions(largest(scores, everywhere, 3)) == {1, 2, 4}
    assert positions(largest(scores, everywhere, 6)) == {1, 2, 4, 8, 0, 5}
    assert positions(smallest(scores, everywhere, 3)) == {3, 0, 5}


def test_minus_zero_equals_zero() -> None:
    scores = torch.tensor([0.0, -0.0, 0.0, -0.0])
    everywhere = torch.ones(4, dtype=torch.bool)
    assert positions(largest(scores, everywhere, 2)) == positions(smallest(scores, everywhere, 2)) == {0, 1}


def test_selection_sees_candidates_only() -> None:
    scores = torch.tensor([9.0, 1.0, 8.0, 2.0])
    assert positions(largest(scores, torch.tensor([False, True, False, True]), 1)) == {3}


def test_selection_refuses_more_than_there_are() -> None:
    with pytest.raises(ValueError, match="cannot choose 3 of 2"):
        largest(torch.rand(4), torch.tensor([True, True, False, False]), 3)


def test_selection_keeps_its_number_when_training_has_diverged() -> None:
    """NaN and infinite gradients must not change how many connections there are; NaN comes last."""
    scores = torch.tensor([math.nan, math.inf, 1.0, -math.inf, math.nan, 2.0])
    everywhere = torch.ones(6, dtype=torch.bool)
    assert [int(largest(scores, everywhere, n).sum()) for n in range(7)] == list(range(7))
    assert positions(largest(scores, everywhere, 3)) == {1, 5, 2}
    assert int(largest(torch.full((6,), math.nan), everywhere, 4).sum()) == 4


def test_selection_changes_nothing_in_place() -> None:
    scores, among = GRADIENT.clone(), MASK.clone()
    largest(scores, among, 2)
    smallest(scores, among, 2)
    assert torch.equal(scores, GRADIENT)
    assert torch.equal(among, MASK)


# ---- pruning by hand ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "rate", "gone"), [
    ("magnitude", 0.4, (0, 2)),  # 2 of 5: 0.1 and -0.2
    ("magnitude", 0.6, (0, 2, 4)),
    ("set", 0.34, (0, 2)),  # 1 of 0.1 0.3 0.5 and 1 of -0.2 -0.4
    ("set", 0.5, (0, 4, 2)),  # 2 and 1
    ("set", 0.6, (0, 4, 2)),  # round(1.8) = 2 and round(1.2) = 1
    ("set_legacy", 0.4, (0, 2, 6)),  # k = 1: the smallest positive, and every negative
    ("set_legacy", 0.8, (0, 4, 2)),  # k = 2: two positive; of the negative ones the most negative stays
])
def test_pruning_by_hand(rule: str, rate: float, gone: tuple[int, ...]) -> None:
    assert torch.equal(PRUNING[rule](layer(), rate), on(*gone))


def test_magnitude_and_set_differ_where_signs_are_uneven() -> None:
    """All small weights positive: magnitude takes them, SET must take from the large negative ones as well."""
    weight = torch.tensor([[0.1, 0.2, 0.3], [0.4, -5.0, -6.0], [-7.0, -8.0, 0.0]])
    mask = on(0, 1, 2, 3, 4, 5, 6, 7)
    assert torch.equal(PRUNING["magnitude"](layer(weight, mask), 0.5), on(0, 1, 2, 3))
    assert torch.equal(PRUNING["set"](layer(weight, mask), 0.5), on(0, 1, 4, 5))


def test_random_pruning_draws_every_pair_alike() -> None:
    seen: dict[frozenset[int], int] = {}
    for seed in range(1000):
        pair = frozenset(positions(PRUNING["random"](layer(seed=seed), 0.4)))
        seen[pair] = seen.get(pair, 0) + 1
    assert set(seen) == {frozenset(pair) for pair in combinations((0, 2, 4, 6, 8), 2)}
    assert all(abs(n - 100) < 6 * math.sqrt(1000 * 0.1 * 0.9) for n in seen.values())


def test_random_pruning_ignores_the_weights_and_follows_its_generator() -> None:
    first, again = PRUNING["random"](layer(seed=3), 0.4), PRUNING["random"](layer(seed=3), 0.4)
    assert torch.equal(first, again)
    assert torch.equal(first, PRUNING["random"](layer(WEIGHT * -7, seed=3), 0.4))


# ---- pruning, properties --------------------------------------------------------------------------------------------


@given(layers(), RATES)
def test_magnitude_agrees_with_a_sorted_list(state: LayerState, rate: float) -> None:
    n = nearest_whole(rate * int(state.mask.sum()))
    expected = naive(np.abs(state.weight.numpy()), state.mask.numpy(), n, big=False)
    assert positions(PRUNING["magnitude"](state, rate)) == expected


@given(layers(), RATES)
def test_set_agrees_with_two_sorted_lists(state: LayerState, rate: float) -> None:
    weight, mask = state.weight.numpy(), state.mask.numpy()
    expected: set[int] = set()
    for part in (mask & (weight >= 0), mask & (weight < 0)):
        expected |= naive(np.abs(weight), part, nearest_whole(rate * int(part.sum())), big=False)
    assert positions(PRUNING["set"](state, rate)) == expected


@given(layers(), RATES)
def test_set_legacy_agrees_with_the_common_code(state: LayerState, rate: float) -> None:
    """Thresholds as that code takes them, on sorted lists: keep positives after the k-th, negatives before the k-th."""
    weight, mask = state.weight.numpy().ravel(), state.mask.numpy().ravel()
    remove = math.ceil(rate * int(mask.sum()))
    k = math.ceil(remove / 2)
    positive = sorted((i for i in np.flatnonzero(mask) if weight[i] >= 0), key=lambda i: (weight[i], i))
    negative = sorted((i for i in np.flatnonzero(mask) if weight[i] < 0), key=lambda i: (weight[i], i))
    expected = {int(i) for i in positive[:k] + negative[max(0, k - 1):]} if remove else set()
    assert positions(PRUNING["set_legacy"](state, rate)) == expected


@given(layers(), RATES, st.sampled_from(["magnitude", "set", "set_legacy", "random"]))
def test_pruned_lies_within_active(state: LayerState, rate: float, rule: str) -> None:
    """Also with active weights that are exactly zero: ranking all positions would take empty ones for them."""
    weight, mask = state.weight.clone(), state.mask.clone()
    pruned = PRUNING[rule](state, rate)
    assert pruned.dtype == torch.bool
    assert pruned.shape == state.mask.shape
    assert not (pruned & ~state.mask).any()
    assert torch.equal(state.weight, weight)  # pure
    assert torch.equal(state.mask, mask)


@given(layers(), RATES, st.sampled_from(["magnitude", "random"]))
def test_number_pruned_is_exact(state: LayerState, rate: float, rule: str) -> None:
    assert int(PRUNING[rule](state, rate).sum()) == nearest_whole(rate * int(state.mask.sum()))


@given(layers())
def test_rate_zero_prunes_nothing_and_rate_one_everything(state: LayerState) -> None:
    for rule in ("magnitude", "set", "random"):
        assert not PRUNING[rule](state, 0.0).any()
        assert torch.equal(PRUNING[rule](state, 1.0), state.mask)
    assert not PRUNING["set_legacy"](state, 0.0).any()


def test_active_zeros_go_first_and_empty_positions_never() -> None:
    """The trap: five active zeros beside four empty positions, all of magnitude 0."""
    pruned = PRUNING["magnitude"](layer(torch.zeros(3, 3)), 0.6)
    assert torch.equal(pruned, on(0, 2, 4))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_layers_with_one_sign_only(sign: float) -> None:
    """Without negative weights (a ReLU-fed output, say) SET is magnitude pruning, and the bug nearly is."""
    weight = torch.tensor([[0.1, 0.0, 0.2], [0.0, 0.3, 0.0], [0.4, 0.0, 0.5]]) * sign
    state = layer(weight)
    assert torch.equal(PRUNING["set"](state, 0.4), on(0, 2))
    assert torch.equal(PRUNING["magnitude"](state, 0.4), on(0, 2))
    assert torch.equal(PRUNING["set_legacy"](state, 0.4), on(0) if sign > 0 else MASK)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.3, 0.5, 0.9, 1.0])
def test_set_legacy_removes_about_half_whatever_the_rate(rate: float) -> None:
    weight = torch.randn(200, 200, generator=torch.Generator().manual_seed(0))
    mask = torch.rand(200, 200, generator=torch.Generator().manual_seed(1)) < 0.2
    state = layer(weight * mask, mask)
    active = int(mask.sum())
    assert int(PRUNING["set_legacy"](state, rate).sum()) / active == pytest.approx(0.5, abs=0.02)
    assert int(PRUNING["set"](state, rate).sum()) / active == pytest.approx(rate, abs=0.001)


def test_set_legacy_lets_the_weakest_negative_weights_go_and_keeps_the_strongest() -> None:
    """What makes it a bug is not which negatives go but how many: it spares k - 1, where k - 1 should have gone."""
    weight = -torch.arange(1.0, 10.0).reshape(3, 3)
    everywhere = torch.ones(3, 3, dtype=torch.bool)
    pruned = PRUNING["set_legacy"](layer(weight, everywhere), 0.6)  # ceil(5.4) = 6, k = 3, two negatives stay
    assert positions(everywhere & ~pruned) == {7, 8}


# ---- growth ---------------------------------------------------------------------------------------------------------


def test_gradient_score_is_the_magnitude_at_every_position() -> None:
    assert torch.equal(GROWTH["gradient"].score(layer(gradient=GRADIENT)), GRADIENT.abs())


def test_momentum_score_is_the_magnitude_of_the_average_not_of_the_gradient() -> None:
    assert torch.equal(GROWTH["momentum"].score(layer(gradient=GRADIENT, average=GRADIENT.T)), GRADIENT.T.abs())


def test_gradient_growth_by_hand() -> None:
    """Empty are 1, 3, 5, 7 with |g| = 0.8, 0.2, 0.7, 0.6; the larger gradients at connections do not count."""
    assert torch.equal(largest(GROWTH["gradient"].score(layer(gradient=GRADIENT)), ~MASK, 2), on(1, 5))


def test_momentum_growth_by_hand() -> None:
    average = torch.tensor([[0.0, 0.1, 0.0], [-0.5, 0.0, 0.2], [0.0, -0.3, 9.0]])
    state = layer(gradient=GRADIENT, average=average)
    assert torch.equal(largest(GROWTH["momentum"].score(state), ~MASK, 2), on(3, 7))


def test_random_growth_draws_every_empty_position_alike() -> None:
    hits = torch.zeros(3, 3)
    for seed in range(1000):
        hits += largest(GROWTH["random"].score(layer(seed=seed)), ~MASK, 2)
    assert not hits[MASK].any()
    assert ((hits[~MASK] - 500).abs() < 6 * math.sqrt(1000 * 0.25)).all()


def test_what_the_rules_read() -> None:
    assert GROWTH["random"].needs == frozenset()
    assert GROWTH["gradient"].needs == {"gradient"}
    assert GROWTH["momentum"].needs == {"average"}


# ---- registration ---------------------------------------------------------------------------------------------------


@pytest.fixture
def registries() -> Iterator[None]:
    """Rules that a test registers are forgotten afterwards."""
    with (mock.patch.dict(PRUNING), mock.patch.dict(GROWTH), mock.patch.dict(CHOICES["prune"]),
          mock.patch.dict(CHOICES["grow"]), mock.patch.dict(FINGERPRINTS), mock.patch.dict(PRUNING_NEEDS)):
        yield


def test_every_named_rule_exists() -> None:
    assert set(PRUNING) == set(CHOICES["prune"]) - {"none"}
    assert set(GROWTH) == set(CHOICES["grow"]) - {"none"}


@pytest.mark.usefixtures("registries")
def test_a_rule_of_ones_own_is_as_good_as_a_built_in_one() -> None:
    @pruning("first")
    def prune_first(state: LayerState, rate: float) -> Tensor:
        """The connections with the lowest index."""
        return smallest(torch.arange(state.mask.numel()).reshape(state.mask.shape).float(), state.mask, 1)

    @growth("gradient_sign", needs="gradient average")
    def score(state: LayerState) -> Tensor:
        """Where both agree."""
        assert state.gradient is not None
        return state.gradient

    config = RunConfig(prune="first", grow="random>gradient_sign")
    assert config.grow_phases == ("random", "gradient_sign")
    assert CHOICES["prune"]["first"] == "The connections with the lowest index."
    assert GROWTH["gradient_sign"].needs == {"gradient", "average"}
    assert torch.equal(PRUNING["first"](layer(), 0.5), on(0))


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(("register", "sentence"), [
    (lambda: growth(lambda state: state.weight), r'write @regrow.growth\("my-rule"\)'),
    (lambda: pruning(lambda state, rate: state.mask), r'@regrow.pruning\("my-rule"\)'),
    (lambda: growth(), "needs a name"), (lambda: growth(7), "needs a name"),
    (lambda: growth("x", needs="gradients"), "did you mean 'gradient'"),
    (lambda: growth("x", needs=["gradient", 3]), "There is no 3"), (lambda: growth("x", needs=3), "There is no 3"),
    (lambda: growth("x")(None), "must be a function that is called as rule\\(layer\\)"),
    (lambda: growth("x")(LayerState), "must be a function"), (lambda: growth("x")(lambda: 1), "must be a function"),
    (lambda: pruning("x")(lambda layer: layer.mask), "called as rule\\(layer, rate\\)"),
    (lambda: pruning("x", elementwise=True, needs="gradient"), "cannot be elementwise and read gradient"),
])
def test_a_rule_that_cannot_be_registered_is_one_sentence(register: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        register()


class Scaled:
    """Its size, times a number."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, state: LayerState) -> Tensor:
        return self.factor * state.weight

    def score(self, state: LayerState) -> Tensor:
        return self(state)


@pytest.mark.usefixtures("registries")
def test_whatever_can_be_called_is_a_rule() -> None:
    """Part of a function, an object, its method, a lambda: with a description and a key of its own."""
    def scaled(state: LayerState, factor: float) -> Tensor:
        """As it says."""
        return factor * state.weight

    keys = set()
    for rule in (partial(scaled, factor=2.0), partial(scaled, factor=3.0), Scaled(2.0), Scaled(3.0), Scaled(4.0).score,
                 lambda state: 5 * state.weight):
        growth("mine", needs=("gradient",))(rule)
        assert torch.equal(scores(layer(), "mine"), rule(layer()))
        keys.add(RunConfig(grow="mine").key)
    assert len(keys) == 6 and GROWTH["mine"].needs == {"gradient"}
    growth("mine")(partial(scaled, factor=2.0))
    assert CHOICES["grow"]["mine"] == "As it says."


@pytest.mark.usefixtures("registries")
def test_a_built_in_rule_under_another_name_is_told_apart_and_takes_no_other_ones_place() -> None:
    keys = set()
    for rule in (GROWTH["gradient"].score, GROWTH["random"].score, lambda state: state.weight):
        growth("mine")(rule)
        keys.add(RunConfig(grow="mine").key)
    assert len(keys) == 3
    with pytest.raises(ConfigError, match="built-in rule 'random' already"):
        growth("random")(GROWTH["gradient"].score)


@pytest.mark.usefixtures("registries")
def test_a_key_follows_what_a_rule_uses_without_registering_it_again() -> None:
    scale = [1.0]
    growth("mine")(lambda state: scale[0] * state.weight)
    config = RunConfig(grow="mine")
    first = config.key
    scale[0] = -1.0
    assert config.key != first
    scale[0] = 1.0
    assert config.key == first


@pytest.mark.usefixtures("registries")
def test_what_a_key_cannot_cover_is_said_once() -> None:
    lock = threading.Lock()

    def locked(state: LayerState) -> Tensor:
        with lock:
            return state.weight

    with pytest.warns(UserWarning, match="'mine, locked' does not cover lock .*another name when it changes"):
        growth("mine, locked")(locked)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert RunConfig(grow="mine, locked").key


# ---- rules of users -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("answer", [
    lambda good: good.numpy(), lambda good: good.double(), lambda good: (10 * good).long(), lambda good: good.half(),
    lambda good: good.clone().requires_grad_(), lambda good: good.to_sparse(), lambda good: good.numpy().astype(">f4")])
def test_scores_of_any_numbers_are_taken(answer: Callable[[Tensor], object]) -> None:
    growth("mine", needs="gradient")(lambda state: answer(state.gradient))
    state = layer(gradient=GRADIENT)
    assert torch.equal(largest(scores(state, "mine"), ~MASK, 2), largest(GRADIENT, ~MASK, 2))


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(("answer", "said"), [
    (lambda state: None, "returned nothing"), (lambda state: [1.0], "of type list"), (lambda state: 2, "of type int"),
    (lambda state: state.weight[:, :1], r"of shape \(3, 1\)"), (lambda state: state.weight.flatten(), r"shape \(9,\)"),
    (lambda state: state.weight * 1j, "complex64"), (lambda state: state.weight.to("meta"), "on meta"),
    (lambda state: state.weight * torch.nan, "NaN everywhere"),
    (lambda state: state.weight.numpy().astype(str), "<U32"),
    (lambda state: state.gradient, "reads layer.gradient .*register it with needs=\"gradient\""),
    (lambda state: state.average.abs(), "reads layer.average.* line .*needs=\"average\""),
    (lambda state: 1 / 0, "fails in layer 'fc7', test_rules.py line .* ZeroDivisionError: division by zero")])
def test_another_answer_is_one_sentence_that_names_rule_and_layer(answer: Callable[[LayerState], object],
                                                                   said: str) -> None:
    growth("mine")(answer)
    with pytest.raises(RegrowError, match=said) as raised:
        scores(replace(layer(gradient=GRADIENT, average=GRADIENT), name="fc7"), "mine")
    assert "'mine'" in str(raised.value) and "'fc7'" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.usefixtures("registries")
def test_numbers_that_went_wrong_in_training_are_not_blamed_on_the_rule() -> None:
    growth("mine")(lambda state: state.weight * 1)
    assert scores(layer(WEIGHT * torch.nan), "mine").isnan().all()


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("answer", [lambda gone: gone, lambda gone: gone.float(), lambda gone: gone.numpy(),
                                    lambda gone: gone.int(), lambda gone: gone | ~MASK])
def test_a_mask_of_zeros_and_ones_is_taken_as_far_as_there_are_connections(answer: Callable[[Tensor], object]) -> None:
    pruning("mine")(lambda state, rate: answer(on(0, 2)))
    assert torch.equal(connections_to_prune(layer(), 0.4, "mine"), on(0, 2))


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(("answer", "said"), [
    (lambda state: state.weight.abs(), "numbers other than 0 and 1"), (lambda state: torch.tensor([0, 2]), "shape"),
    (lambda state: True, "of type bool"), (lambda state: state.gradient > 0, "reads layer.gradient")])
def test_scores_and_indices_are_no_mask(answer: Callable[[LayerState], object], said: str) -> None:
    pruning("mine")(lambda state, rate: answer(state))
    with pytest.raises(RegrowError, match=f"'mine'.*{said}"):
        connections_to_prune(layer(gradient=GRADIENT), 0.4, "mine")


@pytest.mark.usefixtures("registries")
def test_a_mask_of_what_is_kept_is_warned_of() -> None:
    mask = torch.ones(10, 10, dtype=torch.bool).tril()
    pruning("mine, kept")(lambda state, rate: state.mask & ~PRUNING["magnitude"](state, rate))
    with pytest.warns(UserWarning, match="'mine, kept' removes 44 of 55 connections at a rate of 0.2, which is what"):
        connections_to_prune(layer(torch.randn(10, 10), mask), 0.2, "mine, kept")


@pytest.mark.usefixtures("registries")
def test_a_pruning_rule_may_ask_for_the_gradient() -> None:
    pruning("mine", needs="gradient")(lambda state, rate: state.mask & (state.gradient.abs() > 2))
    state = layer(gradient=GRADIENT, average=GRADIENT)
    assert torch.equal(connections_to_prune(state, 0.4, "mine"), MASK & (GRADIENT.abs() > 2))
    assert needs(RunConfig(prune="mine", grow="random")) == {"gradient"}


@pytest.mark.usefixtures("registries")
def test_a_rule_gets_copies_and_global_generators_of_its_own() -> None:
    def greedy(state: LayerState) -> Tensor:
        chance = torch.rand(state.mask.shape) + torch.rand(state.mask.shape, generator=state.generator)
        state.generator.manual_seed(0)
        torch.manual_seed(0)
        for part in (state.weight, state.mask, state.gradient):
            part.zero_()
        return chance

    growth("mine", needs="gradient")(greedy)
    state = layer(WEIGHT.clone(), MASK.clone(), gradient=GRADIENT.clone())
    before, there = torch.get_rng_state(), state.generator.get_state()
    drawn = scores(state, "mine")
    assert torch.equal(state.weight, WEIGHT) and torch.equal(state.mask, MASK) and torch.equal(state.gradient, GRADIENT)
    assert torch.equal(torch.get_rng_state(), before) and torch.equal(state.generator.get_state(), there)
    torch.rand(5)
    assert torch.equal(scores(state, "mine"), drawn)  # whatever else was drawn in the process


@pytest.mark.usefixtures("registries")
def test_what_a_rule_draws_from_the_layers_generator_is_drawn() -> None:
    growth("mine")(GROWTH["random"].score.__call__)
    ours, theirs = layer(seed=3), layer(seed=3)
    assert torch.equal(scores(ours, "random"), scores(theirs, "mine"))
    assert torch.equal(ours.generator.get_state(), theirs.generator.get_state())


def test_an_unregistered_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match="There is no prune 'first'"):
        RunConfig(prune="first")


@pytest.mark.usefixtures("registries")
def test_a_rule_of_ones_own_runs_on_the_processor_for_a_gpu_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """From whatever generator it draws, and with numpy: the same answer, and where the network is."""
    copies_there_and_back(monkeypatch)

    @growth("mine", needs="gradient")
    def mine(state: LayerState) -> np.ndarray:
        own = torch.rand(state.mask.shape, generator=state.generator, device=state.mask.device)
        return state.gradient.numpy() * state.weight.numpy() + own.numpy() + torch.rand_like(state.weight).numpy()

    @pruning("mine", needs="gradient")
    def pruned(state: LayerState, rate: float) -> Tensor:
        return state.mask & (torch.rand(state.mask.shape, generator=state.generator) * state.gradient.abs() < rate)

    here, there = (layer(WEIGHT.clone().as_subclass(kind), MASK.clone().as_subclass(kind),
                         gradient=GRADIENT.clone().as_subclass(kind), seed=2) for kind in (Tensor, Elsewhere))
    for answer in (lambda state: scores(state, "mine"), lambda state: connections_to_prune(state, 0.5, "mine")):
        ours, theirs = answer(here), answer(there)
        assert torch.equal(ours, theirs.as_subclass(Tensor)) and theirs.device == torch.device("cuda:0")
