"""Power sums and their derivatives against mpmath with 60 digits, and against plain sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from regrow.tails import kernels

mpmath = pytest.importorskip("mpmath")


def plain(s: float, start: int, end: int) -> tuple[float, float, float]:
    u = np.log(np.arange(start, end) / start)
    weight = np.exp(-s * u)
    mean = weight @ u / weight.sum()
    return float(np.log(weight.sum())), float(mean), float(weight @ (u - mean) ** 2 / weight.sum())


@pytest.mark.parametrize("start", [1, 2, 7, 110, 1000])
@pytest.mark.parametrize("s", [1.001, 1.05, 1.5, 2.0, 2.5, 3.46, 8.0, 20.0])
def test_zeta_and_its_derivatives(s: float, start: int) -> None:
    with mpmath.workdps(60 + int(3 * s)):
        z = [mpmath.zeta(s, start, j) for j in range(3)]
        expected = (float(mpmath.log(z[0] * mpmath.mpf(start) ** s)), float(-z[1] / z[0] - mpmath.log(start)),
                    float(z[2] / z[0] - (z[1] / z[0]) ** 2))
    np.testing.assert_allclose(kernels.log_moments(s, float(start), np.inf), expected, rtol=1e-10, atol=1e-15)
    assert kernels.power_sum(s, start, float(start), np.inf) == pytest.approx(np.exp(expected[0]), rel=1e-13)


@settings(deadline=None)
@given(s=st.floats(-20, 40), start=st.integers(1, 300), size=st.integers(1, 3000))
def test_a_finite_range_is_the_plain_sum(s: float, start: int, size: int) -> None:
    end = start + size
    log_sum, mean, variance = kernels.log_moments(s, float(start), float(end))
    expected = plain(s, start, end)
    assert log_sum == pytest.approx(expected[0], rel=1e-12, abs=1e-12)
    assert mean == pytest.approx(expected[1], rel=1e-10, abs=1e-14)
    assert variance == pytest.approx(expected[2], rel=1e-7, abs=1e-13)
    middle = start + size // 2
    upper = kernels.power_sum(s, middle, float(start), float(end))
    assert upper == pytest.approx(float(np.sum((np.arange(middle, end) / start) ** -s)), rel=1e-11, abs=1e-300)


@pytest.mark.parametrize("s", [1.0, 1.0 + 1e-13, 1.0 - 1e-9, 0.0, -1.0])
def test_a_finite_range_has_no_singular_exponent(s: float) -> None:
    np.testing.assert_allclose(kernels.log_moments(s, 110.0, 3585.0), plain(s, 110, 3585), rtol=1e-11)


def test_far_up_the_sum_is_zeta() -> None:
    for k in (110, 111, 5000, 10**6):
        ratio = special.zeta(2.7, k) / special.zeta(2.7, 110)
        assert kernels.power_sum(2.7, k, 110.0, np.inf) == pytest.approx(
            ratio * kernels.power_sum(2.7, 110, 110.0, np.inf), rel=1e-12)


@given(s=st.floats(1.02, 30), start=st.integers(1, 500))
def test_exponent_inverts_the_mean(s: float, start: int) -> None:
    _, mean, _ = kernels.log_moments(s, float(start), np.inf)
    assert kernels.exponent(mean, float(start), np.inf) == pytest.approx(s, rel=1e-8)


@given(s=st.floats(-15, 15), start=st.integers(1, 500), size=st.integers(5, 4000))
def test_exponent_inverts_the_mean_on_a_finite_range(s: float, start: int, size: int) -> None:
    _, mean, variance = kernels.log_moments(s, float(start), float(start + size))
    found = kernels.exponent(mean, float(start), float(start + size))
    _, again, _ = kernels.log_moments(found, float(start), float(start + size))
    assert again == pytest.approx(mean, rel=1e-11)
    if variance > 1e-6:
        assert found == pytest.approx(s, rel=1e-7, abs=1e-7)


def test_exponents_at_the_ends_are_infinite() -> None:
    assert kernels.exponent(0.0, 110.0, np.inf) == np.inf
    assert kernels.exponent(np.log(119 / 110), 110.0, 120.0) == -np.inf
