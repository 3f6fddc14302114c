"""Every law is normalised on its support, is the one that its formula says, and no other parameters are more likely."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from scipy import optimize, special, stats

from regrow.tails import laws
from regrow.tails.fit import ends, fit_tail, tail_of
from regrow.tails.goodness import sample
from regrow.tails.laws import Law, Tail

RNG = np.random.default_rng(0)
DATA = {  # law whose data they are -> values
    "exponential": RNG.geometric(0.02, 1500) + 60,
    "Poisson": RNG.poisson(126, 1500),
    "negative binomial": RNG.negative_binomial(6, 0.04, 1500),
    "log-normal": np.exp(RNG.normal(4.6, 0.6, 2000)).round().astype(int),
    "stretched exponential": (120 * RNG.weibull(0.8, 2000)).round().astype(int),
    "power law": sample(2.6, 110, 900, RNG),
}
FITS: dict[str, Callable[[Tail], Law]] = {
    "exponential": laws.exponential, "Poisson": laws.poisson,
    "negative binomial": laws.negative_binomial, "log-normal": laws.log_normal,
    "stretched exponential": laws.stretched_exponential,
    "truncated power law": lambda tail: laws.truncated_power_law(tail, alpha_of(tail)),
}


def tail(x: np.ndarray, xmin: int, xmax: int | None = None) -> Tail:
    k, counts = np.unique(tail_of(x, xmin, xmax), return_counts=True)
    return Tail(k.astype(float), counts.astype(float), xmin, ends(xmin, xmax)[1])


def alpha_of(data: Tail) -> float:
    values = np.repeat(data.k, data.counts.astype(int))
    return fit_tail(values, data.start, None if np.isinf(data.end) else int(data.end) - 1).alpha


def pmf(name: str, k: np.ndarray, v: dict[str, float]) -> np.ndarray:
    """scipy's law, or the formula, not yet cut to the tail."""
    if name == "exponential":
        return np.exp(-v["rate"] * (k - 110))
    if name == "Poisson":
        return stats.poisson.pmf(k, v["mean"])
    if name == "negative binomial":
        return stats.nbinom.pmf(k, v["shape"], v["shape"] / (v["shape"] + v["mean"]))
    if name == "truncated power law":
        return (k / 110.0) ** -v["alpha"] * np.exp(-v["rate"] * (k - 110))
    if name == "log-normal":
        law = stats.lognorm(v["sigma"], scale=np.exp(v["mu"]))
    else:
        law = stats.weibull_min(v["beta"], scale=1 / v["rate"])
    return law.sf(k - 0.5) - law.sf(k + 0.5)


@pytest.mark.parametrize("xmax", [None, 400])
@pytest.mark.parametrize("source", DATA)
@pytest.mark.parametrize("name", FITS)
def test_the_law_is_what_its_parameters_say(name: str, source: str, xmax: int | None) -> None:
    law = FITS[name](tail(DATA[source], 110, xmax))
    k = np.arange(110.0, (xmax or 1_000_000) + 1)
    log_pmf = law.log_pmf(k)
    heavy = xmax is None and source == "power law" and name in ("log-normal", "stretched exponential",
                                                               "truncated power law")
    assert np.exp(log_pmf).sum() == pytest.approx(1, abs=1e-3 if heavy else 1e-9)
    if law.limit in ("", "uniform", "exponential") and not heavy:
        with np.errstate(over="ignore"):
            expected = pmf(name, k, law.parameters)
        expected = expected / expected.sum()
        seen = expected > 1e-9
        np.testing.assert_allclose(np.exp(log_pmf[seen]), expected[seen], rtol=2e-5)


@pytest.mark.parametrize("xmax", [None, 400])
@pytest.mark.parametrize("source", DATA)
@pytest.mark.parametrize("name", FITS)
def test_no_other_parameters_are_more_likely(name: str, source: str, xmax: int | None) -> None:
    """Against a simplex search over plain sums that starts at our answer."""
    data = tail(DATA[source], 110, xmax)
    law = FITS[name](data)
    if law.limit:
        return
    support = np.arange(110.0, (xmax or 60_000) + 1)
    names = list(law.parameters)

    def cost(scaled: np.ndarray) -> float:
        v = dict(zip(names, scaled * at, strict=True))
        if name == "truncated power law" and min(v.values()) < 0:
            return 1e12
        with np.errstate(all="ignore"):
            weights = pmf(name, support, v)
            found = -data.counts @ np.log(pmf(name, data.k, v) / weights.sum())
        return found if np.isfinite(found) else 1e12

    at = np.array([law.parameters[n] for n in names])
    best = optimize.minimize(cost, np.ones(len(names)), method="Nelder-Mead", options={"maxiter": 150, "fatol": 1e-7})
    assert law.log_likelihood(data) > -best.fun - 1e-3


@pytest.mark.parametrize(("name", "true"), [
    ("exponential", {"rate": -np.log(0.98)}), ("Poisson", {"mean": 126}),
    ("negative binomial", {"shape": 6, "mean": 144}), ("log-normal", {"mu": 4.6, "sigma": 0.6}),
    ("stretched exponential", {"rate": 1 / 120, "beta": 0.8})])
def test_parameters_come_back(name: str, true: dict[str, float]) -> None:
    found = FITS[name](tail(DATA[name], 70)).parameters
    assert found == pytest.approx(true, rel=0.15)


