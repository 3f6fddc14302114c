"""One prune-and-regrow step: hand-computed, against a naive loop, and as properties; then many of them in a network."""

from __future__ import annotations

import math
import random
import warnings
from unittest import mock

import numpy as np
import pytest
import torch
from builders import NUMBERS, RATES, Elsewhere, copies_there_and_back
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torture import odd_rules

from regrow.config import CHOICES, RunConfig, preset
from regrow.rules import GROWTH, PRUNING, LayerState
from regrow.topology import (
    Rewiring,
    Topology,
    gradients_of,
    optimizer_state,
    ranks_buffer,
    rewire,
    rewired_buffer,
    rewired_weight,
)

PRUNE = sorted(set(CHOICES["prune"]) - {"none"})
GROW = sorted(set(CHOICES["grow"]) - {"none"})

WEIGHT = torch.tensor([[0.1, 0.0, -0.2],
                       [0.0, 0.3, 0.0],
                       [-0.4, 0.0, 0.5]])
MASK = WEIGHT != 0
GRADIENT = torch.tensor([[0.9, -0.8, 0.1],
                         [0.2, -0.9, -0.7],
                         [0.0, 0.6, 0.3]])
AVERAGE = torch.tensor([[0.0, 0.1, 0.0],
                        [-0.5, 0.0, 0.2],
                        [0.0, -0.3, 9.0]])


def layer(weight: Tensor = WEIGHT, mask: Tensor = MASK, gradient: Tensor = GRADIENT, average: Tensor = AVERAGE,
          seed: int = 0) -> LayerState:
    return LayerState(weight, mask, torch.Generator().manual_seed(seed), gradient, average)


def positions(chosen: Tensor) -> set[int]:
    return set(chosen.flatten().nonzero().squeeze(1).tolist())


@st.composite
def layers(draw: st.DrawFn) -> LayerState:
    """A layer from empty to full, weights of both signs or of one, gradients often all zero."""
    shape = draw(st.sampled_from([(1, 1), (1, 6), (4, 3), (6, 6), (2, 3, 2, 2)]))
    size = math.prod(shape)
    signs = draw(st.sampled_from([NUMBERS, NUMBERS.map(abs), st.just(0.0)]))
    slopes = draw(st.sampled_from([NUMBERS, st.just(0.0)]))

    def tensor(elements: st.SearchStrategy, dtype: torch.dtype) -> Tensor:
        return torch.tensor(draw(st.lists(elements, min_size=size, max_size=size)), dtype=dtype).reshape(shape)

    mask = tensor(st.booleans(), torch.bool)
    return LayerState(tensor(signs, torch.float32) * mask, mask, torch.Generator().manual_seed(draw(st.integers(0, 5))),
                      tensor(slopes, torch.float32), tensor(slopes, torch.float32))


# ---- by hand --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("prune", "grow", "regrow_pruned", "pruned", "grown"), [
    ("magnitude", "gradient", True, {0, 2}, {0, 1}),  # 0 has the largest gradient and comes back at once
    ("magnitude", "gradient", False, {0, 2}, {1, 5}),
    ("magnitude", "momentum", True, {0, 2}, {3, 7}),
    ("magnitude", "momentum", False, {0, 2}, {3, 7}),
    ("set", "gradient", True, {0, 2}, {0, 1}),
    ("set", "momentum", True, {0, 2}, {3, 7}),
    ("set_legacy", "gradient", True, {0, 2, 6}, {0, 1, 5}),
    ("set_legacy", "gradient", False, {0, 2, 6}, {1, 5, 7}),
    ("set_legacy", "momentum", True, {0, 2, 6}, {3, 7, 5}),
])
def test_update_by_hand(prune: str, grow: str, regrow_pruned: bool, pruned: set[int], grown: set[int]) -> None:
    """Two of the five connections go (three with the bug); 8, kept, cannot grow whatever its average."""
    result = rewire(layer(), rate=0.4, prune=prune, grow=grow, regrow_pruned=regrow_pruned)
    assert positions(result.pruned) == pruned
    assert positions(result.grown) == grown
    assert positions(result.mask) == {0, 2, 4, 6, 8} - pruned | grown


