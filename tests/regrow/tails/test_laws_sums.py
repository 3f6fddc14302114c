"""A few hundred nodes give the sums that millions of terms give."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from regrow.tails.laws import NODES, _block, gauss_sum


@pytest.mark.parametrize("size", [1, 5, NODES, NODES + 1, 40, 1000])
def test_a_block_is_exact_for_polynomials(size: int) -> None:
    x, w = _block(float(size))
    k, centre = np.arange(size), (size - 1) / 2
    assert len(x) == min(size, NODES) and w.min() > 0 and x.min() >= 0 and x.max() <= size - 1 + 1e-12
    for power in (0, 1, 2, 7, 2 * NODES - 2):
        exact = np.sum(((k - centre) / size) ** power)
        assert w @ ((x - centre) / size) ** power == pytest.approx(exact, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("start", [1, 7, 110])
@pytest.mark.parametrize("s", [1.6, 2.5, 8.0])
def test_infinite_power_sums(s: float, start: int) -> None:
    x, w = gauss_sum(start, np.inf, 4096.0)
    assert w @ x**-s == pytest.approx(special.zeta(s, start), rel=1e-12) and len(x) < 2500


@pytest.mark.parametrize("rate", [5.0, 0.5, 0.01, 1e-5])
@pytest.mark.parametrize("s", [0.0, 2.4])
@pytest.mark.parametrize("start", [1, 110, 10**6])
def test_cut_off_power_sums(s: float, rate: float, start: int) -> None:
    x, w = gauss_sum(start, np.inf, start + 10.0)
    k = np.arange(start, start + int(45 / rate) + 2)
    exact = np.sum((k / start) ** -s * np.exp(-rate * (k - start)))
    assert w @ ((x / start) ** -s * np.exp(-rate * (x - start))) == pytest.approx(exact, rel=1e-11)


@pytest.mark.parametrize(("mean", "start"), [(5, 1), (130, 110), (5000, 1), (5000, 4900), (20, 110), (10**7, 1)])
def test_poisson_peaks_are_resolved(mean: int, start: int) -> None:
    x, w = gauss_sum(start, np.inf, float(max(mean, start)))
    total = w @ np.exp(x * np.log(mean) - mean - special.gammaln(x + 1))
    assert total == pytest.approx(special.pdtrc(start - 1, mean), rel=1e-14 * mean + 1e-11)


def test_a_finite_range_ends_where_it_should() -> None:
    for end in (111, 150, 200, 3585):
        x, w = gauss_sum(110, float(end), 300.0)
        assert w.sum() == pytest.approx(end - 110, rel=1e-13) and x.max() <= end - 1
        assert w @ x**-2.2 == pytest.approx(np.sum(np.arange(110.0, end) ** -2.2), rel=1e-13)


def test_a_peak_may_be_wider_or_somewhat_off() -> None:
    """Negative binomials of any shape whose tail has the given mean."""
    x, w = gauss_sum(110, np.inf, 5000.0)
    for shape in (0.5, 3.0, 40.0, 1e3, 1e5):
        for mean in (4900.0, 5000.0, 5050.0):
            log_pmf = (special.gammaln(x + shape) - special.gammaln(shape) - special.gammaln(x + 1)
                       + shape * np.log(shape / (shape + mean)) + x * np.log(mean / (shape + mean)))
            exact = special.betainc(110, shape, mean / (shape + mean))
            assert w @ np.exp(log_pmf) == pytest.approx(exact, rel=1e-8), (shape, mean)
