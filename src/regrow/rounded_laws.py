"""Log-normal and stretched exponential for the same tail: continuous laws rounded to the nearest integer.

P(k) is the mass between k - 1/2 and k + 1/2, divided by that of the whole support, as in Clauset's programs and in the
powerlaw package. Positions are t = log(x / (xmin - 1/2)), so that both laws contain the (rounded) power law
exp(-rate t) as a limit, log-normals with mu -> -inf and stretched exponentials with beta -> 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import optimize
from scipy.special import erfc, erfcx, exprel

from regrow.tail_laws import LIMIT_GAIN, Array, Law, Tail, best_of

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
        return Law({"mu": -np.inf, "sigma": np.inf}, limit.log_pmf, "power law")
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

    starts = [np.array([0.0, v]) for v in (1e-3, 0.3, 1.0)]
    best = law(_climb(lambda v: law(v).log_likelihood(tail) / tail.n, starts, [(-30, 30), (1e-9, 100)]))
    limit = _power_law(tail)
    if best.log_likelihood(tail) - limit.log_likelihood(tail) < LIMIT_GAIN:
        return Law({"rate": np.inf, "beta": 0.0}, limit.log_pmf, "power law")
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
    return Law(parameters, lambda k: mass(np.log((k - 0.5) / origin), np.log1p(1 / (k - 0.5))) - whole)


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
