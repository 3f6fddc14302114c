"""Other laws for the same tail: exponential, Poisson, negative binomial and truncated power law, exact and discrete.

All are exponential families on xmin ... xmax (the negative binomial is one for each shape): their log-likelihood is
concave, and Newton's method finds the one maximum. For laws that are rounded continuous ones see regrow.rounded_laws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import gammaln

from regrow.integer_sums import gauss_sum

Array = NDArray[np.float64]
SHAPES = np.linspace(-8.0, 14.0, 12)  # logarithms of negative binomial shapes; 0 is the logarithmic law, inf Poisson's
LIMIT_GAIN = 1e-3  # log-likelihood; a law that gains less than this on its own limiting law has run into it


@dataclass(frozen=True)
class Tail:
    """The data: distinct values k, ascending, their counts, and the support start <= k < end."""

    k: Array
    counts: Array
    start: int
    end: float

    @property
    def n(self) -> float:
        return float(self.counts.sum())

    def mean(self, of: Array) -> float:
        """The mean over the data of a quantity given for each distinct value."""
        return float(self.counts @ of) / self.n

    def sums(self) -> tuple[Array, Array]:
        """Nodes and weights for sums over the support."""
        return gauss_sum(self.start, self.end, round(self.mean(self.k)))


@dataclass(frozen=True)
class Law:
    """A fitted law: its parameters, log P(k) as a function of an array of k, and the law at the edge of its family
    that it ran into, if any ("power law", "exponential", "Poisson", "logarithmic", "uniform").
    """

    parameters: dict[str, float]
    log_pmf: Callable[[Array], Array] = field(repr=False)
    limit: str = ""

    def log_likelihood(self, tail: Tail) -> float:
        """Of all the data."""
        return tail.n * tail.mean(self.log_pmf(tail.k))


def exponential(tail: Tail) -> Law:
    """P(k) ~ exp(-rate k), rate >= 0."""
    x, w = tail.sums()
    excess = tail.mean(tail.k - tail.start)
    theta, log_sum = tilt((x - tail.start)[None], np.zeros_like(x), w, np.array([excess]),
                          np.array([-1 / (1 + excess)]), capped=True)
    return Law({"rate": -float(theta[0])}, lambda k: theta[0] * (k - tail.start) - log_sum,
               "" if theta[0] else "uniform")


def poisson(tail: Tail) -> Law:
    """P(k) ~ mean ** k / k!: what random wiring gives, nearly, if the tail is all there is."""
    x, w = tail.sums()
    scale = gammaln(tail.start + 1.0)  # keeps numbers small
    theta, log_sum = tilt((x - tail.start)[None], scale - gammaln(x + 1), w, np.array([tail.mean(tail.k - tail.start)]),
                          np.array([np.log(tail.mean(tail.k))]))
    return Law({"mean": float(np.exp(theta[0]))},
               lambda k: scale - gammaln(k + 1) + theta[0] * (k - tail.start) - log_sum)


def negative_binomial(tail: Tail) -> Law:
    """P(k) ~ Gamma(k + shape) / k! (mean / (mean + shape)) ** k: Poisson with a mean that varies among the values."""
    x, w = tail.sums()
    target, factorials = np.array([tail.mean(tail.k - tail.start)]), gammaln(x + 1)
    theta = np.array([-1 / (1 + target[0])])

    def fit(log_shape: float) -> Law:
        nonlocal theta  # a good start for the next shape
        shape = float(np.exp(log_shape))
        scale = gammaln(tail.start + shape)
        theta, log_sum = tilt((x - tail.start)[None], gammaln(x + shape) - scale - factorials, w, target,
                              np.minimum(theta, -1e-12), capped=True)
        slope = float(theta[0])
        return Law({"mean": float(shape / np.expm1(-slope)) if slope else np.inf, "shape": shape},
                   lambda k: gammaln(k + shape) - scale - gammaln(k + 1) + slope * (k - tail.start) - log_sum,
                   "logarithmic" if log_shape < SHAPES[0] + 0.5 else "")

    law, limit = fit(best_of(lambda v: -fit(v).log_likelihood(tail), SHAPES)), poisson(tail)
    if law.log_likelihood(tail) - limit.log_likelihood(tail) < LIMIT_GAIN:
        return Law(limit.parameters | {"shape": np.inf}, limit.log_pmf, "Poisson")
    return law


def truncated_power_law(tail: Tail, alpha: float) -> Law:
    """P(k) ~ k ** -alpha exp(-rate k), alpha and rate >= 0; `alpha` is that of the power law, the case rate = 0.

    Without alpha >= 0 the family would be that of all gamma laws, and would win where nothing is like a power law.
    """
    cut = exponential(tail)  # alpha = 0
    without_power = Law({"alpha": 0.0} | cut.parameters, cut.log_pmf, "exponential")
    if alpha <= 0:  # possible if there is an upper end
        return without_power
    x, w = tail.sums()
    scale = tail.mean(tail.k)  # brings both statistics to the same size

    def statistics(k: Array) -> Array:
        return np.stack([np.log(k / tail.start), (k - tail.start) / scale])

    at_x, target = statistics(x), np.array([tail.mean(row) for row in statistics(tail.k)])
    weights = w * np.exp(-alpha * at_x[0])
    log_whole = np.log(weights.sum())
    limit = Law({"alpha": alpha, "rate": 0.0}, lambda k: -alpha * np.log(k / tail.start) - log_whole, "power law")
    if (weights @ at_x[1]) / weights.sum() <= target[1]:  # a cut-off would only lower the likelihood
        return limit
    theta, log_sum = tilt(at_x, np.zeros_like(x), w, target, np.array([-alpha, -scale / tail.k[-1]]), capped=True)
    if theta[0] > 0:  # the likelihood is concave, so the best law with alpha >= 0 has alpha = 0
        return without_power
    law = Law({"alpha": -float(theta[0]), "rate": -float(theta[1]) / scale}, lambda k: theta @ statistics(k) - log_sum)
    return law if law.log_likelihood(tail) - limit.log_likelihood(tail) >= LIMIT_GAIN else limit


def tilt(statistics: Array, base: Array, weights: Array, target: Array, start: Array, *, capped: bool = False
         ) -> tuple[Array, float]:
    """Maximum likelihood in the exponential family P(x) ~ weights exp(base + theta . statistics), statistics [d, N].

    `target` [d] are the means of the statistics in the data. Returns theta [d] and the log of the normalising sum.
    Newton's method with step halving; with `capped` the last component stays at or below 0.
    """
    def evaluate(theta: Array) -> tuple[float, float, Array]:
        exponents = base + theta @ statistics
        top = exponents.max()
        mass = weights * np.exp(exponents - top)
        total = mass.sum()
        log_sum = float(top + np.log(total))
        return float(theta @ target) - log_sum, log_sum, mass / total

    if capped and len(start) == 1:
        _, log_sum, mass = evaluate(np.zeros(1))
        if statistics[0] @ mass <= target[0]:
            return np.zeros(1), log_sum
    theta = start.astype(np.float64)
    value, log_sum, mass = evaluate(theta)
    for _ in range(200):
        mean = statistics @ mass
        centred = statistics - mean[:, None]
        step = np.linalg.lstsq((centred * mass) @ centred.T, target - mean, rcond=1e-14)[0]
        if not (target - mean) @ step > 1e-15:  # twice what the step would gain per value
            break
        factor = 1.0
        if capped and theta[-1] + step[-1] >= 0:
            factor = -0.9 * theta[-1] / step[-1]
        while (ahead := evaluate(theta + factor * step))[0] < value and factor > 1e-10:
            factor /= 2
        if ahead[0] < value:
            break
        theta, (value, log_sum, mass) = theta + factor * step, ahead
    return theta, log_sum


def best_of(cost: Callable[[float], float], grid: Array) -> float:
    """The minimum of a smooth function of one variable, which has one minimum around the best point of a grid."""
    i = int(np.argmin([cost(float(v)) for v in grid]))
    around = (float(grid[max(i - 1, 0)]), float(grid[min(i + 1, len(grid) - 1)]))
    return float(optimize.minimize_scalar(cost, bounds=around, method="bounded", options={"xatol": 1e-8}).x)
