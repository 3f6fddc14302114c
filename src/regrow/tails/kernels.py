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

from regrow.jit import kernel

STEEP = 30.0  # exponents above may end a sum early, where nothing further shows in double precision
TERMS = 6  # of the Euler-Maclaurin series, enough for 1e-16 beyond `asymptotic_from`
# Bernoulli numbers over factorials, B_2j / (2j)!, j = 1 ... TERMS
_BERNOULLI = np.array([1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000])


@kernel(error_model="numpy")
def asymptotic_from(s, start):
    """The first integer from which on the series is used; what is below is added up one by one."""
    return max(start, 30.0 + np.ceil(2.0 * abs(s)))


@kernel(error_model="numpy")
def coefficients(s, out):
    """out[j] = B_2j / (2j)! s (s+1) ... (s+2j-2): the series' terms in x ** -(2j-1), for `correction`."""
    product = s
    for j in range(TERMS):
        out[j] = _BERNOULLI[j] * product
        product *= (s + 2 * j + 1) * (s + 2 * j + 2)


@kernel(error_model="numpy")
def correction(out, x):
    """What Euler-Maclaurin adds to the integral of x ** -s, in units of x ** -s."""
    y = 1.0 / (x * x)
    total = 0.0
    for j in range(TERMS - 1, -1, -1):
        total = total * y + out[j]
    return 0.5 + total / x


@kernel(error_model="numpy")
def integral(s, log_width):
    """The integral of (t / x) ** -s from x to x e**log_width (which may be inf), in units of x."""
    c = s - 1.0
    if c == 0.0:
        return log_width
    return -np.expm1(-c * log_width) / c


@kernel(error_model="numpy")
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


@kernel(error_model="numpy")
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


@kernel(error_model="numpy")
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


@kernel(error_model="numpy")
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


@kernel(error_model="numpy")
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


@kernel(error_model="numpy")
def law_before(k, log_k, s, log_start, end, norm, whole, beyond, terms):
    """P(X < k) and the weight of k, for k from `asymptotic_from` on; the last four are from `law_constants`."""
    weight = np.exp(-s * (log_k - log_start))
    area = k * (whole if np.isinf(end) else integral(s, np.log(end) - log_k))
    return 1.0 - (weight * (area + correction(terms, k)) - beyond) / norm, weight


@kernel(error_model="numpy")
def law_constants(s, start, end):
    """The sum of all weights, the integral without an end, the sum's part beyond the end, the series' terms."""
    terms = np.empty(TERMS)
    coefficients(s, terms)
    beyond = 0.0 if np.isinf(end) else np.exp(-s * (np.log(end) - np.log(start))) * correction(terms, end)
    whole = integral(s, np.inf) if np.isinf(end) else 0.0
    return power_sum(s, start, start, end), whole, beyond, terms


@kernel(error_model="numpy")
def weights_between(below, j, k, s, start):
    """`below` and the weights of j ... k - 1, added one by one until they no longer show."""
    while j < k:
        weight = np.exp(-s * np.log(j / start))
        below += weight
        if weight <= 1e-17 * below:
            break
        j += 1.0
    return below


@kernel(error_model="numpy")
def distances(values, counts, logs, s, start, end):
    """(D, D_observed): the largest |data CDF - law's CDF| over all integers, and over k - 1 for observed k only.

    The data's CDF is flat between observed values while the law's rises, so over all integers the largest difference is
    at an observed value or just before the next one.
    """
    n = counts.sum()
    if np.isinf(s):
        return 0.0, 0.0
    norm, whole, beyond, terms = law_constants(s, start, end)
    first, log_start = asymptotic_from(s, start), np.log(start)
    everywhere, observed, seen = 0.0, 0.0, 0
    below, j = 0.0, start  # sum of the law's weights before j, as long as j < first
    for i in range(values.shape[0]):
        if values[i] < first:
            below = weights_between(below, j, values[i], s, start)
            j = values[i]
            before, weight = below / norm, np.exp(-s * (logs[i] - log_start))
        else:
            before, weight = law_before(values[i], logs[i], s, log_start, end, norm, whole, beyond, terms)
        left = abs(seen / n - before)
        seen += counts[i]
        right = abs(seen / n - before - weight / norm)
        observed = max(observed, left)
        everywhere = max(everywhere, left, right)
    return everywhere, observed


