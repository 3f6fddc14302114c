"""Sums of powers over the integers, exact to rounding: what a discrete power law is normalised with.

The Hurwitz zeta function and its first two derivatives, and the same for a finite range, by the Euler-Maclaurin
formula: scipy's zeta has no derivatives, no logarithm (110 ** -200 is 0 in double precision) and no upper end. These
are scalar functions for other compiled loops to call; `end` is the first integer left out, inf if there is none.

numba's cache of tail_kernels.py does not notice changes in this file: after one, delete __pycache__.
"""

from __future__ import annotations

import numpy as np
from numba import njit

STEEP = 30.0  # exponents above may end a sum early, where nothing further shows in double precision
TERMS = 6  # of the Euler-Maclaurin series, enough for 1e-16 beyond `asymptotic_from`
# Bernoulli numbers over factorials, B_2j / (2j)!, j = 1 ... TERMS
_BERNOULLI = np.array([1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000])


@njit(cache=True, nogil=True, error_model="numpy")
def asymptotic_from(s, start):
    """The first integer from which on the series is used; what is below is added up one by one."""
    return max(start, 30.0 + np.ceil(2.0 * abs(s)))


@njit(cache=True, nogil=True, error_model="numpy")
def coefficients(s, out):
    """out[j] = B_2j / (2j)! s (s+1) ... (s+2j-2): the series' terms in x ** -(2j-1), for `correction`."""
    product = s
    for j in range(TERMS):
        out[j] = _BERNOULLI[j] * product
        product *= (s + 2 * j + 1) * (s + 2 * j + 2)


@njit(cache=True, nogil=True, error_model="numpy")
def correction(out, x):
    """What Euler-Maclaurin adds to the integral of x ** -s, in units of x ** -s."""
    y = 1.0 / (x * x)
    total = 0.0
    for j in range(TERMS - 1, -1, -1):
        total = total * y + out[j]
    return 0.5 + total / x


@njit(cache=True, nogil=True, error_model="numpy")
def integral(s, log_width):
    """The integral of (t / x) ** -s from x to x e**log_width (which may be inf), in units of x."""
    c = s - 1.0
    if c == 0.0:
        return log_width
    return -np.expm1(-c * log_width) / c


@njit(cache=True, nogil=True, error_model="numpy")
def power_sum(s, k, start, end):
    """Sum of (j / start) ** -s over k <= j < end; `start` only sets the scale."""
    if k >= end:
        return 0.0
    total = 0.0
    first = asymptotic_from(s, k)
    j = float(k)
    while j < first and j < end:
        weight = np.exp(-s * np.log(j / start))
        total += weight
        j += 1.0
        if s > STEEP and weight * j <= 1e-18 * total:
            return total
    if j >= end:
        return total
    terms = np.empty(TERMS)
    coefficients(s, terms)
    at_j = np.exp(-s * np.log(j / start))
    if np.isinf(end):
        return total + at_j * (j * integral(s, np.inf) + correction(terms, j))
    at_end = np.exp(-s * np.log(end / start))
    return (total + at_j * (j * integral(s, np.log(end / j)) + correction(terms, j))
            - at_end * correction(terms, end))


@njit(cache=True, nogil=True, error_model="numpy")
def _jet(s, x):
    """`correction` at x with its first and second derivative in s."""
    product, first, second = s, 1.0, 0.0
    value, slope, bend = 0.5, 0.0, 0.0
    power = 1.0 / x
    for j in range(TERMS):
        weight = _BERNOULLI[j] * power
        value += weight * product
        slope += weight * first
        bend += weight * second
        for step in range(2 * j + 1, 2 * j + 3):
            second = second * (s + step) + 2.0 * first
            first = first * (s + step) + product
            product *= s + step
        power /= x * x
    return value, slope, bend


