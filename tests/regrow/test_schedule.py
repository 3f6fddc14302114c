"""When the topology changes, by how much, under which rule, and at which learning rate; with the paper's arithmetic."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.config import CHOICES, RunConfig, preset
from regrow.data import steps_per_epoch
from regrow.schedule import growth_rule, learning_rate, moment_steps, prune_rate, update_steps

CIFAR = RunConfig(dataset="cifar10")
T = 105_600
any_dynamic = st.builds(
    lambda until, interval, p0, kind: RunConfig(update_until=until, update_interval=interval, prune_rate=p0,
                                                prune_schedule=kind),
    st.floats(0.05, 1), st.integers(1, 50), st.floats(0, 1), st.sampled_from(sorted(CHOICES["prune_schedule"])))


# ---- the paper's arithmetic -----------------------------------------------------------------------------------------


def test_cifar10_in_the_papers_setting() -> None:
    per_epoch = steps_per_epoch(45_000, CIFAR.batch_size)
    assert per_epoch == 352
    assert CIFAR.epochs * per_epoch == T
    assert CIFAR.update_interval / per_epoch == pytest.approx(1.136, abs=5e-4)  # epochs between updates
    updates = update_steps(CIFAR, T)
    assert len(updates) == 264
    assert updates[0] == 400
    assert updates[-1] == T
    assert prune_rate(CIFAR, updates[-1], T) == 0


def test_mnist_in_the_papers_setting() -> None:
    assert steps_per_epoch(54_000, 128) == 422
    assert round(400 / 422, 3) == 0.948
    assert len(update_steps(RunConfig(dataset="mnist"), 300 * 422)) == 316


def test_no_updates_for_static_and_dense() -> None:
    assert update_steps(RunConfig(**preset("static")), T) == []
    assert update_steps(RunConfig(**preset("dense")), T) == []


def test_rigl_stops_at_three_quarters_with_nothing_left_to_prune() -> None:
    config = RunConfig(**preset("rigl"))
    updates = update_steps(config, T)
    assert updates[-1] == 79_200 == 198 * 400
    assert prune_rate(config, updates[-1], T) == 0
    assert prune_rate(config, 39_600, T) == pytest.approx(0.15)  # half of the way there


def test_shorter_interval_of_section_5_3() -> None:
    assert len(update_steps(RunConfig(update_interval=100), T)) == 1056


@pytest.mark.parametrize(("until", "total", "last"), [(0.29, 100, 29), (0.07, 100, 7), (1.0, 100, 100)])
def test_an_update_due_on_the_boundary_is_not_lost_to_rounding(until: float, total: int, last: int) -> None:
    assert update_steps(RunConfig(update_interval=1, update_until=until), total)[-1] == last


def test_a_run_shorter_than_the_interval_has_no_update() -> None:
    assert update_steps(RunConfig(update_interval=400), 399) == []
    assert update_steps(RunConfig(update_interval=400), 400) == [400]


# ---- prune rate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "expected"), [
    ("cosine", [0.5, 0.25 * (1 + math.sqrt(0.5)), 0.25, 0.25 * (1 - math.sqrt(0.5)), 0.0]),
    ("linear", [0.5, 0.375, 0.25, 0.125, 0.0]),
    ("constant", [0.5] * 5),
])
def test_prune_rates_by_hand(kind: str, expected: list[float]) -> None:
    config = RunConfig(prune_schedule=kind, prune_rate=0.5)
    assert [prune_rate(config, step, 1000) for step in (0, 250, 500, 750, 1000)] == pytest.approx(expected, abs=1e-15)


def test_cosine_is_eq_5_at_every_step() -> None:
    steps = np.arange(0, T + 1, 400)
    expected = 0.5 * (1 + np.cos(np.pi * steps / T)) / 2
    assert [prune_rate(CIFAR, int(step), T) for step in steps] == pytest.approx(expected, abs=1e-12)


@given(any_dynamic, st.integers(1, 500))
def test_rates_stay_within_their_bounds_and_never_rise(config: RunConfig, total: int) -> None:
    rates = [prune_rate(config, step, total) for step in range(total + 1)]
    assert rates[0] == pytest.approx(config.prune_rate)
    assert all(0 <= rate <= config.prune_rate for rate in rates)
    assert all(later <= earlier for earlier, later in pairwise(rates))
    if config.prune_schedule != "constant":
        assert rates[-1] == pytest.approx(0, abs=1e-12)


@given(any_dynamic, st.integers(1, 500))
def test_updates_come_every_interval_until_the_end(config: RunConfig, total: int) -> None:
    updates = update_steps(config, total)
    end = config.update_until * total
    assert updates == [step for step in range(1, total + 1)
                       if step % config.update_interval == 0 and step <= end + 1e-9]


# ---- switch ---------------------------------------------------------------------------------------------------------


def test_strategy_switches_at_half_of_training() -> None:
    config = RunConfig(grow="random>gradient")
    rules = [growth_rule(config, step, T) for step in update_steps(config, T)]
    assert rules == ["random"] * 132 + ["gradient"] * 132


def test_switch_can_be_elsewhere_and_absent() -> None:
    config = RunConfig(grow="momentum>random", switch_at=0.25)
    assert [growth_rule(config, step, 8) for step in range(1, 9)] == ["momentum"] * 2 + ["random"] * 6
    assert {growth_rule(RunConfig(grow="momentum"), step, 8) for step in range(1, 9)} == {"momentum"}


@pytest.mark.parametrize(("switch_at", "boundary"), [(0.5, 50), (0.29, 29), (0.57, 57), (0.58, 58), (0.07, 7)])
def test_switch_boundary_does_not_depend_on_rounding(switch_at: float, boundary: int) -> None:
    """0.29 * 100 is 28.999999999999996 in floating point; step 29 still belongs to the first part."""
    config = RunConfig(grow="random>gradient", switch_at=switch_at)
    assert growth_rule(config, boundary, 100) == "random"
    assert growth_rule(config, boundary + 1, 100) == "gradient"


# ---- learning rate --------------------------------------------------------------------------------------------------


def test_learning_rate_drops_at_epochs_150_and_225() -> None:
    rates = [learning_rate(CIFAR, epoch) for epoch in range(300)]
    assert rates == pytest.approx([0.1] * 150 + [0.01] * 75 + [0.001] * 75)


@pytest.mark.parametrize(("milestones", "epochs", "drops"), [
    ((0.5, 0.75), 30, [15, 23]),  # 22.5 epochs: the first whole epoch after it
    ((0.29,), 100, [29]),
    ((0.07,), 100, [7]),  # 7.000000000000001 in floating point
    ((0.57, 0.58), 100, [57, 58]),
    ((), 10, []),
])
def test_learning_rate_milestones(milestones: tuple[float, ...], epochs: int, drops: list[int]) -> None:
    config = RunConfig(lr_milestones=milestones, epochs=epochs, lr=1.0, lr_decay=0.5)
    rates = [learning_rate(config, epoch) for epoch in range(epochs)]
    assert rates == [0.5 ** sum(epoch >= drop for drop in drops) for epoch in range(epochs)]


# ---- moments --------------------------------------------------------------------------------------------------------


def test_moments_are_the_papers_epochs() -> None:
    assert [step / 352 for step in moment_steps(CIFAR, T)] == [0, 2, 75, 150, 225, 300]


def test_second_moment_of_a_short_run_is_its_first_update() -> None:
    config = RunConfig(epochs=30, update_interval=51)
    assert moment_steps(config, 2550) == [0, 51, 638, 1275, 1912, 2550]


@given(st.integers(1, 3000), st.integers(1, 800), st.sampled_from(["paper", "static", "dense", "rigl"]))
def test_moments_begin_and_end_with_training_and_rise(total: int, interval: int, name: str) -> None:
    """Figures read moment 2 as a quarter of training, so the moved first one must not overtake it."""
    steps = moment_steps(RunConfig(**preset(name), update_interval=interval), total)
    assert len(steps) == 6
    assert (steps[0], steps[-1]) == (0, total)
    assert steps == sorted(steps)
