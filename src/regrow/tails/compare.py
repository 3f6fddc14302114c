"""The power law against six other laws on the same tail: likelihood ratios and AIC weights (Section 8 asks for them).

"Not rejected" does not mean "power law": another law may describe the tail as well or better. All are exact discrete
laws on the same xmin ... xmax; see regrow.tails.laws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from regrow.tails import laws
from regrow.tails.fit import TailFit, check_fitted, ends, tail_of
from regrow.tails.given import whole_numbers
from regrow.tails.laws import Law, Tail

SIGNIFICANT = 0.1  # below this p the sign of a ratio means something (Clauset, Shalizi and Newman)
LAWS: dict[str, Callable[[Tail], Law]] = {
    "exponential": laws.exponential,
    "log-normal": laws.log_normal,
    "stretched exponential": laws.stretched_exponential,
    "negative binomial": laws.negative_binomial,
    "Poisson": laws.poisson,
}
NESTED = "truncated power law"  # the power law is one of its cases
NAMES = ("exponential", "log-normal", "stretched exponential", NESTED, "negative binomial", "Poisson")


@dataclass(frozen=True)
class Alternative:
    """One law beside the power law.

    `ratio` is the log-likelihood of the power law minus this law's: positive favours the power law. `z` is Vuong's
    normalised ratio and `p` its two-sided p-value; for the truncated power law, which contains the power law, z is nan
    and p that of 2 |ratio| under chi-square with one degree of freedom. `limit` names the law at the edge of the family
    that the fit has run into ("power law", "exponential", "Poisson", "logarithmic", "uniform"), or is empty. At the
    limit "power law" the sign of `ratio` is noise.
    """

    name: str
    parameters: dict[str, float]
    log_likelihood: float
    ratio: float
    z: float
    p: float
    aic: float
    weight: float
    limit: str

    @property
    def verdict(self) -> str:
        """Which of the two the ratio favours, "undecided" where p >= 0.1 or the two are the same law."""
        if self.limit == "power law" or not self.p < SIGNIFICANT:
            return "undecided"
        return "power law" if self.ratio > 0 else self.name


@dataclass(frozen=True)
class Comparison:
    """The alternatives, in the order of NAMES. AIC weights are among them and the power law, and add up to 1.

    `laws` are the fitted laws, log P(k) included, the power law among them.
    """

    power_law: Alternative
    alternatives: tuple[Alternative, ...]
    laws: dict[str, Law] = field(repr=False)

    def __getitem__(self, name: str) -> Alternative:
        return next(row for row in (self.power_law, *self.alternatives) if row.name == name)

    @property
    def best(self) -> str:
        """The law of largest AIC weight."""
        return max((self.power_law, *self.alternatives), key=lambda row: row.weight).name

    def rows(self) -> list[dict[str, Any]]:
        """All laws as dictionaries, the power law first: for a table or JSON."""
        return [asdict(row) | {"verdict": row.verdict} for row in (self.power_law, *self.alternatives)]


def compare_laws(x: ArrayLike, fit: TailFit) -> Comparison:
    """Fit the alternatives to the tail of x that `fit` was fitted to, and compare each with the power law.

    Raises DataError for an empty or degenerate tail, and if x is not what was fitted, see fit.check_fitted.
    """
    values = whole_numbers(x)
    check_fitted(values, fit)
    k, counts = np.unique(tail_of(values, fit.xmin, fit.xmax), return_counts=True)
    tail = Tail(k.astype(np.float64), counts.astype(np.float64), fit.xmin, ends(fit.xmin, fit.xmax)[1])
    found = {"power law": laws.power_law(tail, fit.alpha)}
    for name in NAMES:
        found[name] = laws.truncated_power_law(tail, fit.alpha) if name == NESTED else LAWS[name](tail)
    aics = {name: 2 * len(law.parameters) - 2 * law.log_likelihood(tail) for name, law in found.items()}
    weights = {name: float(np.exp((min(aics.values()) - aic) / 2)) for name, aic in aics.items()}
    total = sum(weights.values())
    ours, rows = found["power law"].log_pmf(tail.k), []
    for name, law in found.items():
        ratio, z, p = _against(tail, ours - law.log_pmf(tail.k), name)
        rows.append(Alternative(name, law.parameters, law.log_likelihood(tail), ratio, z, p, aics[name],
                                weights[name] / total, law.limit))
    return Comparison(rows[0], tuple(rows[1:]), found)


def _against(tail: Tail, difference: NDArray[np.float64], name: str) -> tuple[float, float, float]:
    """Ratio, z and p from the difference of log P at each distinct value."""
    mean = tail.mean(difference)
    ratio = tail.n * mean
    if name == NESTED:
        return ratio, np.nan, float(special.chdtrc(1, 2 * abs(ratio)))
    spread = np.sqrt(tail.mean((difference - mean) ** 2))
    if not spread > 0:  # the power law itself
        return ratio, np.nan, np.nan
    z = float(np.sqrt(tail.n) * mean / spread)
    return ratio, z, float(special.erfc(abs(z) / np.sqrt(2)))