@pytest.mark.parametrize(("kept", "expected"), [
    ("zero", [[0.0, 0.0, 0.0], [0.0, 0.3, 0.0], [-0.4, 0.0, 0.5]]),
    ("keep", [[0.1, 0.0, 0.0], [0.0, 0.3, 0.0], [-0.4, 0.0, 0.5]]),  # 0 was pruned and regrown, 1 is new
])
def test_weights_after_the_update_by_hand(kept: str, expected: list[list[float]]) -> None:
    result = rewire(layer(), rate=0.4, prune="magnitude", grow="gradient")
    assert torch.equal(rewired_weight(WEIGHT, result, kept), torch.tensor(expected))


@pytest.mark.parametrize(("options", "cleared"), [
    ({}, {0, 1, 2, 3, 5, 7}),  # the grown ones (0, 1) and every empty place
    ({"grown_buffer": "keep"}, set()),
    ({"grow": "momentum", "growth_momentum": "sgd_buffer"}, {0, 1}),  # empty places go on collecting
    ({"grow": "momentum", "growth_momentum": "sgd_buffer", "grown_buffer": "keep"}, set()),
    ({"growth_momentum": "sgd_buffer"}, {0, 1, 2, 3, 5, 7}),  # gradient growth: the option has no meaning
    ({"grow": "random>momentum", "growth_momentum": "sgd_buffer"}, {0, 1}),
])
def test_optimizer_momentum_after_the_update(options: dict[str, str], cleared: set[int]) -> None:
    result = rewire(layer(), rate=0.4, prune="magnitude", grow="gradient")
    buffer = rewired_buffer(torch.ones(3, 3), result, RunConfig(**options))  # type: ignore[arg-type]
    assert positions(buffer == 0) == cleared


def test_growth_is_not_bound_to_the_row_that_lost() -> None:
    """Growing in the row it pruned would freeze in-degrees, and no hub could appear."""
    weight = torch.tensor([[0.1, 0.1, 0.1, 0.0, 0.0], [9.0, 9.0, 0.0, 0.0, 0.0]])
    gradient = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0, 1.0]])
    result = rewire(layer(weight, weight != 0, gradient), rate=0.6, prune="magnitude", grow="gradient")
    assert result.mask.sum(1).tolist() == [0, 5]


def test_random_growth_reaches_every_row_and_column() -> None:
    hits = torch.zeros(3, 3)
    for seed in range(400):
        hits += rewire(layer(seed=seed), rate=0.4, prune="magnitude", grow="random").grown
    candidates = torch.ones(3, 3, dtype=torch.bool) & ~torch.tensor([[0, 0, 0], [0, 1, 0], [1, 0, 1]], dtype=torch.bool)
    assert positions(hits > 0) == positions(candidates)
    assert ((hits[candidates] - 400 / 3).abs() < 6 * math.sqrt(400 * 2 / 9)).all()


def test_random_pruning_and_random_growth_do_not_repeat_each_other() -> None:
    """One generator, two draws: were they the same numbers, the connection pruned last would always return first."""
    regrown = 0
    for seed in range(300):
        result = rewire(layer(seed=seed), rate=0.4, prune="random", grow="random")
        regrown += int((result.pruned & result.grown).sum())
    assert regrown / 600 == pytest.approx(2 / 6, abs=0.1)  # two of six candidates are just pruned


def test_too_little_room_keeps_the_strongest() -> None:
    """Eight of nine places are taken; three shall go and only one can come: two of the three stay, the larger ones."""
    weight = torch.tensor([[1.0, -2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 0.0]])
    result = rewire(layer(weight, weight != 0), rate=0.4, prune="magnitude", grow="gradient", regrow_pruned=False)
    assert positions(result.pruned) == {0}
    assert positions(result.grown) == {8}


def test_a_full_layer_is_left_alone() -> None:
    """The last layer of the MLP is dense under ERK; nothing there is set to zero."""
    full = torch.ones(3, 3, dtype=torch.bool)
    for prune in PRUNE:
        for grow in GROW:
            result = rewire(layer(GRADIENT, full), rate=0.5, prune=prune, grow=grow)
            assert result.mask.all()
            assert not result.pruned.any()
            assert not result.grown.any()
            assert torch.equal(rewired_weight(GRADIENT, result, "zero"), GRADIENT)


