"""Discrete power laws fitted to the upper tail of whole numbers, degrees above all (Section 4.6, Eqs. 17 to 19).

The law is P(k) = k ** -alpha / (sum of j ** -alpha over xmin <= j <= xmax) for whole numbers xmin <= k <= xmax, where
xmax may be infinite. Everything is exact: the normalisation, the maximum-likelihood exponent, and the distance D as a
supremum over all integers. Values outside [xmin, xmax] stay out of the fit. 0 is a legitimate value below xmin: dead
neurons have degree 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regrow.errors import ConfigError, DataError
from regrow.tails import kernels
from regrow.tails.given import at_whole_numbers, bounds, whole_numbers

PAPER_XMIN = 110  # Section 5.4
FEW = 50  # values in a tail, below which alpha and p say little
USUAL = (1.5, 8.0)  # exponents outside are flagged


@dataclass(frozen=True)
class TailFit:
    """A discrete power law fitted to x with xmin <= x <= xmax (None: no upper end).

    `sigma` is the standard error of alpha from the observed information, `sigma_simple` is (alpha - 1) / sqrt(n_tail).
    `D` is Eq. 19 over all integers; `D_observed` compares the two distribution functions just before each observed
    value only, as plfit, igraph and powerlaw do; they differ by at most the largest share of equal values. `n` counts
    all values, `n_tail` those fitted. `flags` may hold
    "empty" (alpha is nan), "few" (n_tail < 50), "degenerate" (all values of the tail are equal, or crowd at xmax;
    alpha is infinite if they sit at an end of the range) and "outside" (alpha not in 1.5 ... 8).
    """

    alpha: float
    sigma: float
    sigma_simple: float
    D: float
    D_observed: float
    n_tail: int
    n: int
    log_likelihood: float
    xmin: int
    xmax: int | None
    flags: tuple[str, ...]

    @property
    def remarks(self) -> tuple[str, ...]:
        """A sentence for each flag."""
        number = "a single value" if self.n_tail == 1 else f"{self.n_tail} values"
        said = {"empty": f"No value lies in {_range(self.xmin, self.xmax)}.",
                "few": f"The tail holds {number}; with fewer than {FEW}, alpha and p say little.",
                "degenerate": f"The {self.n_tail} values of the tail crowd at its upper end, so no exponent describes "
                              "them." if np.isnan(self.D) else
                f"All {number} of the tail are equal, so no exponent describes them." if self.n_tail > 1 else
                f"The tail holds {number}, which no exponent describes.",
                "outside": f"alpha = {self.alpha:.4g} lies outside {USUAL[0]:g} to {USUAL[1]:g}, "
                           "where power laws are found."}
        return tuple(said[flag] for flag in self.flags)

    def survival(self, k: ArrayLike) -> NDArray[np.float64]:
        """P(X >= k) of the fitted law for real numbers k of any shape: 1 up to xmin, 0 above xmax, steps in between."""
        start, end = ends(self.xmin, self.xmax)
        ks = np.ceil(np.asarray(k, dtype=np.float64))
        if not np.isfinite(self.alpha):  # all at one end
            above = np.where(np.isnan(ks) | np.isnan(self.alpha), np.nan, 1.0)
            return np.where(ks > (start if self.alpha > 0 else end - 1), 0.0, above)[()]
        norm = kernels.power_sum(self.alpha, start, start, end)
        return np.array([kernels.power_sum(self.alpha, max(j, start), start, end) / norm if j == j else np.nan
                         for j in ks.ravel().tolist()]).reshape(ks.shape)

    def log_pmf(self, k: ArrayLike) -> NDArray[np.float64]:
        """log P(X = k) of the fitted law for numbers k of any shape: -inf where it has no probability."""
        start, end = ends(self.xmin, self.xmax)

        def log_mass(j: NDArray[np.float64]) -> NDArray[np.float64]:
            if np.isnan(self.alpha):
                return np.full_like(j, np.nan)
            if np.isinf(self.alpha):
                return np.where(j == (start if self.alpha > 0 else end - 1), 0.0, -np.inf)
            return -self.alpha * np.log(j / start) - kernels.log_moments(self.alpha, start, end)[0]

        return at_whole_numbers(log_mass, k, start, end)


@dataclass(frozen=True)
class TailFits:
    """Fits of many tails: every field of TailFit as an array [U] (n, xmin and xmax are common); [i] is one of them."""

    alpha: NDArray[np.float64]
    sigma: NDArray[np.float64]
    sigma_simple: NDArray[np.float64]
    D: NDArray[np.float64]
    D_observed: NDArray[np.float64]
    n_tail: NDArray[np.int64]
    n: int
    log_likelihood: NDArray[np.float64]
    xmin: int
    xmax: int | None
    flags: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.alpha)

    def __getitem__(self, i: int) -> TailFit:
        return TailFit(float(self.alpha[i]), float(self.sigma[i]), float(self.sigma_simple[i]), float(self.D[i]),
                       float(self.D_observed[i]), int(self.n_tail[i]), self.n, float(self.log_likelihood[i]),
                       self.xmin, self.xmax, self.flags[i])


@dataclass(frozen=True)
class XminCurve:
    """What select_xmin compared: one entry for each candidate, ascending."""

    xmin: NDArray[np.int64]
    alpha: NDArray[np.float64]
    D: NDArray[np.float64]
    D_observed: NDArray[np.float64]
    n_tail: NDArray[np.int64]


def fit_tail(x: ArrayLike, xmin: int | None = PAPER_XMIN, xmax: int | None = None) -> TailFit:
    """Exact maximum-likelihood fit of a discrete power law to the values of x in xmin ... xmax (Section 4.6, step 1).

    x is any sequence of whole numbers, 0 or more; the default xmin is the paper's, and None chooses it as select_xmin
    does. Raises DataError for values that are negative, fractional, missing or beyond 2 ** 53 and for an empty tail,
    ConfigError for xmin < 1 or xmax < xmin and for ends that are no whole numbers. What is merely doubtful is flagged,
    see TailFit.
    """
    values = whole_numbers(x)
    if xmin is None:
        return _fit(values, chosen_xmin(values, xmax), bounds(1, xmax)[1])
    xmin, xmax = bounds(xmin, xmax)
    fit = _fit(values, xmin, xmax)
    if not fit.n_tail:
        largest = f"the largest of {fit.n} values is {values.max()}" if fit.n else "there are no values at all"
        raise DataError(f"The tail is empty: no value lies in {_range(xmin, xmax)} ({largest}); choose another xmin.")
    return fit


def fit_tails(xs: ArrayLike, xmin: int = PAPER_XMIN, xmax: int | None = None) -> TailFits:
    """fit_tail for every row of xs [U, n], such as the degrees of n neurons at U times. Errors as in fit_tail, except
    that an empty tail is flagged "empty", with nan in its place.
    """
    rows = whole_numbers(xs, axes=2)
    xmin, xmax = bounds(xmin, xmax)
    fits = [_fit(row, xmin, xmax) for row in rows]

    def column(name: str, dtype: type = np.float64) -> NDArray:
        return np.array([getattr(fit, name) for fit in fits], dtype=dtype)

    return TailFits(column("alpha"), column("sigma"), column("sigma_simple"), column("D"), column("D_observed"),
                    column("n_tail", np.int64), rows.shape[1], column("log_likelihood"), xmin, xmax,
                    tuple(fit.flags for fit in fits))


def select_xmin(x: ArrayLike, xmax: int | None = None) -> tuple[TailFit, XminCurve]:
    """Choose xmin among the values of x as Clauset, Shalizi and Newman do: where fitted tail and data are nearest.

    "Nearest" is the smallest D_observed, the first if several are equal, among all values that leave three distinct
    ones in the tail; so xmin is the one that plfit, igraph and powerlaw choose. The curve takes time by the square of
    the number of distinct values; fit_tail with xmin = None makes none. Errors as in fit_tail.
    """
    values = whole_numbers(x)
    _, xmax = bounds(1, xmax)
    distinct, counts, end = _candidates(values, xmax)
    floats = distinct.astype(np.float64)
    alphas, everywhere, observed = np.empty((3, distinct.size))
    best = kernels.scan(floats, counts, np.log(floats), end, alphas, everywhere, observed)
    m = max(distinct.size - 2, 1)
    tails = counts[::-1].cumsum()[::-1]
    return (_fit(values, int(distinct[best]), xmax),
            XminCurve(distinct[:m], alphas[:m], everywhere[:m], observed[:m], tails[:m]))


def chosen_xmin(values: NDArray[np.int64], xmax: int | None) -> int:
    """The xmin that select_xmin chooses for these whole numbers, without what it compared. Errors as there."""
    distinct, counts, end = _candidates(values, bounds(1, xmax)[1])
    floats = distinct.astype(np.float64)
    return int(distinct[kernels.nearest(floats, counts, np.log(floats), end)[0]])


def _candidates(values: NDArray[np.int64], xmax: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64], float]:
    """Distinct values that may be xmin, ascending, their counts, and the first integer after the support."""
    end = ends(1, xmax)[1]
    distinct, counts = np.unique(values[(values >= 1) & (values < end)], return_counts=True)
    if not distinct.size:
        raise DataError(f"The tail is empty: none of {values.size} values lies in {_range(1, xmax)}; a power law needs "
                        "values of 1 and more.")
    return distinct, counts, end


def check_fitted(values: NDArray[np.int64], fit: TailFit) -> None:
    """Raise DataError unless `values` are those that `fit` was fitted to, in any order, and their tail can be tested;
    ConfigError if `fit` is no TailFit.

    The tail's size, its likelihood under the law of `fit` and its distance D from it must be those of `fit`. What lies
    outside the tail left no trace in it but its number.
    """
    if not isinstance(fit, TailFit):
        raise ConfigError(f"fit must be a TailFit, as fit_tail and the first of select_xmin's two results are, not a "
                          f"{type(fit).__name__}.")
    for flag, remark in zip(fit.flags, fit.remarks, strict=True):
        if flag in ("empty", "degenerate"):
            raise DataError(f"{remark.removesuffix('.')}; a test needs a tail of several different values.")
    if values.size != fit.n:
        raise DataError(f"The fit is of {fit.n} values, but {values.size} were given; pass those that were fitted.")
    start, end = ends(*bounds(fit.xmin, fit.xmax))
    distinct, counts = np.unique(tail_of(values, fit.xmin, fit.xmax), return_counts=True)
    same = counts.sum() == fit.n_tail
    if same:
        floats = distinct.astype(np.float64)
        D, _ = kernels.distances(floats, counts, np.log(floats), fit.alpha, start, end)
        same = np.allclose([float(counts @ fit.log_pmf(floats)), D], [fit.log_likelihood, fit.D], rtol=1e-9, atol=1e-9)
    if not same:
        raise DataError(f"The fit is of {fit.n} other values than were given; pass those that were fitted.")


def tail_of(values: NDArray[np.int64], xmin: int, xmax: int | None) -> NDArray[np.int64]:
    """The values in xmin ... xmax."""
    return values[(values >= xmin) & (values < ends(xmin, xmax)[1])]


def ends(xmin: int, xmax: int | None) -> tuple[float, float]:
    """First integer of the support and the first one after it, as the compiled loops want them."""
    return float(xmin), np.inf if xmax is None else xmax + 1.0


def _fit(values: NDArray[np.int64], xmin: int, xmax: int | None) -> TailFit:
    start, end = ends(xmin, xmax)
    distinct, counts = np.unique(tail_of(values, xmin, xmax), return_counts=True)
    n_tail = int(counts.sum())
    if not n_tail:
        nan = np.nan
        return TailFit(nan, nan, nan, nan, nan, 0, values.size, nan, xmin, xmax, ("empty", "few"))
    floats = distinct.astype(np.float64)
    mean_log = float(counts @ np.log(floats / start)) / n_tail
    alpha = kernels.exponent(mean_log, start, end)
    D, D_observed = kernels.distances(floats, counts, np.log(floats), alpha, start, end)
    sigma, log_likelihood = np.nan, 0.0  # where alpha is infinite, the law gives every value probability 1 ...
    if np.isfinite(alpha):
        log_sum, _, variance = kernels.log_moments(alpha, start, end)
        sigma, log_likelihood = 1 / np.sqrt(n_tail * variance), -n_tail * (alpha * mean_log + log_sum)
    elif distinct.size > 1:  # ... unless it only seems so
        D = D_observed = log_likelihood = np.nan
    found = {"few": n_tail < FEW, "degenerate": distinct.size == 1 or not np.isfinite(alpha),
             "outside": not USUAL[0] <= alpha <= USUAL[1]}
    return TailFit(alpha, float(sigma), (alpha - 1) / np.sqrt(n_tail), D, D_observed, n_tail, values.size,
                   log_likelihood, xmin, xmax, tuple(flag for flag, holds in found.items() if holds))


def _range(xmin: int, xmax: int | None) -> str:
    return f"xmin = {xmin} or above" if xmax is None else f"xmin = {xmin} to xmax = {xmax}"
