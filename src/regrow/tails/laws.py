"""Six other laws for the same tail, exact and discrete, and the sums behind them.

Exponential, Poisson, negative binomial and truncated power law are exponential families on xmin ... xmax (the negative
binomial is one for each shape): their log-likelihood is concave, and Newton's method finds the one maximum.

Log-normal and stretched exponential are continuous laws rounded to the nearest integer: P(k) is the mass between
k - 1/2 and k + 1/2, divided by that of the whole support, as in Clauset's programs and in the powerlaw package.
Positions are t = log(x / (xmin - 1/2)), so that both laws contain the (rounded) power law exp(-rate t) as a limit,
log-normals with mu -> -inf and stretched exponentials with beta -> 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize
from scipy.linalg import eigh_tridiagonal
from scipy.special import erfc, erfcx, exprel, gammaln, logsumexp

from regrow.tails import kernels
from regrow.tails.given import at_whole_numbers

# Sums of smooth functions over ranges of whole numbers, infinite ones too, as a few hundred weighted terms. The first
# integers are taken one by one. After them come blocks with a Gauss rule each for the sum over its integers: nodes are
# the zeros of the discrete Chebyshev (Gram) polynomials, as those of Legendre are for integrals. It is exact for
# polynomials of degree 2 NODES - 1, and to rounding for the laws here.
NODES = 16  # per block
ONE_BY_ONE = 64  # integers, so that a law may fall as steeply as it likes
SHARPEST = 4.0  # square roots of its values that a block spans at the peak, so that a Poisson law shows its shape there
FARTHEST = 2.0**80  # where an infinite sum ends; terms must have become negligible by then


@lru_cache(maxsize=64)
def gauss_sum(start: int, end: float, peak: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes x and weights w such that sum(w * f(x)) is the sum of f(k) over start <= k < end (inf: no end).

    f may have a peak near `peak` that is as narrow as that of a Poisson law, and may fall as steeply as it likes from
    `start` on; elsewhere it should vary as powers and exponentials do.
    """
    last = min(end, FARTHEST)
    at = min(start + float(ONE_BY_ONE), last)
    nodes, weights = [np.arange(start, at)], [np.ones(int(at) - start)]
    while at < last:
        # No wider than the way from the start, so that exp(-rate * k) is resolved wherever it is not negligible, nor
        # than the way from the peak; powers of 2, so that few different blocks are needed.
        away = at - peak if at > peak else (peak - at) / 2
        width = max(min(at - start, max(away, SHARPEST * np.sqrt(at))), NODES)
        size = float(min(2.0 ** np.floor(np.log2(width)), last - at))
        x, w = _block(size)
        nodes.append(at + x)
        weights.append(w)
        at += size
    return np.concatenate(nodes), np.concatenate(weights)


