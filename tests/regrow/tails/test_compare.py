"""Ratios against powerlaw's, and the right law wins on data of every kind."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

from regrow.errors import ConfigError, DataError
from regrow.tails.compare import NAMES, compare_laws
from regrow.tails.fit import fit_tail, select_xmin
from regrow.tails.goodness import sample

RNG = np.random.default_rng(0)
SETS = {
    "power law": (sample(2.4, 12, 600, RNG), 12),
    "steep": (sample(3.3, 110, 700, RNG), 110),
    "log-normal": (np.exp(RNG.normal(4.6, 0.5, 1500)).astype(int), 110),
    "random wiring": (RNG.poisson(126, 1000), 110),
    "gamma": (RNG.negative_binomial(6, 0.04, 1500), 110),
    "weibull": ((100 * RNG.weibull(0.8, 1500)).astype(int), 110),
    "small": (RNG.geometric(0.3, 500), 1),
}
THEIRS = {"exponential": "exponential", "log-normal": "lognormal", "stretched exponential": "stretched_exponential",
          "truncated power law": "truncated_power_law"}


def powerlaw_fit(x: np.ndarray, xmin: int):
    import powerlaw

    return powerlaw.Fit(x, discrete=True, xmin=xmin, verbose=0, estimate_discrete=False,
                        parameter_ranges={"alpha": [1.0, None]})


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("law", [law for law in THEIRS if law != "truncated power law"])
def test_never_less_likely_than_powerlaws(name: str, law: str) -> None:
    x, xmin = SETS[name]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        fit = powerlaw_fit(x, xmin)
        theirs = getattr(fit, THEIRS[law]).loglikelihoods(fit.data).sum()
    assert compare_laws(x, fit_tail(x, xmin))[law].log_likelihood > theirs - 1e-3


def test_truncated_power_law_never_less_likely_than_powerlaws() -> None:
    """One small set: powerlaw takes seconds for others."""
    x, xmin = SETS["small"]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        fit = powerlaw_fit(x, xmin)
        theirs = fit.truncated_power_law.loglikelihoods(fit.data).sum()
    assert compare_laws(x, fit_tail(x, xmin))["truncated power law"].log_likelihood > theirs - 1e-3


@pytest.mark.parametrize("law", ["exponential", "log-normal"])
def test_ratios_are_powerlaws(law: str) -> None:
    """To 2 %, where powerlaw finds the maximum."""
    x, xmin = SETS["power law"]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        z, p = powerlaw_fit(x, xmin).distribution_compare("power_law", THEIRS[law], normalized_ratio=True)
    ours = compare_laws(x, fit_tail(x, xmin))[law]
    assert (ours.z, ours.p) == (pytest.approx(z, rel=0.02, abs=0.01), pytest.approx(p, rel=0.02, abs=0.005))


@pytest.mark.parametrize(("name", "winners"), [
    ("random wiring", {"Poisson", "negative binomial", "log-normal"}),
    ("gamma", {"negative binomial"}), ("log-normal", {"log-normal"}), ("weibull", {"stretched exponential"}),
    ("small", {"exponential"})])
def test_the_right_law_wins(name: str, winners: set[str]) -> None:
    xmin = {"log-normal": 30, "weibull": 20}.get(name, SETS[name][1])
    comparison = compare_laws(SETS[name][0], fit_tail(SETS[name][0], xmin))
    assert comparison.best in winners
    assert sum(row["weight"] for row in comparison.rows()) == pytest.approx(1)
    for row in comparison.alternatives:
        if row.name in winners:
            assert row.verdict == row.name and row.ratio < 0


def test_a_power_law_is_usually_recognised() -> None:
    """Its AIC weight is the largest, except by chance, when a law that contains it nearly gains more than one unit."""
    sets = [sample(3.3, 110, 700, np.random.default_rng(seed)) for seed in range(12)]
    comparisons = [compare_laws(x, fit_tail(x)) for x in sets]
    assert sum(comparison.best == "power law" for comparison in comparisons) >= 9
    assert all(comparison[name].verdict == "power law" for comparison in comparisons for name in ("exponential",
                                                                                                  "Poisson"))


def test_vuong_by_hand() -> None:
    x, xmin = SETS["gamma"]
    fit = fit_tail(x, xmin)
    row = compare_laws(x, fit)["Poisson"]
    inside = x[x >= xmin]
    law = stats.poisson(row.parameters["mean"])
    difference = fit.log_pmf(inside) - law.logpmf(inside) + np.log(law.sf(xmin - 1))
    assert row.ratio == pytest.approx(difference.sum(), rel=1e-9)
    assert row.z == pytest.approx(difference.sum() / (difference.std() * np.sqrt(len(inside))), rel=1e-9)
    assert row.p == pytest.approx(2 * stats.norm.sf(abs(row.z)), rel=1e-9)
    assert row.aic == pytest.approx(2 - 2 * row.log_likelihood)


def test_the_truncated_law_contains_the_power_law() -> None:
    for x, xmin in SETS.values():
        row = compare_laws(x, fit_tail(x, xmin))["truncated power law"]
        assert row.ratio <= 1e-9 and np.isnan(row.z)
        assert row.p == pytest.approx(stats.chi2.sf(-2 * row.ratio, 1), abs=1e-9)
    assert row.parameters["alpha"] >= 0


def test_at_the_power_law_limit_nothing_is_decided() -> None:
    bent = np.concatenate([sample(3.5, 110, 800, np.random.default_rng(1)), np.arange(3000, 9000, 250)])
    comparison = compare_laws(bent, fit_tail(bent))
    for name in ("log-normal", "stretched exponential", "truncated power law"):
        assert comparison[name].limit == "power law" and comparison[name].verdict == "undecided"
        assert abs(comparison[name].ratio) < 0.05


def test_the_upper_end_counts() -> None:
    """A power law cut at 800 looks truncated if one forgets to say where it ends."""
    x = sample(2.2, 110, 4000, np.random.default_rng(3), 800)
    assert compare_laws(x, fit_tail(x))["truncated power law"].p < 1e-6
    bounded = compare_laws(x, fit_tail(x, 110, 800))
    assert bounded["truncated power law"].p > 0.01 and bounded.best in ("power law", "truncated power law")
    assert [row.name for row in bounded.alternatives] == list(NAMES)


def test_what_cannot_be_compared_is_refused() -> None:
    x = SETS["steep"][0]
    with pytest.raises(DataError, match="All 9 values of the tail are equal"):
        compare_laws([120] * 9, fit_tail([120] * 9))
    with pytest.raises(DataError, match="fit is of 700 values, but 699"):
        compare_laws(x[1:], fit_tail(x))
    with pytest.raises(DataError, match="fit is of 700 other values"):
        compare_laws(x + 1, fit_tail(x))
    with pytest.raises(ConfigError, match="not a tuple"):
        compare_laws(x, select_xmin(x))