def test_zero_gradients_grow_the_right_number_and_never_at_connections() -> None:
    """The trap: with all scores 0, the best of *all* positions are connections that exist already."""
    for grow in ("gradient", "momentum"):
        zero = torch.zeros(3, 3)
        result = rewire(layer(gradient=zero, average=zero), rate=0.4, prune="magnitude", grow=grow)
        assert positions(result.grown) == {0, 1}  # lowest indices outside 4, 6, 8
        assert int(result.mask.sum()) == 5


# ---- properties -----------------------------------------------------------------------------------------------------


@given(layers(), RATES, st.sampled_from(PRUNE), st.sampled_from(GROW), st.booleans())
def test_an_update_keeps_its_promises(state: LayerState, rate: float, prune: str, grow: str, regrow: bool) -> None:
    before = [tensor.clone() for tensor in (state.weight, state.mask, state.gradient, state.average)]  # type: ignore[union-attr]
    result = rewire(state, rate=rate, prune=prune, grow=grow, regrow_pruned=regrow)
    kept = state.mask & ~result.pruned
    assert int(result.mask.sum()) == int(state.mask.sum())  # exact, for ever
    assert not (result.pruned & ~state.mask).any()  # pruned within active
    assert not (result.grown & kept).any()  # grown disjoint from kept
    assert torch.equal(result.mask, kept | result.grown)
    assert int(result.pruned.sum()) == int(result.grown.sum())
    if not regrow:
        assert not (result.grown & result.pruned).any()
    for tensor, copy in zip((state.weight, state.mask, state.gradient, state.average), before, strict=True):
        assert torch.equal(tensor, copy)  # type: ignore[arg-type]


@given(layers(), RATES, st.sampled_from(["gradient", "momentum"]), st.booleans())
def test_growth_agrees_with_a_sorted_list(state: LayerState, rate: float, grow: str, regrow: bool) -> None:
    result = rewire(state, rate=rate, prune="magnitude", grow=grow, regrow_pruned=regrow)
    chosen = state.gradient if grow == "gradient" else state.average
    assert chosen is not None
    scores, active = np.abs(chosen.numpy().ravel()), state.mask.numpy().ravel()
    pruned = result.pruned.numpy().ravel()
    free = [i for i in range(active.size) if not active[i] or (regrow and pruned[i])]
    expected = sorted(free, key=lambda i: (-scores[i], i))[:int(pruned.sum())]
    assert positions(result.grown) == set(expected)


@given(layers(), RATES, st.sampled_from(PRUNE))
def test_pruning_is_the_rules_unless_there_is_no_room(state: LayerState, rate: float, prune: str) -> None:
    if state.mask.all() or prune == "random":
        return
    alone = PRUNING[prune](state, rate)
    assert torch.equal(rewire(state, rate=rate, prune=prune, grow="gradient").pruned, alone)
    held = rewire(state, rate=rate, prune=prune, grow="gradient", regrow_pruned=False).pruned
    assert not (held & ~alone).any()
    assert int(held.sum()) == min(int(alone.sum()), int((~state.mask).sum()))
    if 0 < int(held.sum()) < int(alone.sum()):
        size = state.weight.abs()
        assert size[alone & ~held].min() >= size[held].max()  # what was spared is at least as strong


@given(layers(), st.sampled_from(["magnitude", "set", "random"]), st.sampled_from(GROW), st.booleans())
def test_rate_zero_changes_nothing(state: LayerState, prune: str, grow: str, regrow: bool) -> None:
    """The paper's last update has p = 0."""
    result = rewire(state, rate=0.0, prune=prune, grow=grow, regrow_pruned=regrow)
    assert torch.equal(result.mask, state.mask)
    assert torch.equal(rewired_weight(state.weight, result, "zero"), state.weight)


@given(layers(), st.sampled_from(["gradient", "momentum"]))
def test_rate_one_rewires_the_whole_layer_by_score(state: LayerState, grow: str) -> None:
    if state.mask.all():
        return
    result = rewire(state, rate=1.0, prune="magnitude", grow=grow)
    assert torch.equal(result.pruned, state.mask)
    scores = (state.gradient if grow == "gradient" else state.average).abs()  # type: ignore[union-attr]
    if result.mask.any() and not result.mask.all():
        assert scores[result.mask].min() >= scores[~result.mask].max()