@kernel(error_model="numpy")
def gap_at(seen, k, base, n, before, share, everywhere):
    """How far the data's CDF is from the law's just before values[k] and, if `everywhere`, at it as well.

    `before` is P(X < values[k]) and `share` its own probability; n data from base on are the tail.
    """
    gap = abs((seen[k] - base) / n - before)
    return max(gap, abs((seen[k + 1] - base) / n - before - share)) if everywhere else gap


HALVINGS = 64  # more than any array has


@kernel(error_model="numpy")
def farthest(values, seen, logs, at, s, start, end, everywhere, limit, hints):
    """D (`everywhere`) or D_observed of the tail values[at:], to the last bit as `distances`, and an index of it.

    Seldom looks at more than a few hundred values: both CDFs rise, so what they differ by between two values is bounded
    by what they are there, and halves of the tail that cannot hold the largest difference are left out. seen[i] counts
    the data before values[i]. The search ends as soon as the difference exceeds `limit`; `hints` are indices to look at
    first.
    """
    m = values.shape[0]
    if np.isinf(s):
        return 0.0, at
    base, n = seen[at], seen[m] - seen[at]
    norm, whole, beyond, terms = law_constants(s, start, end)
    first, log_start = asymptotic_from(s, start), np.log(start)
    most, place = 0.0, at
    below, j, i = 0.0, start, at
    while i < m and values[i] < first:
        below = weights_between(below, j, values[i], s, start)
        j = values[i]
        before = below / norm
        share = np.exp(-s * (logs[i] - log_start)) / norm if everywhere else 0.0
        gap = gap_at(seen, i, base, n, before, share, everywhere)
        if gap > most:
            most, place = gap, i
            if most > limit:
                return most, place
        i += 1
    if i == m:
        return most, place
    lows, highs = np.empty(HALVINGS, np.int64), np.empty(HALVINGS, np.int64)
    law_lows, law_highs = np.empty(HALVINGS), np.empty(HALVINGS)
    depth, slack = 0, 1e-12 + abs(s) * 1e-14  # what rounding may do to the law's rise
    law_low, law_high = 0.0, 1.0
    for look in range(hints.shape[0] + 2):  # hints, both ends
        k = i if look == hints.shape[0] else m - 1 if look > hints.shape[0] else hints[look]
        if k < i:
            continue
        before, weight = law_before(values[k], logs[k], s, log_start, end, norm, whole, beyond, terms)
        gap = gap_at(seen, k, base, n, before, weight / norm, everywhere)
        if gap > most:
            most, place = gap, k
            if most > limit:
                return most, place
        if look == hints.shape[0]:
            law_low = before
        law_high = before
    lows[0], highs[0], law_lows[0], law_highs[0] = i, m - 1, law_low, law_high
    depth = 1
    while depth:
        depth -= 1
        low, high, law_low, law_high = lows[depth], highs[depth], law_lows[depth], law_highs[depth]
        bound = max((seen[high] - base) / n - law_low, law_high - (seen[min(low + 1, m)] - base) / n)
        if high - low < 2 or bound + slack <= most:
            continue
        k = low + (high - low) // 2
        before, weight = law_before(values[k], logs[k], s, log_start, end, norm, whole, beyond, terms)
        gap = gap_at(seen, k, base, n, before, weight / norm, everywhere)
        if gap > most:
            most, place = gap, k
            if most > limit:
                return most, place
        lows[depth], highs[depth], law_lows[depth], law_highs[depth] = low, k, law_low, before
        lows[depth + 1], highs[depth + 1], law_lows[depth + 1], law_highs[depth + 1] = k, high, before, law_high
        depth += 2
    return most, place