@njit(cache=True, nogil=True, error_model="numpy")
def _log_integrals(c, width):
    """Integrals of e**(-c v), v e**(-c v) and v^2 e**(-c v) over 0 <= v <= width."""
    if np.isinf(width):
        return 1.0 / c, 1.0 / c**2, 2.0 / c**3
    t = c * width
    if abs(t) < 1.0:  # a power series, where the closed form would cancel
        zero, one, two, factor = 0.0, 0.0, 0.0, width
        for j in range(20):
            zero += factor / (j + 1)
            one += factor * width / (j + 2)
            two += factor * width * width / (j + 3)
            factor *= -t / (j + 1)
        return zero, one, two
    e = np.exp(-t)
    return (1.0 - e) / c, (1.0 - e * (1.0 + t)) / c**2, (2.0 - e * (2.0 + 2.0 * t + t * t)) / c**3


@njit(cache=True, nogil=True, error_model="numpy")
def log_moments(s, start, end):
    """Of the law P(k) ~ k ** -s on start <= k < end: log of the sum of (k / start) ** -s, E and Var of log(k / start).

    They are zeta with its derivatives: log Z, -(log Z)' and (log Z)''. s > 1 is needed if end is inf.
    """
    zero, one, two = 0.0, 0.0, 0.0
    first = asymptotic_from(s, start)
    k = float(start)
    while k < first and k < end:
        u = np.log(k / start)
        weight = np.exp(-s * u)
        zero += weight
        one += weight * u
        two += weight * u * u
        k += 1.0
        if s > STEEP and weight * k <= 1e-18 * zero:
            k = end
    if k < end:
        width = np.log(end / k)
        i0, i1, i2 = _log_integrals(s - 1.0, width)
        r, r1, r2 = _jet(s, k)
        t0, t1, t2 = k * i0 + r, k * i1 - r1, k * i2 + r2
        if not np.isinf(end):
            q, q1, q2 = _jet(s, end)
            e = np.exp(-s * width)
            t0 -= e * q
            t1 -= e * (width * q - q1)
            t2 -= e * (width * (width * q - 2.0 * q1) + q2)
        u = np.log(k / start)
        weight = np.exp(-s * u)
        zero += weight * t0
        one += weight * (t1 + u * t0)
        two += weight * (t2 + u * (2.0 * t1 + u * t0))
    mean = one / zero
    return np.log(zero), mean, two / zero - mean * mean


@njit(cache=True, nogil=True, error_model="numpy")
def exponent(mean_log, start, end):
    """The s at which E log(k / start) is `mean_log`: the maximum-likelihood exponent, by Newton's method.

    inf where mean_log is 0 (all values are `start`), -inf where it is so near that of the last integer that powers
    overflow. The steps are those of Newton for 1 / (E + shift), almost a straight line in s, kept inside a bracket.
    """
    shift = -np.log1p(-0.5 / start)
    if mean_log <= 0.0:
        return np.inf
    bounded = not np.isinf(end)
    if bounded and mean_log >= np.log((end - 1.0) / start) * (1.0 - 1e-14):
        return -np.inf
    s = 1.0 + 1.0 / (mean_log + shift)
    low, high = (-np.inf if bounded else 1.0), np.inf
    for _ in range(200):
        _, mean, variance = log_moments(s, start, end)
        if mean > mean_log:
            low = s
        else:
            high = s
        step = (mean - mean_log) * (mean + shift) / (variance * (mean_log + shift))
        if abs(step) <= 1e-9 * max(1.0, abs(s)):  # convergence is quadratic: the next step would be of order 1e-17
            return s + step
        ahead = s + step
        if not low < ahead < high:  # also if the step is nan
            if np.isinf(high):
                ahead = 2.0 * s + 1.0 if s > 0 else 0.5 * s + 1.0
            elif np.isinf(low):
                ahead = 2.0 * s - 1.0 if s < 0 else 0.5 * s - 1.0
            else:
                ahead = 0.5 * (low + high)
        if ahead == s:
            break
        if bounded and -ahead * np.log(end / start) > 500.0:
            return -np.inf
        s = ahead
    return s