@given(layers(), RATES, st.sampled_from(PRUNE), st.sampled_from(GROW), st.sampled_from(["zero", "keep"]))
def test_weights_live_on_connections_only(state: LayerState, rate: float, prune: str, grow: str, kept: str) -> None:
    result = rewire(state, rate=rate, prune=prune, grow=grow)
    weight = rewired_weight(state.weight, result, kept)
    stays = state.mask & ~result.pruned
    assert not weight[~result.mask].any()
    assert torch.equal(weight[stays], state.weight[stays])
    if kept == "zero":
        assert not weight[result.grown].any()
    else:
        assert torch.equal(weight[result.grown & result.pruned], state.weight[result.grown & result.pruned])
        assert not weight[result.grown & ~state.mask].any()


@settings(max_examples=40)
@given(st.sampled_from(PRUNE), st.sampled_from(GROW), st.booleans(), st.integers(1, 59), st.integers(0, 1000))
def test_the_number_of_connections_never_drifts(prune: str, grow: str, regrow: bool, count: int, seed: int) -> None:
    """Fifty updates on weights and gradients that change in between; Bernoulli growth would walk away."""
    chance = torch.Generator().manual_seed(seed)
    mask = (torch.randperm(60, generator=chance) < count).reshape(6, 10)
    for _ in range(50):
        weight = torch.randn(6, 10, generator=chance) * mask
        gradient, average = torch.randn(2, 6, 10, generator=chance)
        state = LayerState(weight, mask, chance, gradient, average)
        mask = rewire(state, rate=0.3, prune=prune, grow=grow, regrow_pruned=regrow).mask
        assert int(mask.sum()) == count


def test_a_rule_that_leaves_the_mask_cannot_add_connections() -> None:
    """A user's pruning rule may forget to look at the mask. The number of connections must hold all the same."""
    with mock.patch.dict(PRUNING, everywhere=lambda state, rate: state.weight.abs() < 0.15):
        try:
            result = rewire(layer(), rate=0.4, prune="everywhere", grow="gradient")
        except Exception as error:
            assert "everywhere" in str(error)  # refusing by name is as good
        else:
            assert int(result.mask.sum()) == int(MASK.sum())


@settings(max_examples=150)
@given(st.integers(0, 2**31))
def test_whatever_a_rule_does_counts_are_exact_or_a_sentence_names_it(seed: int) -> None:
    """Rules that change what they get, fail, or return anything: see `torture.odd_rules`."""
    chance = random.Random(seed)
    with warnings.catch_warnings(action="ignore"):
        assert odd_rules.broken_alone(odd_rules.odd_rule(chance), chance) == ""


@settings(max_examples=12)
@given(st.integers(0, 2**31), st.sampled_from(["dense", "sparse"]))
def test_nor_does_it_in_training(seed: int, engine: str) -> None:
    with warnings.catch_warnings(action="ignore"):
        assert odd_rules.broken_in_training(odd_rules.odd_rule(random.Random(seed)), engine) == ""


# ---- a network ------------------------------------------------------------------------------------------------------


class Net:
    """fc1 (6 inputs, 8 hidden) and fc2 (3 outputs) in double precision under SGD, with invented gradients."""

    def __init__(self, **options: object) -> None:
        self.config = RunConfig(**{"sparsity": 0.7, "seed": 1, "update_interval": 5, **options})  # type: ignore[arg-type]
        chance = torch.Generator().manual_seed(0)
        self.weights = {name: nn.Parameter(torch.randn(shape, generator=chance, dtype=torch.float64))
                        for name, shape in (("fc1", (8, 6)), ("fc2", (3, 8)))}
        self.topology = Topology(self.config, self.weights)
        self.optimizer = torch.optim.SGD(self.weights.values(), lr=0.05, momentum=0.9, nesterov=self.config.nesterov,
                                         weight_decay=self.config.weight_decay)
        self.chance = chance

    def draw(self) -> dict[str, Tensor]:
        return {name: torch.randn(w.shape, generator=self.chance, dtype=w.dtype) for name, w in self.weights.items()}

    def step(self, t: int, total: int = 100, gradients: dict[str, Tensor] | None = None) -> None:
        """One step as in train.py: average, copy, mask, optimizer, update."""
        for name, gradient in (gradients or self.draw()).items():
            self.weights[name].grad = gradient.clone()
        self.topology.average_gradients(gradients_of(self.weights))
        update = t % self.config.update_interval == 0
        dense = self.topology.dense_gradients(gradients_of(self.weights)) if update else {}
        self.topology.mask_gradients(gradients_of(self.weights))
        self.optimizer.step()
        if self.topology.buffers_leak:
            self.topology.mask_weights()
        if update:
            self.topology.update(t, total, dense, optimizer_state(self.optimizer, self.weights))

    def counts(self) -> dict[str, int]:
        return {name: int(mask.sum()) for name, mask in self.topology.masks.items()}

    def buffer(self, name: str) -> Tensor:
        return self.optimizer.state[self.weights[name]]["momentum_buffer"]