def test_limits_are_told() -> None:
    """A tail that bends upwards in a log-log plot runs every family into its power law."""
    bent = np.concatenate([sample(3.5, 110, 800, np.random.default_rng(1)), np.arange(3000, 9000, 250)])
    data = tail(bent, 110)
    for name in ("log-normal", "stretched exponential", "truncated power law"):
        assert FITS[name](data).limit == "power law", name
    assert FITS["log-normal"](data).parameters["mu"] == -np.inf
    assert FITS["negative binomial"](data).limit == "logarithmic"
    narrow = tail(np.random.default_rng(2).binomial(300, 0.45, 800), 110)
    assert FITS["negative binomial"](narrow).limit == "Poisson", "narrower than Poisson"
    assert FITS["truncated power law"](narrow).limit == "exponential", "no negative exponents"
    flat = tail(np.arange(110, 400), 110, 399)
    assert FITS["exponential"](flat).limit == "uniform" and FITS["exponential"](flat).parameters["rate"] == 0


@pytest.mark.parametrize("xmax", [None, 400])
@pytest.mark.parametrize("name", ["power law", *FITS])
def test_no_probability_outside_the_support_and_between_integers(name: str, xmax: int | None) -> None:
    data = tail(DATA["log-normal"], 110, xmax)
    law = laws.power_law(data, alpha_of(data)) if name == "power law" else FITS[name](data)
    outside = [-5, 0, 50, 109, 110.5, 200.25, np.inf, -np.inf, *([401, 1e9] if xmax else [])]
    assert (law.log_pmf(outside) == -np.inf).all() and np.isnan(law.log_pmf([np.nan, 120])).tolist() == [True, False]
    inside = np.arange(110, 401)
    assert np.array_equal(law.log_pmf(inside), law.log_mass(inside.astype(float))) and (law.log_pmf(inside) <= 0).all()
    assert law.log_pmf([[110, 111], [3, 112.5]]).shape == (2, 2) and law.log_pmf(109) == -np.inf


def brute_negative_binomial(data: Tail, log_shape: float, slope: float) -> float:
    """The log-likelihood by a plain sum; shape 0 is P(k) ~ e ** (slope k) / k, slope 0 leaves no end to it."""
    support = np.arange(data.start, min(data.end, 40_000.0))
    shape = np.exp(log_shape)
    masses = [special.gammaln(k + shape) - special.gammaln(k + 1) + slope * k for k in (data.k, support)]
    return float(data.counts @ (masses[0] - special.logsumexp(masses[1])))


@pytest.mark.parametrize("xmax", [None, 900])
@pytest.mark.parametrize("source", [*DATA, "steep"])
def test_the_negative_binomial_is_never_less_likely_than_its_members(source: str, xmax: int | None) -> None:
    """The logarithmic law at shape 0, the geometric one at shape 1, Poisson's at infinity."""
    data = tail(sample(2.2, 1, 500, np.random.default_rng(3), 800) if source == "steep" else DATA[source],
                1 if source == "steep" else 110, xmax)
    found = FITS["negative binomial"](data).log_likelihood(data)
    for log_shape in (-np.inf, 0.0, 1.5):
        best = optimize.minimize_scalar(lambda v, at=log_shape: -brute_negative_binomial(data, at, -np.exp(v)),
                                        bounds=(-9, 2), method="bounded")
        assert found >= -best.fun - 2 * laws.LIMIT_GAIN, log_shape
    for member in (laws.logarithmic, laws.poisson, laws.exponential):
        assert found >= member(data).log_likelihood(data) - laws.LIMIT_GAIN, member


def test_the_logarithmic_limit_is_reached() -> None:
    data = tail(sample(2.5, 1, 400, np.random.default_rng(4)), 1)
    law = FITS["negative binomial"](data)
    k = np.arange(1.0, 2e6)
    expected = k * np.log(law.parameters["theta"]) - np.log(k)
    assert law.limit == "logarithmic" and law.parameters["shape"] == 0
    np.testing.assert_allclose(law.log_pmf(k[:99]), (expected - special.logsumexp(expected))[:99], rtol=1e-9)


def test_the_rising_factorial_of_huge_numbers() -> None:
    with mpmath.workdps(40):
        for k, shape in ((99_999_999, 0.3), (100_000_001, 0.3), (10**12, 2.5), (10**15, 1e-3), (10**9, 1e4)):
            exact = float(mpmath.loggamma(k + mpmath.mpf(shape)) - mpmath.loggamma(k + 1))
            found = laws.log_rising(np.array([float(k)]), shape)[0]
            assert found == pytest.approx(exact, abs=1e-5 * max(1, shape), rel=1e-9)


def test_steep_and_tiny_tails() -> None:
    """Two values that touch the start, and nearly everything at the start."""
    for x in (np.array([110, 112]), np.repeat([110, 111], [500, 3]), np.repeat([1, 2, 3], [40, 8, 2])):
        data = tail(x, int(x.min()))
        for name, fit in FITS.items():
            law = fit(data)
            assert np.isfinite(law.log_pmf(data.k)).all() and law.log_pmf(data.k).max() <= 1e-12, name
            assert np.exp(law.log_pmf(np.arange(float(x.min()), 10_000))).sum() == pytest.approx(1, abs=1e-4), name


def test_stretched_exponentials_as_steep_as_they_need_be() -> None:
    """Values that crowd far from xmin want exponents at which e ** (beta t) overflows."""
    for centre, xmax in ((1700, 1800), (337_942_932_000, None)):
        data = tail(centre + np.random.default_rng(0).integers(0, 20, 40), 1, xmax)
        law = FITS["stretched exponential"](data)
        k = np.arange(max(1, centre - 50_000), centre + 100.0)
        assert np.isfinite(law.log_likelihood(data)) and law.parameters["beta"] > 100
        assert law.log_likelihood(data) > FITS["log-normal"](data).log_likelihood(data) - 10
        assert xmax is None or np.exp(law.log_pmf(k)).sum() == pytest.approx(1, abs=1e-6)
