"""A million draws follow the law, chi-square says; and the same key gives the same draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from regrow.errors import ConfigError
from regrow.tails.goodness import generator, sample, sampler
from regrow.tails.kernels import FAR


def survival(alpha: float, xmin: int, xmax: int | None, k: np.ndarray) -> np.ndarray:
    if xmax is None:
        return special.zeta(alpha, k) / special.zeta(alpha, xmin)
    weights = np.arange(xmin, xmax + 1.0) ** -alpha
    sums = np.append(np.cumsum(weights[::-1])[::-1], 0.0)
    return sums[np.minimum(k, xmax + 1).astype(int) - xmin] / sums[0]


LAWS = [(2.5, 110, None), (3.46, 110, None), (1.5, 1, None), (2.2, 110, 3584), (0.5, 5, 60), (1.0, 10, 10**5)]


@pytest.mark.parametrize(("alpha", "xmin", "xmax"), LAWS)
def test_chi_square_of_a_million_draws(alpha: float, xmin: int, xmax: int | None) -> None:
    draws = sample(alpha, xmin, 10**6, np.random.default_rng(3), xmax)
    assert draws.dtype == np.int64 and draws.min() >= xmin and (xmax is None or draws.max() <= xmax)
    # Every integer at first, then bins that grow, as long as ten draws are expected in each.
    edges = np.unique(np.concatenate([xmin + np.arange(300.0), np.round((xmin + 300) * 1.3 ** np.arange(150))]))
    edges = edges[edges <= (2.0**61 if xmax is None else xmax)]
    edges = edges[(above := 1e6 * survival(alpha, xmin, xmax, edges)) >= 10]
    expected = -np.diff(np.append(above[:len(edges)], 0.0))
    expected[-2:], edges = [expected[-2], expected[-1]], edges
    while expected[-1] < 10:
        expected = np.append(expected[:-2], expected[-2:].sum())
        edges = edges[:-1]
    found = np.histogram(draws.astype(float), np.append(edges, np.inf))[0]
    keep = expected >= 5
    assert found.sum() == 10**6 and keep[:50].all()
    chi_square = np.sum((found[keep] - expected[keep]) ** 2 / expected[keep])
    assert 1e-3 < stats.chi2.sf(chi_square, keep.sum() - 1) < 1 - 1e-6


def test_the_smallest_value_gets_all_of_its_probability() -> None:
    """powerlaw's fast generator rounds a continuous law and loses half of it."""
    draws = sample(2.5, 110, 10**6, np.random.default_rng(0))
    p = 110**-2.5 / special.zeta(2.5, 110)
    assert np.mean(draws == 110) == pytest.approx(p, abs=5 * np.sqrt(p / 1e6))


def test_far_draws_are_bisected_to_the_integer() -> None:
    """The k with P(X >= k) >= u > P(X >= k + 1), beyond every table, from scipy's zeta."""
    from regrow.tails import kernels

    law = sampler(2.0, 110)
    for u in (1e-3, 1.2345e-5, 1e-7):
        k = kernels.draw(u, law.table, law.guide, law.alpha, law.start, law.end)
        assert k > 110 + len(law.table)
        assert special.zeta(2.0, k) / special.zeta(2.0, 110) >= u > special.zeta(2.0, k + 1) / special.zeta(2.0, 110)
    assert kernels.draw(1.0, law.table, law.guide, law.alpha, law.start, law.end) == 110
    heavy = sampler(1.1, 110)
    assert kernels.draw(1e-12, heavy.table, heavy.guide, heavy.alpha, heavy.start, heavy.end) == FAR


def test_a_generator_depends_on_its_key_only() -> None:
    first, again = (generator("goodness", ("a1b2", "fc1", 7)).random(5) for _ in range(2))
    assert np.array_equal(first, again)
    others = [generator("goodness", ("a1b2", "fc1", 8)), generator("matched", ("a1b2", "fc1", 7)),
              generator("goodness", 7), generator("goodness", 8)]
    assert len({first[0], *(other.random() for other in others)}) == 5


@pytest.mark.parametrize(("law", "named"), [
    ((1.0, 5), "alpha above 1"), ((np.nan, 5), "finite alpha"), ((2.0, 0), "xmin"), ((2.0, 5, 4), "xmax = 4")])
def test_laws_that_do_not_exist(law: tuple, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        sampler(*law)
