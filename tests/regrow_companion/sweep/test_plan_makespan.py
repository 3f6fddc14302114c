"""Schedules: the textbook's bounds, and the best schedule by trying all of them."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow_companion.sweep.plan import longest_first, lower_bound

RUNS = st.lists(st.integers(0, 50), max_size=40)


def best(seconds: list[int], workers: int) -> float:
    """The shortest of all assignments."""
    return min(max(sum(s for s, w in zip(seconds, choice, strict=True) if w == worker) for worker in range(workers))
               for choice in product(range(workers), repeat=len(seconds)))


def test_by_hand():
    made = longest_first([3, 3, 2, 2, 2], 2)  # Graham's example: 7, where 6 is possible
    assert made.loads == (7, 5) and made.efficiency == pytest.approx(12 / 14)
    assert longest_first([], 3).makespan == 0 and longest_first([], 3).efficiency == 1
    assert longest_first([5.0, 1.0], 64).makespan == 5.0
    with pytest.raises(ValueError, match="worker"):
        longest_first([1.0], 0)


@given(RUNS, st.integers(1, 70))
def test_bounds(seconds, workers):
    made = longest_first(seconds, workers)
    assert len(made.loads) == workers and sum(made.loads) == sum(seconds)
    assert lower_bound(seconds, workers) <= made.makespan <= sum(seconds)
    # No list schedule is longer than an even spread and one run on top.
    assert made.makespan <= sum(seconds) / workers + max(seconds, default=0) * (1 - 1 / workers) + 1e-9
    assert 0 < made.efficiency <= 1 + 1e-12


@given(st.lists(st.integers(1, 20), min_size=1, max_size=7), st.integers(1, 3))
def test_at_most_a_third_longer_than_the_best(seconds, workers):
    made, ideal = longest_first(seconds, workers).makespan, best(seconds, workers)
    assert ideal <= made <= ideal * (4 / 3 - 1 / (3 * workers)) + 1e-9


@given(RUNS)
def test_one_worker_never_waits(seconds):
    assert longest_first(seconds, 1).makespan == sum(seconds) == lower_bound(seconds, 1)
