"""Fits, choices of xmin, tests and comparisons against plain loops on random data, small, huge, crowded and spread."""

from __future__ import annotations

import random

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.errors import DataError
from regrow.tails.compare import compare_laws
from regrow.tails.fit import TailFit, fit_tail, select_xmin
from regrow.tails.goodness import generator, goodness_of_fit, sample
from regrow.tails.laws import LIMIT_GAIN

LARGEST = 2**53


def data(seed: int, most: int = LARGEST) -> list[int]:
    """Two to thirty whole numbers up to `most`, of one of several sorts. Crowds lie low: near 2 ** 53 the logarithms of
    neighbours are the same number in double precision.
    """
    chance = random.Random(seed)
    top, n = int(2 * (most / 2) ** chance.random()), chance.randrange(2, 30)
    power = chance.uniform(0.2, 3)
    return [min(k, most) for k in chance.choice((
        [chance.randrange(1, top + 1) for _ in range(n)], [int(top * chance.random() ** power) for _ in range(n)],
        [int((1 - chance.random()) ** -power * top ** 0.5) for _ in range(n)],
        [min(top, 10**6) + chance.randrange(20) for _ in range(n)], [chance.choice((1, 2, 3, top)) for _ in range(n)]))]


def log_sum(alpha: float, xmin: int, xmax: int | None = None) -> mpmath.mpf:
    """Of k ** -alpha from xmin to xmax, by mpmath."""
    if xmax is not None and xmax - xmin < 2000:
        return mpmath.log(mpmath.fsum(mpmath.mpf(k) ** -alpha for k in range(xmin, xmax + 1)))
    beyond = 0 if xmax is None else mpmath.zeta(alpha, xmax + 1)
    return mpmath.log(mpmath.zeta(alpha, xmin) - beyond)


def likelihood(tail: list[int], alpha: float, xmin: int, xmax: int | None) -> float:
    with mpmath.workdps(50):
        return float(-alpha * mpmath.fsum(map(mpmath.log, tail)) - len(tail) * log_sum(alpha, xmin, xmax))


def distances(tail: list[int], fit: TailFit) -> tuple[float, float]:
    """D and D_observed by the distribution functions at and before every value."""
    with mpmath.workdps(50):
        def law(k: int) -> float:  # P(X < k)
            if k <= fit.xmin:
                return 0.0
            return float(mpmath.exp(log_sum(fit.alpha, fit.xmin, k - 1) - log_sum(fit.alpha, fit.xmin, fit.xmax)))

        left = [abs(sum(j < k for j in tail) / len(tail) - law(k)) for k in tail]
        right = [abs(sum(j <= k for j in tail) / len(tail) - law(k + 1)) for k in tail]
    return max(left + right), max(left)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**40))
def test_a_fit_is_the_most_likely_and_as_far_away_as_it_says(seed: int) -> None:
    x = data(seed)
    xmin = max(1, sorted(x)[seed % len(x) // 2])
    fit = fit_tail(x, xmin)
    tail = [k for k in x if k >= xmin]
    if "degenerate" in fit.flags or not fit.alpha < 60:  # where mpmath takes long
        return
    assert fit.n_tail == len(tail)
    assert fit.log_likelihood == pytest.approx(likelihood(tail, fit.alpha, xmin, None), rel=1e-9, abs=1e-8)
    for other in (fit.alpha * 0.998 + 0.002, fit.alpha * 1.002 - 0.002):
        assert likelihood(tail, other, xmin, None) <= fit.log_likelihood + 1e-8
    assert (fit.D, fit.D_observed) == pytest.approx(distances(tail, fit), abs=1e-9)
    np.testing.assert_allclose(fit.log_pmf(tail).sum(), fit.log_likelihood, rtol=1e-9)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**40), room=st.integers(0, 60))
def test_a_fit_with_an_upper_end(seed: int, room: int) -> None:
    x = data(seed, 900)
    fit = fit_tail(x, 1, max(x) + room) if any(x) else None
    if fit is None or "degenerate" in fit.flags or abs(fit.alpha) > 60:
        return
    tail = [k for k in x if k >= 1]
    assert fit.log_likelihood == pytest.approx(likelihood(tail, fit.alpha, 1, fit.xmax), rel=1e-9, abs=1e-8)
    for other in (fit.alpha - 1e-3, fit.alpha + 1e-3):
        assert likelihood(tail, other, 1, fit.xmax) <= fit.log_likelihood + 1e-8
    assert (fit.D, fit.D_observed) == pytest.approx(distances(tail, fit), abs=1e-9)
    k = np.arange(1, fit.xmax + 1)
    assert np.exp(fit.log_pmf(k)).sum() == pytest.approx(1, rel=1e-9)