@kernel(error_model="numpy")
def scan(values, counts, logs, end, alphas, everywhere, observed):
    """Fit the tail from every distinct value on; return the index of the smallest D_observed (the first if equal).

    As plfit and powerlaw do, a tail must keep three distinct values.
    """
    tails, log_sums = tail_sums(counts, logs)
    best = 0
    for i in range(max(values.shape[0] - 2, 1)):
        alphas[i] = exponent(log_sums[i] / tails[i] - logs[i], values[i], end)
        everywhere[i], observed[i] = distances(values[i:], counts[i:], logs[i:], alphas[i], values[i], end)
        if observed[i] < observed[best]:
            best = i
    return best


@kernel(error_model="numpy")
def tail_sums(counts, logs):
    """For every distinct value how many are there from it on, and the sum of their logarithms."""
    total, log_total = 0, 0.0
    tails, log_sums = np.empty(counts.shape[0], np.int64), np.empty(counts.shape[0])
    for i in range(counts.shape[0] - 1, -1, -1):
        total += counts[i]
        log_total += counts[i] * logs[i]
        tails[i], log_sums[i] = total, log_total
    return tails, log_sums


@kernel(error_model="numpy")
def nearest(values, counts, logs, end):
    """Index, alpha and D_observed of the candidate that `scan` finds, in far less than the square of the values.

    Candidates are looked at from coarse to fine, and each is left as soon as it is worse than the best so far; where
    its neighbours were bad is looked at first.
    """
    candidates = max(values.shape[0] - 2, 1)
    tails, log_sums = tail_sums(counts, logs)
    seen = np.zeros(values.shape[0] + 1, np.int64)
    seen[1:] = counts.cumsum()
    places = np.zeros(candidates, np.int64)
    best, best_alpha, smallest = candidates, np.nan, np.inf
    step = 1
    while 2 * step < candidates:
        step *= 2
    begin, stride, hints = 0, step, np.zeros(2, np.int64)
    while step:
        for i in range(begin, candidates, stride):
            hints[0] = places[max(i - step, 0)]
            hints[1] = places[i + step] if i + step < candidates else 0
            alpha = exponent(log_sums[i] / tails[i] - logs[i], values[i], end)
            gap, places[i] = farthest(values, seen, logs, i, alpha, values[i], end, False, smallest, hints)
            if gap < smallest or (gap == smallest and i < best):
                best, best_alpha, smallest = i, alpha, gap
        stride, step = step, step // 2
        begin = step
    return best, best_alpha, smallest


@kernel(error_model="numpy")
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


@kernel(error_model="numpy")
def guide_table(table, size):
    """guide[j] = the largest i with table[i] >= (j + 1) / size: where the search for a u in that cell may begin."""
    guide = np.empty(size, np.int64)
    i = 0
    for j in range(size - 1, -1, -1):
        while i + 1 < table.shape[0] and table[i + 1] >= (j + 1) / size:
            i += 1
        guide[j] = i
    return guide


@kernel(error_model="numpy")
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
    level, c = u * power_sum(s, start, start, end), s - 1.0
    top = np.int64(FAR) if np.isinf(end) else np.int64(min(end - 1.0, float(FAR)))
    # Near the place from which on the integral has this size; then the integer is searched in growing steps.
    if c == 0.0:
        x = (end - 0.5) / start * np.exp(-level / start)
    else:
        x = (c * level / start + (0.0 if np.isinf(end) else ((end - 0.5) / start) ** -c)) ** (-1.0 / c)
    near = start * x + 0.5
    guess, step = (np.int64(near) if near < top else top) if near > low else low, np.int64(1)
    if guess > low and power_sum(s, float(guess), start, end) < level:
        high = guess
        while high - low > step:
            if power_sum(s, float(high - step), start, end) >= level:
                low = high - step
                break
            high -= step
            step *= 2
    else:
        if guess == top:
            return top
        low = guess
        while True:
            high = low + step if step < top - low else top
            if power_sum(s, float(high), start, end) < level:
                break
            if high == top:
                return top
            low = high
            step *= 2
    while high - low > 1:
        middle = low + (high - low) // 2
        if power_sum(s, float(middle), start, end) >= level:
            low = middle
        else:
            high = middle
    return low


@kernel(error_model="numpy")
def draws(us, table, guide, s, start, end, out):
    """out[i] = draw(us[i]), in place."""
    for i in range(us.shape[0]):
        out[i] = draw(us[i], table, guide, s, start, end)