OPTIONS = [
    {"grow": "random"}, {"grow": "gradient"}, {"grow": "momentum"}, {"grow": "random>momentum"},
    {"grow": "momentum", "growth_momentum": "sgd_buffer"}, {"grown_buffer": "keep"}, {"regrow_pruned": False},
    {"prune": "set"}, {"prune": "random", "grow": "random"}, {"prune": "set_legacy"}, {"regrown_weight": "keep"},
    {"prune_schedule": "constant", "prune_rate": 1.0}, {"prune_rate": 0.0}, preset("set"), preset("snfs"),
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(f"{k}={v}" for k, v in options.items()))
def test_a_network_keeps_its_counts_and_its_zeros(options: dict[str, object]) -> None:
    net = Net(**options)
    counts, seen = net.counts(), {name: mask.clone() for name, mask in net.topology.masks.items()}
    assert sum(counts.values()) == round(0.3 * 72)
    for t in range(1, 101):
        net.step(t)
        for name, mask in net.topology.masks.items():
            assert not net.weights[name][~mask].any()
            seen[name] |= mask
    assert net.counts() == counts
    for name in seen:
        assert torch.equal(net.topology.explored[name], seen[name])


def test_the_average_is_that_of_the_dense_gradient() -> None:
    """Eq. 10 by hand, at every position, connected or not. Averaging masked gradients would leave 0 where growth
    has to look, and rank arbitrary positions."""
    net = Net(grow="momentum", growth_beta=0.75, update_interval=1000)
    ones = {name: torch.ones_like(weight) for name, weight in net.weights.items()}
    for t, (factor, average) in enumerate([(4.0, 1.0), (8.0, 2.75), (0.0, 2.0625)], start=1):
        net.step(t, gradients={name: factor * g for name, g in ones.items()})
        for name, v in net.topology.averages.items():
            assert torch.allclose(v, average * ones[name], rtol=0, atol=1e-15)


def test_momentum_growth_follows_the_history_and_gradient_growth_the_last_batch() -> None:
    """Nine batches favour position A, the tenth favours B a little more: momentum takes A, gradient takes B."""
    grown = {}
    for grow in ("momentum", "gradient"):
        net = Net(grow=grow, update_interval=10, prune_rate=0.05, prune_schedule="constant", regrow_pruned=False)
        mask = net.topology.masks["fc1"]
        a, b = (~mask).flatten().nonzero().squeeze(1)[[3, 7]].tolist()
        # the rate at which exactly one connection of fc1 goes
        net.config = net.topology.config = net.config.but(prune_rate=1 / int(mask.sum()))
        quiet = {name: torch.zeros_like(weight) for name, weight in net.weights.items()}
        for t in range(1, 11):
            gradient = torch.zeros(48, dtype=torch.float64)
            gradient[a] = 1.0 if t < 10 else 0.0
            gradient[b] = 0.0 if t < 10 else 1.5
            net.step(t, gradients=quiet | {"fc1": gradient.reshape(8, 6)})
        after = net.topology.masks["fc1"]
        grown[grow] = positions(after & ~mask), (a, b)
    assert grown["momentum"][0] == {grown["momentum"][1][0]}
    assert grown["gradient"][0] == {grown["gradient"][1][1]}


def test_sgd_buffer_equals_eq_10_but_for_a_factor_where_nothing_ever_was() -> None:
    """At never active positions weight decay is 0, so buffer = v / (1 - beta) and both rank alike."""
    ema, sgd = Net(grow="momentum"), Net(**preset("snfs"))
    assert torch.equal(ema.topology.masks["fc1"], sgd.topology.masks["fc1"])
    for t in range(1, 30):
        gradients = ema.draw()
        ema.step(t, gradients=gradients)
        sgd.step(t, gradients=gradients)
        never = ~(ema.topology.explored["fc1"] | sgd.topology.explored["fc1"])
        assert torch.allclose(sgd.buffer("fc1")[never], ema.topology.averages["fc1"][never] / (1 - 0.9), rtol=1e-12)
    assert never.any()