@settings(deadline=None, max_examples=80)
@given(seed=st.integers(0, 2**40), bounded=st.booleans())
def test_xmin_is_the_best_of_all(seed: int, bounded: bool) -> None:
    """Every candidate fitted by itself; the first of those that are nearest."""
    x = data(seed)
    xmax = max(x) + seed % 50 if bounded and 0 < max(x) < LARGEST - 50 else None
    candidates = sorted({k for k in x if k >= 1})
    if not candidates:
        return
    fits = [fit_tail(x, k, xmax) for k in candidates[:max(len(candidates) - 2, 1)]]
    observed = [0.0 if np.isinf(fit.alpha) else fit.D_observed for fit in fits]
    chosen, curve = select_xmin(x, xmax)
    assert chosen.xmin == fits[int(np.argmin(observed))].xmin == fit_tail(x, None, xmax).xmin
    np.testing.assert_allclose(curve.D_observed, observed, atol=1e-12)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**40))
def test_synthetic_sets_are_draws_that_are_fitted(seed: int) -> None:
    """The same numbers drawn by `sample`, each set fitted by itself: null by null, whatever the size of the values."""
    x = data(seed)
    x = [k for k in x if k >= 1] or [1]
    fit = fit_tail(x, min(x))
    if "degenerate" in fit.flags:
        return
    tested = goodness_of_fit(x, fit, 8, key=seed)
    rng = generator("goodness/tail", seed)
    for alpha, D in zip(tested.alphas, tested.distances, strict=True):
        drawn = sample(fit.alpha, fit.xmin, len(x), rng)
        if drawn.max() > LARGEST:
            return  # no data may hold such values
        again = fit_tail(drawn, fit.xmin)
        assert (alpha, D) == (pytest.approx(again.alpha, rel=1e-7), pytest.approx(again.D, abs=1e-7))
    assert tested.p == np.mean(tested.distances > fit.D)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**40), room=st.integers(0, 300))
def test_laws_are_normalised_and_no_law_is_worse_than_those_it_contains(seed: int, room: int) -> None:
    x = data(seed, 2000)
    if not any(x):
        return
    fit = fit_tail(x, 1, max(x) + room)
    try:
        compared = compare_laws(x, fit)
    except DataError:  # all values equal
        return
    tail, k = [j for j in x if j >= 1], np.arange(1, fit.xmax + 1)
    for name, law in compared.laws.items():
        masses = law.log_pmf(k)
        assert np.exp(masses).sum() == pytest.approx(1, rel=1e-6), name
        assert compared[name].log_likelihood == pytest.approx(sum(masses[j - 1] for j in tail), rel=1e-9, abs=1e-9)
    found = {name: compared[name].log_likelihood + 2 * LIMIT_GAIN for name in compared.laws}
    logarithmic = max(likelihood_of_weights(tail, -np.log(k) - slope * k) for slope in np.geomspace(1e-6, 5, 200))
    assert found["negative binomial"] >= max(found["Poisson"], found["exponential"], logarithmic) - 2 * LIMIT_GAIN
    assert found["truncated power law"] >= found["exponential"] - 2 * LIMIT_GAIN
    assert fit.alpha < 0 or found["truncated power law"] >= found["power law"] - 2 * LIMIT_GAIN


def likelihood_of_weights(tail: list[int], log_weights: np.ndarray) -> float:
    top = log_weights.max()
    return float(sum(log_weights[j - 1] for j in tail) - len(tail) * (top + np.log(np.exp(log_weights - top).sum())))


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**40))
def test_huge_and_crowded_values_have_likelihoods(seed: int) -> None:
    x = [k for k in data(seed) if k >= 1] or [1]
    for xmin in (1, min(x)):
        fit = fit_tail(x, xmin)
        if "degenerate" not in fit.flags:
            assert all(np.isfinite(row["log_likelihood"]) for row in compare_laws(x, fit).rows())