@kernel(error_model="numpy")
def _collect(tally, tallied, tallied_logs, big, m, values, counts, logs):
    """Append the distinct values of a tally (tally[i] of tallied[i]; it is emptied) and of the sorted list `big` to the
    m that are there already; return how many there are.
    """
    for i in range(tally.shape[0]):
        if tally[i]:
            values[m] = tallied[i]
            counts[m] = tally[i]
            logs[m] = tallied_logs[i]
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


@kernel(error_model="numpy")
def refit_sets(us, sizes, table, guide, s, start, end, alphas, everywhere):
    """Draw, refit and measure: set i takes sizes[i] numbers of `us` on end, at the same start; out alphas and D.

    A set that no finite exponent fits (all values equal to start, or none at all) has D = 0: the law fits it exactly.
    """
    most = sizes.max()
    tally, near = np.zeros(table.shape[0], np.int64), start + np.arange(table.shape[0])
    near_logs = np.log(near)
    big, no_hints = np.empty(most), np.empty(0, np.int64)
    values, logs, counts, seen = np.empty(most), np.empty(most), np.empty(most, np.int64), np.zeros(most + 1, np.int64)
    p = 0
    for i in range(sizes.shape[0]):
        far, log_sum = 0, 0.0
        for _ in range(sizes[i]):
            k = draw(us[p], table, guide, s, start, end)
            p += 1
            place = k - np.int64(start)
            if place < tally.shape[0]:
                tally[place] += 1
                log_sum += near_logs[place]
            else:
                big[far] = k
                far += 1
                log_sum += np.log(float(k))
        big[:far].sort()
        m = _collect(tally, near, near_logs, big[:far], 0, values, counts, logs)
        alphas[i], everywhere[i] = np.nan, 0.0
        if sizes[i]:
            seen[1:m + 1] = counts[:m].cumsum()
            alphas[i] = exponent(log_sum / sizes[i] - near_logs[0], start, end)
            everywhere[i], _ = farthest(values[:m], seen[:m + 1], logs[:m], 0, alphas[i], start, end, True, np.inf,
                                        no_hints)


@kernel(error_model="numpy")
def reselect_sets(us, sizes, n, rest, table, guide, s, start, end, alphas, observed, xmins):
    """As refit_sets for whole data sets of n: n - sizes[i] values are drawn from `rest` (all outside the tail, with
    replacement), and xmin is chosen anew. Out: alphas, D_observed and xmins.
    """
    below = np.unique(rest[(rest >= 1) & (rest < end)]).astype(np.float64)  # others are no candidates
    places = np.searchsorted(below, rest)
    for j in range(rest.shape[0]):
        if rest[j] < 1 or rest[j] >= end:
            places[j] = -1
    below_logs, below_tally = np.log(below), np.zeros(below.shape[0], np.int64)
    near = start + np.arange(table.shape[0])
    near_logs, tally = np.log(near), np.zeros(table.shape[0], np.int64)
    big, nothing = np.empty(n), np.empty(0)
    values, logs, counts = np.empty(n), np.empty(n), np.empty(n, np.int64)
    p = 0
    for i in range(sizes.shape[0]):
        far = 0
        for j in range(n):
            u = us[p]
            p += 1
            if j >= sizes[i]:
                place = places[min(int((1.0 - u) * rest.shape[0]), rest.shape[0] - 1)]
                if place >= 0:
                    below_tally[place] += 1
                continue
            k = draw(u, table, guide, s, start, end)
            if k - np.int64(start) < tally.shape[0]:
                tally[k - np.int64(start)] += 1
            else:
                big[far] = k
                far += 1
        big[:far].sort()
        m = _collect(below_tally, below, below_logs, nothing, 0, values, counts, logs)
        m = _collect(tally, near, near_logs, big[:far], m, values, counts, logs)
        alphas[i], observed[i], xmins[i] = np.nan, 0.0, 0
        if m:
            best, alphas[i], observed[i] = nearest(values[:m], counts[:m], logs[:m], end)
            xmins[i] = np.int64(values[best])