def test_masked_gradients_leave_no_momentum_at_empty_places() -> None:
    net = Net(grow="gradient")
    for t in range(1, 24):
        net.step(t)
        for name, mask in net.topology.masks.items():
            assert not net.buffer(name)[~mask].any()


def test_grown_connections_start_without_weight_and_momentum() -> None:
    net = Net(grow="random", update_interval=7)
    for t in range(1, 8):
        before = {name: mask.clone() for name, mask in net.topology.masks.items()}
        net.step(t)
    for name, mask in net.topology.masks.items():
        new = mask & ~before[name]
        assert not net.weights[name][new].any()
        assert not net.buffer(name)[new].any()
    assert any((net.topology.masks[name] & ~before[name]).any() for name in before)


def test_dense_gradients_are_copies() -> None:
    """The optimizer may change gradients in place, and masking does."""
    net = Net(grow="gradient")
    for name, gradient in net.draw().items():
        net.weights[name].grad = gradient
    dense = net.topology.dense_gradients(gradients_of(net.weights))
    kept = {name: gradient.clone() for name, gradient in dense.items()}
    net.topology.mask_gradients(gradients_of(net.weights))
    for weight in net.weights.values():
        assert weight.grad is not None
        weight.grad.fill_(7)
    assert all(torch.equal(dense[name], kept[name]) and dense[name].all() for name in dense)


@pytest.mark.parametrize(("options", "gradient", "average"), [
    ({"grow": "random"}, False, False), ({"grow": "gradient"}, True, False), ({"grow": "momentum"}, False, True),
    ({"grow": "gradient>momentum"}, True, True), (preset("snfs"), False, False), (preset("static"), False, False),
])
def test_only_what_a_rule_reads_is_kept(options: dict[str, object], gradient: bool, average: bool) -> None:
    net = Net(**options)
    for name, tensor in net.draw().items():
        net.weights[name].grad = tensor
    assert bool(net.topology.dense_gradients(gradients_of(net.weights))) == gradient
    assert bool(net.topology.averages) == average


def test_a_switched_strategy_has_its_average_ready() -> None:
    """The average runs from the first step, not from the switch."""
    net = Net(grow="random>momentum", growth_beta=0.5, update_interval=1000)
    net.step(1, gradients={name: torch.ones_like(weight) for name, weight in net.weights.items()})
    assert all((v == 0.5).all() for v in net.topology.averages.values())


def test_a_switched_run_equals_the_plain_one_until_the_switch() -> None:
    plain, switched = Net(grow="random"), Net(grow="random>gradient")
    for t in range(1, 101):
        gradients = plain.draw()
        plain.step(t, gradients=gradients)
        switched.step(t, gradients=gradients)
        same = all(torch.equal(plain.topology.masks[n], switched.topology.masks[n]) for n in plain.weights)
        if t < 55:
            assert same
    assert not same


def test_all_strategies_of_a_seed_start_from_the_same_wiring() -> None:
    nets = [Net(grow=grow).topology.masks["fc1"] for grow in GROW] + [Net(**preset("static")).topology.masks["fc1"]]
    assert all(torch.equal(nets[0], other) for other in nets[1:])
    assert not torch.equal(nets[0], Net(seed=2).topology.masks["fc1"])


def test_random_growth_differs_between_updates_layers_and_seeds() -> None:
    """Else the same positions would be drawn at every update."""
    drawn = []
    for seed, step in ((1, 5), (1, 10), (2, 5)):
        with mock.patch.dict(GROWTH):
            seen: list[Tensor] = []
            rule = GROWTH["random"]

            def spy(state: LayerState, rule=rule, seen=seen) -> Tensor:
                seen.append(rule.score(state))
                return seen[-1]

            GROWTH["random"] = type(rule)(spy, rule.needs)
            net = Net(grow="random", seed=seed)
            net.topology.update(step, 100, {}, optimizer_state(net.optimizer, net.weights))
            drawn += [scores.flatten()[:24] for scores in seen]
    assert len(drawn) == 6
    assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


