"""The compiled loops against straightforward numpy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import special

from regrow.tails import kernels
from regrow.tails.fit import fit_tail, select_xmin
from regrow.tails.goodness import sample, sampler


def collected(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values, counts = np.unique(x, return_counts=True)
    return values.astype(float), counts, np.log(values)


@pytest.mark.parametrize(("alpha", "xmin", "xmax"), [(2.5, 110, None), (1.7, 1, None), (2.2, 110, 3584), (1.0, 3, 90)])
def test_survival_table(alpha: float, xmin: int, xmax: int | None) -> None:
    law = sampler(alpha, xmin, xmax)
    k = xmin + np.arange(len(law.table))
    if xmax is None:
        expected = special.zeta(alpha, k) / special.zeta(alpha, xmin)
    else:
        weights = np.arange(xmin, xmax + 1.0) ** -alpha
        expected = (np.append(np.cumsum(weights[::-1])[::-1], 0) / weights.sum())[:len(k)]
    np.testing.assert_allclose(law.table, expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize(("alpha", "xmin", "xmax"), [(2.5, 110, None), (1.6, 1, None), (2.2, 110, 1034)])
def test_refits_are_fits(alpha: float, xmin: int, xmax: int | None) -> None:
    """Drawn with the same numbers, every synthetic set gets the alpha and D of fit_tail."""
    law, sizes = sampler(alpha, xmin, xmax), np.array([300, 0, 1, 50, 700])
    us = 1.0 - np.random.default_rng(8).random(sizes.sum())
    x = np.empty(len(us), np.int64)
    tables = (law.table, law.guide, law.alpha, law.start, law.end)
    kernels.draws(us, *tables, x)
    alphas, distances = np.empty((2, len(sizes)))
    kernels.refit_sets(us, sizes, *tables, alphas, distances)
    for part, a, d in zip(np.split(x, np.cumsum(sizes)[:-1]), alphas, distances, strict=True):
        if part.size == 0:
            assert np.isnan(a) and d == 0
            continue
        fit = fit_tail(part, xmin, xmax)
        assert a == pytest.approx(fit.alpha, rel=1e-9) and d == pytest.approx(fit.D, abs=1e-12)


def test_reselected_sets_are_selections() -> None:
    law, n, sizes = sampler(2.5, 20), 400, np.array([150, 400, 1])
    rest = np.array([0, 0, 3, 5, 5, 9, 12, 15, 18, 19])
    us = 1.0 - np.random.default_rng(9).random(n * len(sizes))
    tables = (law.table, law.guide, law.alpha, law.start, law.end)
    alphas, observed, xmins = np.empty(3), np.empty(3), np.empty(3, np.int64)
    kernels.reselect_sets(us, sizes, n, rest, *tables, alphas, observed, xmins)
    for i, part in enumerate(np.split(us, 3)):
        x = np.empty(n, np.int64)
        kernels.draws(part, *tables, x)
        x[sizes[i]:] = rest[((1 - part[sizes[i]:]) * len(rest)).astype(int)]
        fit = select_xmin(x)[0]
        assert (fit.xmin, fit.alpha) == (xmins[i], pytest.approx(alphas[i], rel=1e-9))
        assert fit.D_observed == pytest.approx(observed[i], abs=1e-12)


def odd_sets() -> Iterator[tuple[np.ndarray, int | None]]:
    """Power laws on bodies, ties, huge and crowded values, with an upper end and without."""
    rng = np.random.default_rng(10)
    for _ in range(20):
        yield np.concatenate([sample(rng.uniform(1.8, 3), 30, 200, rng), rng.integers(1, 40, 300)]), None
        yield rng.integers(1, 10 ** rng.integers(1, 15), 200), None
        yield 10**9 + rng.integers(0, 10 ** rng.integers(1, 9), 300), None
        yield np.floor(10 ** rng.uniform(0, 12) * rng.random(300) ** -0.7).astype(int) + 1, None
        yield sample(rng.uniform(0.5, 3), 20, 300, rng, 500), 500
        yield rng.integers(1, 4, 30), None


def test_leaving_bad_candidates_early_changes_nothing() -> None:
    """Not the last bit: the p-values of shipped tables depend on it."""
    for x, xmax in odd_sets():
        values, counts, logs = collected(x)
        curve, end = np.empty((3, len(values))), np.inf if xmax is None else xmax + 1.0
        best = kernels.scan(values, counts, logs, end, *curve)
        found, alpha, observed = kernels.nearest(values, counts, logs, end)
        assert (found, alpha, observed) == (best, curve[0, best], curve[2, best])
        assert best == np.argmin(curve[2, :max(len(values) - 2, 1)])


def test_the_farthest_value_is_found_without_looking_at_all() -> None:
    for x, xmax in odd_sets():
        values, counts, logs = collected(x)
        end = np.inf if xmax is None else xmax + 1.0
        seen = np.append(0, counts.cumsum())
        for s in (1.2, 2.5, 7.0, 40.0):
            both = kernels.distances(values, counts, logs, s, values[0], end)
            found = [kernels.farthest(values, seen, logs, 0, s, values[0], end, whole, np.inf, np.empty(0, int))[0]
                     for whole in (True, False)]
            assert found == list(both)


def test_distances_of_a_law_without_values_in_between() -> None:
    """By hand: P(1) = 2/3, P(2) = 1/3 (s = 1 on 1, 2); data 1, 2, 2, 2."""
    values, counts, logs = collected(np.array([1, 2, 2, 2]))
    D, observed = kernels.distances(values, counts, logs, 1.0, 1.0, 3.0)
    assert (D, observed) == pytest.approx((2 / 3 - 1 / 4, 2 / 3 - 1 / 4), abs=1e-15)
    values, counts, logs = collected(np.array([1, 1, 1, 1]))
    D, observed = kernels.distances(values, counts, logs, 1.0, 1.0, 3.0)
    assert (D, observed) == pytest.approx((1 / 3, 0), abs=1e-15), "seen only after the observed value"
