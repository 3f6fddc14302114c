"""The compiled loops of the tail statistics: sums of powers, the Kolmogorov-Smirnov distance, draws, refits.

They are one file because numba's cache notices no change in another one. A tail is its distinct values (ascending
floats, exact for whole numbers below 2**53), their counts and their logarithms. The law is P(k) ~ k ** -s on
start <= k < end, `end` = inf if it is unbounded.

First what a discrete power law is normalised with, exact to rounding: the Hurwitz zeta function and its first two
derivatives, and the same for a finite range, by the Euler-Maclaurin formula. scipy's zeta has no derivatives, no
logarithm (110 ** -200 is 0 in double precision) and no upper end.
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


FAR = 2**62  # draws beyond this are returned as this; only laws with s < 2 ever get there


@njit(cache=True, nogil=True, error_model="numpy")
def distances(values, counts, logs, s, start, end, limit):
    """(D, D_observed): the largest |data CDF - law's CDF| over all integers, and over k - 1 for observed k only.

    The data's CDF is flat between observed values while the law's rises, so over all integers the largest difference is
    at an observed value or just before the next one. `limit` ends the search as soon as D_observed exceeds it.
    """
    n = counts.sum()
    if np.isinf(s):
        return 0.0, 0.0
    norm = power_sum(s, start, start, end)
    first = asymptotic_from(s, start)
    log_start, log_end = np.log(start), np.log(end)
    terms = np.empty(TERMS)
    coefficients(s, terms)
    beyond = 0.0 if np.isinf(end) else np.exp(-s * (log_end - log_start)) * correction(terms, end)
    whole = integral(s, np.inf) if np.isinf(end) else 0.0
    everywhere, observed, seen = 0.0, 0.0, 0
    below, j = 0.0, start  # sum of the law's weights before j, as long as j < first
    for i in range(values.shape[0]):
        k = values[i]
        weight = np.exp(-s * (logs[i] - log_start))
        if k < first:
            while j < k:
                below += np.exp(-s * np.log(j / start))
                j += 1.0
            before = below / norm
        else:
            area = k * (whole if np.isinf(end) else integral(s, log_end - logs[i]))
            before = 1.0 - (weight * (area + correction(terms, k)) - beyond) / norm
        left = abs(seen / n - before)
        seen += counts[i]
        right = abs(seen / n - before - weight / norm)
        observed = max(observed, left)
        everywhere = max(everywhere, left, right)
        if observed > limit:
            break
    return everywhere, observed


@njit(cache=True, nogil=True, error_model="numpy")
def scan(values, counts, logs, end, best_only, alphas, everywhere, observed):
    """Fit the tail from every distinct value on; return the index of the smallest D_observed (the first if equal).

    As plfit and powerlaw do, a tail must keep three distinct values. With `best_only` a candidate is left as soon as it
    is worse than the best so far, and the arrays [len(values)] hold nothing meaningful for it.
    """
    above = values.shape[0]
    total, log_total = 0, 0.0
    best, smallest = 0, np.inf
    tails, log_sums = np.empty(above, np.int64), np.empty(above)
    for i in range(above - 1, -1, -1):
        total += counts[i]
        log_total += counts[i] * logs[i]
        tails[i], log_sums[i] = total, log_total
    for i in range(max(above - 2, 1)):
        alphas[i] = exponent(log_sums[i] / tails[i] - logs[i], values[i], end)
        everywhere[i], observed[i] = distances(values[i:], counts[i:], logs[i:], alphas[i], values[i], end,
                                               smallest if best_only else np.inf)
        if observed[i] < smallest:
            best, smallest = i, observed[i]
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def survival_table(s, start, end, size):
    """P(X >= start + i) for i = 0 ... size, summed from the far end so that small numbers stay exact."""
    table = np.empty(size + 1)
    total = power_sum(s, start + size, start, end)
    table[size] = total
    for i in range(size - 1, -1, -1):
        total += np.exp(-s * np.log((start + i) / start))
        table[i] = total
    for i in range(size + 1):
        table[i] /= total
    return table


@njit(cache=True, nogil=True, error_model="numpy")
def guide_table(table, size):
    """guide[j] = the largest i with table[i] >= (j + 1) / size: where the search for a u in that cell may begin."""
    guide = np.empty(size, np.int64)
    i = 0
    for j in range(size - 1, -1, -1):
        while i + 1 < table.shape[0] and table[i + 1] >= (j + 1) / size:
            i += 1
        guide[j] = i
    return guide


@njit(cache=True, nogil=True, error_model="numpy")
def draw(u, table, guide, s, start, end):
    """The largest k with P(X >= k) >= u, for 0 < u <= 1: one exact draw by inversion."""
    cell = int(u * guide.shape[0])
    i = guide[min(cell, guide.shape[0] - 1)]
    last = table.shape[0] - 1
    while i < last and table[i + 1] >= u:
        i += 1
    low = np.int64(start) + i
    if i < last or low >= end - 1:
        return low
    level = u * power_sum(s, start, start, end)
    top = np.int64(FAR) if np.isinf(end) else np.int64(min(end - 1.0, float(FAR)))
    high = low
    while True:  # doubled until beyond, then bisected
        if high >= top // 2:
            high = top
            if power_sum(s, float(high), start, end) >= level:
                return high
            break
        high *= 2
        if power_sum(s, float(high), start, end) < level:
            break
        low = high
    while high - low > 1:
        middle = low + (high - low) // 2
        if power_sum(s, float(middle), start, end) >= level:
            low = middle
        else:
            high = middle
    return low


@njit(cache=True, nogil=True, error_model="numpy")
def draws(us, table, guide, s, start, end, out):
    """out[i] = draw(us[i]), in place."""
    for i in range(us.shape[0]):
        out[i] = draw(us[i], table, guide, s, start, end)


@njit(cache=True, nogil=True, error_model="numpy")
def _collect(tally, lowest, big, values, counts, logs, log_table):
    """Distinct values of a tally (tally[i] of lowest + i) and of the sorted list `big`; the tally is emptied."""
    m = 0
    for i in range(tally.shape[0]):
        if tally[i]:
            values[m] = lowest + i
            counts[m] = tally[i]
            logs[m] = log_table[i]
            tally[i] = 0
            m += 1
    for k in big:
        if m and values[m - 1] == k:
            counts[m - 1] += 1
        else:
            values[m] = k
            counts[m] = 1
            logs[m] = np.log(k)
            m += 1
    return m


@njit(cache=True, nogil=True, error_model="numpy")
def refit_sets(us, sizes, table, guide, s, start, end, alphas, everywhere):
    """Draw, refit and measure: set i takes sizes[i] numbers of `us` on end, at the same start; out alphas and D.

    A set that no finite exponent fits (all values equal to start, or none at all) has D = 0: the law fits it exactly.
    """
    most = sizes.max()
    tally = np.zeros(table.shape[0], np.int64)
    log_table = np.log(start + np.arange(table.shape[0]))
    big = np.empty(most)
    values, logs, counts = np.empty(most), np.empty(most), np.empty(most, np.int64)
    p = 0
    for i in range(sizes.shape[0]):
        far, log_sum = 0, 0.0
        for _ in range(sizes[i]):
            k = draw(us[p], table, guide, s, start, end)
            p += 1
            place = k - np.int64(start)
            if place < tally.shape[0]:
                tally[place] += 1
                log_sum += log_table[place]
            else:
                big[far] = k
                far += 1
                log_sum += np.log(float(k))
        big[:far].sort()
        m = _collect(tally, start, big[:far], values, counts, logs, log_table)
        alphas[i], everywhere[i] = np.nan, 0.0
        if sizes[i]:
            alphas[i] = exponent(log_sum / sizes[i] - log_table[0], start, end)
            everywhere[i] = distances(values[:m], counts[:m], logs[:m], alphas[i], start, end, np.inf)[0]


@njit(cache=True, nogil=True, error_model="numpy")
def reselect_sets(us, sizes, n, rest, table, guide, s, start, end, alphas, observed, xmins):
    """As refit_sets for whole data sets of n: n - sizes[i] values are drawn from `rest` (all outside the tail, with
    replacement), and xmin is chosen anew. Out: alphas, D_observed and xmins.
    """
    reach = int(start) + table.shape[0]
    tally = np.zeros(reach - 1, np.int64)  # of the values 1, 2, ...; others are no candidates
    log_table = np.log(np.arange(1.0, reach))
    big = np.empty(n)
    values, logs, counts = np.empty(n), np.empty(n), np.empty(n, np.int64)
    a, d, e = np.empty(n), np.empty(n), np.empty(n)
    p = 0
    for i in range(sizes.shape[0]):
        far = 0
        for j in range(n):
            u = us[p]
            p += 1
            if j < sizes[i]:
                k = draw(u, table, guide, s, start, end)
            else:
                k = rest[min(int((1.0 - u) * rest.shape[0]), rest.shape[0] - 1)]
            if k < 1 or k >= end:
                continue
            if k < reach:
                tally[k - 1] += 1
            else:
                big[far] = k
                far += 1
        big[:far].sort()
        m = _collect(tally, 1, big[:far], values, counts, logs, log_table)
        alphas[i], observed[i], xmins[i] = np.nan, 0.0, 0
        if m:
            best = scan(values[:m], counts[:m], logs[:m], end, True, a, d, e)
            alphas[i], observed[i], xmins[i] = a[best], e[best], np.int64(values[best])