def test_a_dense_network_is_not_masked() -> None:
    net = Net(**preset("dense"))
    before = {name: weight.detach().clone() for name, weight in net.weights.items()}
    net.topology.mask_weights()
    assert all(mask.all() for mask in net.topology.masks.values())
    assert all(torch.equal(net.weights[name], before[name]) for name in before)


def test_state_continues_exactly() -> None:
    """Masks, explored positions and averages travel; what a resumed run draws depends on step and seed alone."""
    whole = Net(grow="random>momentum")
    gradients = [whole.draw() for _ in range(100)]
    for t in range(1, 58):
        whole.step(t, gradients=gradients[t - 1])
    resumed = Net(grow="random>momentum")
    for name, weight in resumed.weights.items():
        weight.data.copy_(whole.weights[name])
        resumed.optimizer.state[weight]["momentum_buffer"] = whole.buffer(name).clone()
    resumed.topology.load_state({name: tensor.clone() for name, tensor in whole.topology.state().items()})
    for t in range(58, 101):
        whole.step(t, gradients=gradients[t - 1])
        resumed.step(t, gradients=gradients[t - 1])
    assert all(torch.equal(whole.weights[name], resumed.weights[name]) for name in whole.weights)
    left, right = whole.topology.state(), resumed.topology.state()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_sgd_buffer_before_any_optimizer_step() -> None:
    """An update that replaces the very first step finds no buffer yet; it must not crash on that."""
    net = Net(grow="momentum", growth_momentum="sgd_buffer", update_order="instead_of_step", update_interval=1)
    counts = net.counts()
    net.topology.update(1, 100, {}, optimizer_state(net.optimizer, net.weights))
    assert net.counts() == counts


def test_ranks_buffer() -> None:
    assert ranks_buffer(RunConfig(**preset("snfs")))
    assert not ranks_buffer(RunConfig(grow="momentum"))
    assert not ranks_buffer(RunConfig(growth_momentum="sgd_buffer"))


def test_rewiring_holds_boolean_tensors_of_the_weights_shape() -> None:
    result = rewire(layer(), rate=0.4, prune="magnitude", grow="gradient")
    assert isinstance(result, Rewiring)
    assert all(t.dtype == torch.bool and t.shape == WEIGHT.shape for t in (result.mask, result.pruned, result.grown))


@pytest.mark.parametrize("rules", [("random", "random"), ("magnitude", "random"), ("random", "gradient")], ids=">".join)
def test_a_gpu_gets_the_wiring_that_the_processor_gets(rules: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn is drawn on the processor and moved."""
    copies_there_and_back(monkeypatch)
    config = RunConfig(prune=rules[0], grow=rules[1], seed=3, sparsity=0.7)
    values = {name: torch.randn(shape, generator=torch.Generator().manual_seed(1))
              for name, shape in {"a": (20, 30), "b": (8, 20)}.items()}
    ours, theirs = (Topology(config, {name: value.clone().as_subclass(kind) for name, value in values.items()})
                    for kind in (Tensor, Elsewhere))
    for step in (1, 2):
        for topology, kind in ((ours, Tensor), (theirs, Elsewhere)):
            gradients = {name: value.cos().as_subclass(kind) for name, value in values.items()}
            topology.update(step, 10, gradients, {})
    for name, mask in ours.masks.items():
        assert isinstance(theirs.masks[name], Elsewhere)
        assert torch.equal(mask, theirs.masks[name].as_subclass(Tensor))
        assert torch.equal(ours.weights[name], theirs.weights[name].as_subclass(Tensor))


def test_averages_of_all_layers_are_one_by_one_the_same() -> None:
    """In one call; bit for bit what each layer alone gives."""
    weights = {"a": torch.randn(33, 7), "b": torch.randn(3, 2, 3, 3)}
    net = Topology(RunConfig(grow="momentum", growth_beta=0.93), weights)
    expected = {name: average.clone() for name, average in net.averages.items()}
    for _ in range(3):
        gradients = {name: torch.randn_like(average) for name, average in expected.items()}
        net.average_gradients(gradients | {"other": torch.ones(2)})
        for name, average in expected.items():
            average.lerp_(gradients[name], 1 - 0.93)
    assert all(torch.equal(net.averages[name], average) for name, average in expected.items())