@lru_cache(maxsize=4096)
def _block(size: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss rule for the sum over 0, 1, ..., size - 1 (Golub and Welsch, with the recurrence of Gram polynomials)."""
    if size <= NODES:
        return np.arange(size), np.ones(int(size))
    j = np.arange(1.0, NODES)
    off_diagonal = 0.5 * j * np.sqrt((size - j) * (size + j) / (4.0 * j * j - 1.0))
    shifts, vectors = eigh_tridiagonal(np.zeros(NODES), off_diagonal)
    return 0.5 * (size - 1.0) + shifts, size * vectors[0] ** 2


Array = NDArray[np.float64]
SHAPES = np.linspace(-8.0, 14.0, 12)  # logarithms of negative binomial shapes; 0 is the logarithmic law, inf Poisson's
FAR = 1e8  # from here on the logarithms of two gamma functions are too large to be subtracted
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

    def law(self, parameters: dict[str, float], log_mass: Callable[[Array], Array], limit: str = "") -> Law:
        """A law on this support."""
        return Law(parameters, log_mass, self.start, self.end, limit)


@dataclass(frozen=True)
class Law:
    """A fitted law on start <= k < end: its parameters, and the law at the edge of its family that it ran into, if any
    ("power law", "exponential", "Poisson", "logarithmic", "uniform").

    `log_mass` is log P(k) as a smooth function of k within the support, as sums by Gauss's rule need it.
    """

    parameters: dict[str, float]
    log_mass: Callable[[Array], Array] = field(repr=False)
    start: float
    end: float
    limit: str = ""

    def log_pmf(self, k: ArrayLike) -> Array:
        """log P(X = k) for numbers k of any shape: -inf outside the support and between whole numbers."""
        return at_whole_numbers(self.log_mass, k, self.start, self.end)

    def log_likelihood(self, tail: Tail) -> float:
        """Of all the data."""
        return tail.n * tail.mean(self.log_mass(tail.k))


def power_law(tail: Tail, alpha: float) -> Law:
    """P(k) ~ k ** -alpha."""
    log_sum, _, _ = kernels.log_moments(alpha, float(tail.start), tail.end)
    return tail.law({"alpha": alpha}, lambda k: -alpha * np.log(k / tail.start) - log_sum)


def exponential(tail: Tail) -> Law:
    """P(k) ~ exp(-rate k), rate >= 0."""
    x, w = tail.sums()
    excess = tail.mean(tail.k - tail.start)
    theta, log_sum = tilt((x - tail.start)[None], np.zeros_like(x), w, np.array([excess]),
                          np.array([-1 / (1 + excess)]), capped=True)
    return tail.law({"rate": -float(theta[0])}, lambda k: theta[0] * (k - tail.start) - log_sum,
               "" if theta[0] else "uniform")


def poisson(tail: Tail) -> Law:
    """P(k) ~ mean ** k / k!: what random wiring gives, nearly, if the tail is all there is."""
    x, w = tail.sums()
    scale = gammaln(tail.start + 1.0)  # keeps numbers small
    theta, log_sum = tilt((x - tail.start)[None], scale - gammaln(x + 1), w, np.array([tail.mean(tail.k - tail.start)]),
                          np.array([np.log(tail.mean(tail.k))]))
    return tail.law({"mean": float(np.exp(theta[0]))},
               lambda k: scale - gammaln(k + 1) + theta[0] * (k - tail.start) - log_sum)


def negative_binomial(tail: Tail) -> Law:
    """P(k) ~ Gamma(k + shape) / k! (mean / (mean + shape)) ** k: Poisson with a mean that varies among the values."""
    x, w = tail.sums()
    target = np.array([tail.mean(tail.k - tail.start)])
    theta = np.array([-1 / (1 + target[0])])

    def fit(log_shape: float) -> Law:
        nonlocal theta  # a good start for the next shape
        shape = float(np.exp(log_shape))
        scale = float(gammaln(tail.start + shape) if tail.start < FAR else log_rising(np.array([tail.start]), shape)[0])
        theta, log_sum = tilt((x - tail.start)[None], log_rising(x, shape, scale), w, target,
                              np.minimum(theta, -1e-12), capped=True)
        slope = float(theta[0])
        with np.errstate(over="ignore"):
            mean = float(shape / np.expm1(-slope)) if slope else np.inf
        return tail.law({"mean": mean, "shape": shape},
                        lambda k: log_rising(k, shape, scale) + slope * (k - tail.start) - log_sum)

    law = fit(best_of(lambda v: -fit(v).log_likelihood(tail), SHAPES))
    random = poisson(tail)
    limits = (logarithmic(tail),
              tail.law(random.parameters | {"shape": np.inf}, random.log_mass, "Poisson"))
    limit = max(limits, key=lambda one: one.log_likelihood(tail))
    return law if law.log_likelihood(tail) - limit.log_likelihood(tail) >= LIMIT_GAIN else limit


def logarithmic(tail: Tail) -> Law:
    """P(k) ~ theta ** k / k, 0 < theta <= 1: negative binomials of mean 0 end here as their shape goes to 0."""
    x, w = tail.sums()
    excess = tail.mean(tail.k - tail.start)
    slope, log_sum = tilt((x - tail.start)[None], -np.log(x / tail.start), w, np.array([excess]),
                          np.array([-1 / (1 + excess)]), capped=True)
    return tail.law({"theta": float(np.exp(slope[0])), "shape": 0.0},
                    lambda k: slope[0] * (k - tail.start) - np.log(k / tail.start) - log_sum, "logarithmic")


def log_rising(k: Array, shape: float, scale: float = 0.0) -> Array:
    """log of Gamma(k + shape) / k! - scale, by Stirling's series where the difference would be noise."""
    near = gammaln(k + shape) - scale - gammaln(k + 1)
    far = (shape - 1) * np.log(k) + (k + shape - 0.5) * np.log1p(shape / k) - shape - scale
    return np.where(k < FAR, near, far)


def truncated_power_law(tail: Tail, alpha: float) -> Law:
    """P(k) ~ k ** -alpha exp(-rate k), alpha and rate >= 0; `alpha` is that of the power law, the case rate = 0.

    Without alpha >= 0 the family would be that of all gamma laws, and would win where nothing is like a power law.
    """
    cut = exponential(tail)  # alpha = 0
    without_power = tail.law({"alpha": 0.0} | cut.parameters, cut.log_mass, "exponential")
    if alpha <= 0:  # possible if there is an upper end
        return without_power
    x, w = tail.sums()
    scale = tail.mean(tail.k)  # brings both statistics to the same size

    def statistics(k: Array) -> Array:
        return np.stack([np.log(k / tail.start), (k - tail.start) / scale])

    at_x, target = statistics(x), np.array([tail.mean(row) for row in statistics(tail.k)])
    weights = w * np.exp(-alpha * at_x[0])
    log_whole = np.log(weights.sum())
    limit = tail.law({"alpha": alpha, "rate": 0.0}, lambda k: -alpha * np.log(k / tail.start) - log_whole, "power law")
    if (weights @ at_x[1]) / weights.sum() <= target[1]:  # a cut-off would only lower the likelihood
        return limit
    theta, log_sum = tilt(at_x, np.zeros_like(x), w, target, np.array([-alpha, -scale / tail.k[-1]]), capped=True)
    if theta[0] > 0:  # the likelihood is concave, so the best law with alpha >= 0 has alpha = 0
        return without_power
    law = tail.law({"alpha": -float(theta[0]), "rate": -float(theta[1]) / scale},
                   lambda k: theta @ statistics(k) - log_sum)
    return law if law.log_likelihood(tail) - limit.log_likelihood(tail) >= LIMIT_GAIN else limit


def tilt(statistics: Array, base: Array, weights: Array, target: Array, start: Array, *, capped: bool = False
         ) -> tuple[Array, float]:
    """Maximum likelihood in the exponential family P(x) ~ weights exp(base + theta . statistics), statistics [d, N].

    `target` [d] are the means of the statistics in the data. Returns theta [d] and the log of the normalising sum.
    Newton's method with step halving; with `capped` the last component stays at or below 0.
    """
    def evaluate(theta: Array) -> tuple[float, float, Array]:
        with np.errstate(over="ignore", invalid="ignore"):  # a step that goes too far is no step up
            exponents = base + theta @ statistics
        top = exponents.max()
        if not np.isfinite(top):
            return -np.inf, np.inf, weights
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
        with np.errstate(over="ignore", invalid="ignore"):
            step = np.linalg.lstsq((centred * mass) @ centred.T, target - mean, rcond=1e-14)[0]
            gain = (target - mean) @ step  # twice, per value
        if not 1e-15 < gain < np.inf:
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
    costs = [cost(float(v)) for v in grid]
    i = int(np.argmin(costs))
    around = (float(grid[max(i - 1, 0)]), float(grid[min(i + 1, len(grid) - 1)]))
    found = optimize.minimize_scalar(cost, bounds=around, method="bounded", options={"xatol": 1e-8})
    return float(found.x) if found.fun <= costs[i] else float(grid[i])


Mass = Callable[[Array, Array], Array]  # log of the mass from one position on over some width, up to a constant
NARROW = 1e-6  # intervals whose mass is taken as width times density, since differences would cancel


def log_normal(tail: Tail) -> Law:
    """log x is normal with parameters mu and sigma: a density exp(-b t - c t^2) of t with c > 0."""
    t, origin = _positions(tail)
    centre, spread = tail.mean(t), _spread(tail, t)

    def coefficients(v: Array) -> tuple[float, float]:  # of a parabola around the centre of the data, in their spread
        return float(v[0] / spread - 2 * v[1] * centre / spread**2), float(v[1] / spread**2)

    def law(v: Array) -> Law:
        b, c = coefficients(v)
        return _rounded(tail, lambda low, width: _log_normal_mass(low, width, b, c),
                        {"mu": float(np.log(origin) - b / (2 * c)), "sigma": float(np.sqrt(0.5 / c))})

    limit = _power_law(tail)
    slope = spread * (limit.parameters["alpha"] - 1)
    starts = [np.array([slope + 2 * v * centre / spread, v]) for v in (1e-6, 1e-2)] + [np.array([0.0, 0.5])]
    best = law(_climb(lambda v: law(v).log_likelihood(tail) / tail.n, starts, [(None, None), (1e-9, None)]))
    if best.log_likelihood(tail) - limit.log_likelihood(tail) < LIMIT_GAIN:
        return tail.law({"mu": -np.inf, "sigma": np.inf}, limit.log_mass, "power law")
    return best


def stretched_exponential(tail: Tail) -> Law:
    """P(X > x) ~ exp(-(rate x) ** beta), the Weibull law: exp(-h (e**(beta t) - 1) / beta) of t."""
    t, origin = _positions(tail)
    spread = _spread(tail, t)

    def law(v: Array) -> Law:  # v[0] = 0 is nearly the best h for every beta
        beta = float(v[1] / spread)
        with np.errstate(over="ignore", divide="ignore"):  # a small beta goes with a huge rate, a large one with h = 0
            h = float(np.exp(v[0]) / tail.mean(t * exprel(beta * t)))
            rate = float(np.exp(np.log(h / beta) / beta) / origin)
        return _rounded(tail, lambda low, width: _weibull_mass(low, width, h, beta), {"rate": rate, "beta": beta})

    def steep(v: Array) -> Law:  # the same where e**(beta t) overflows
        beta = float(v[1] / spread)
        log_scale = float(v[0] + np.log(tail.n) - logsumexp(_log_expm1(beta * t), b=tail.counts))  # of h / beta
        with np.errstate(over="ignore"):
            rate = float(np.exp(log_scale / beta) / origin)
        return _rounded(tail, lambda low, width: _steep_weibull_mass(low, width, log_scale, beta),
                        {"rate": rate, "beta": beta})

    def fit(family: Callable[[Array], Law]) -> Law:
        starts = [np.array([0.0, v]) for v in (1e-3, 0.3, 1.0)]
        return family(_climb(lambda v: family(v).log_likelihood(tail) / tail.n, starts, [(-30, 30), (1e-9, 100)]))

    best = fit(law)
    if not np.isfinite(best.log_likelihood(tail)) or best.parameters["beta"] * t[-1] > 600:
        best = fit(steep)
    limit = _power_law(tail)
    if best.log_likelihood(tail) - limit.log_likelihood(tail) < LIMIT_GAIN:
        return tail.law({"rate": np.inf, "beta": 0.0}, limit.log_mass, "power law")
    return best


def _power_law(tail: Tail) -> Law:
    """The continuous power law, rounded."""
    def law(log_rate: float) -> Law:
        rate = float(np.exp(log_rate))
        return _rounded(tail, lambda low, width: _weibull_mass(low, width, rate, 0.0), {"alpha": 1 + rate})

    return law(best_of(lambda v: -law(v).log_likelihood(tail), np.linspace(-6.0, 8.0, 15)))


def _rounded(tail: Tail, mass: Mass, parameters: dict[str, float]) -> Law:
    origin = tail.start - 0.5
    whole = mass(np.zeros(1), np.log(np.array([(tail.end - 0.5) / origin])))
    return tail.law(parameters, lambda k: mass(np.log((k - 0.5) / origin), np.log1p(1 / (k - 0.5))) - whole)


def _positions(tail: Tail) -> tuple[Array, float]:
    origin = tail.start - 0.5
    return np.log(tail.k / origin), origin


def _spread(tail: Tail, t: Array) -> float:
    return max(float(np.sqrt(tail.mean((t - tail.mean(t)) ** 2))), 1e-6)


def _weibull_mass(low: Array, width: Array, h: float, beta: float) -> Array:
    """log of exp(-H(low)) - exp(-H(low + width)) with H(t) = h (e**(beta t) - 1) / beta; H(inf) = inf."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        rise = np.where(np.isinf(width), np.inf, h * np.exp(beta * low) * width * exprel(beta * width))
        return -h * low * exprel(beta * low) + np.log(-np.expm1(-rise))


def _steep_weibull_mass(low: Array, width: Array, log_scale: float, beta: float) -> Array:
    """As _weibull_mass with h / beta = e**log_scale."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        rise = np.exp(log_scale + beta * low + _log_expm1(beta * width))
        return np.exp(log_scale) - np.exp(log_scale + beta * low) + np.log(-np.expm1(-rise))


def _log_expm1(z: Array) -> Array:
    return z + np.log(-np.expm1(-z))


def _log_normal_mass(low: Array, width: Array, b: float, c: float) -> Array:
    """log of the integral of exp(-b t - c t^2) over low ... low + width, up to a constant of b and c."""
    def log_tail(t: Array, side: float) -> Array:
        # Of exp(b^2 / 4c) erfc(side * z): scaled where erfc is tiny, plain where it is near 2.
        z = side * (np.sqrt(c) * t + b / (2 * np.sqrt(c)))
        scaled = np.log(erfcx(np.maximum(z, -5.0))) - t * (b + c * t)
        return np.where(z > -5.0, scaled, b * b / (4 * c) + np.log(erfc(z)))

    endless = np.isinf(width)
    high = np.where(endless, low, low + width)
    right = endless | (c * (low + high) + b > 0)  # beyond the mode subtract tails to the right, else tails to the left
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        near = np.where(right, log_tail(low, 1.0), log_tail(high, -1.0))
        far = np.where(endless, -np.inf, np.where(right, log_tail(high, 1.0), log_tail(low, -1.0)))
        middle = (low + high) / 2
        density = np.log(width) - middle * (b + c * middle) + np.log(2 * np.sqrt(c / np.pi))
        return np.where(width < NARROW, density, near + np.log1p(-np.exp(far - near)))


def _climb(value: Callable[[Array], float], starts: list[Array], bounds: list[tuple[float | None, float | None]]
           ) -> Array:
    """The best of the maxima reached from several starts."""
    def cost(v: Array) -> float:
        found = -value(v)
        return found if np.isfinite(found) else 1e6

    tried = [optimize.minimize(cost, start, method="L-BFGS-B", bounds=bounds,
                               options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500}) for start in starts]
    return min(tried, key=lambda result: result.fun).x
