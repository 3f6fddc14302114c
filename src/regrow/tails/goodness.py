"""Does a power law fit? The p-value of Eq. 20: refitted synthetic sets against the distance D of the data.

Under the null hypothesis p is uniform on 0 ... 1, so each verdict rejects true power laws at a rate one can name:

- the usual rule, "not rejected if p > 0.1" (Clauset, Shalizi and Newman; the paper's Section 4.6): 10 %;
- the rule of the paper's Section 5.3, "not rejected if p >= 0.95": 95 %.

p also rises merely because a tail gets shorter, when neurons die: one and the same log-normal tail may be rejected with
1,200 values and pass with 75. So show n_tail with it, or use `matched_p`, which cuts the tails of all times down to a
common size at random before they are tested.
"""

from __future__ import annotations

import hashlib
import numbers
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regrow.errors import ConfigError, DataError
from regrow.tails import kernels
from regrow.tails.fit import FEW, PAPER_XMIN, TailFit, check_fitted, chosen_xmin, fit_tail, fit_tails, tail_of
from regrow.tails.given import bounds, whole, whole_numbers, words

LARGEST_TABLE = 8192  # integers above xmin whose probabilities are tabulated; beyond, draws are found by bisection
SMALLEST_TABLE = 256
GUIDE = 4096
Key = int | str | tuple[object, ...]


def generator(purpose: str, key: Key) -> np.random.Generator:
    """A fresh numpy generator that depends only on (purpose, key), as regrow.determinism does it for torch.

    `key` is a seed or a tuple such as (run, layer, update): the same key gives the same numbers on any machine.
    Raises ConfigError for a key of another kind.
    """
    name = f"{purpose}/{'/'.join(map(str, words(key)))}"
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big"))


@dataclass(frozen=True)
class Sampler:
    """The law P(k) ~ k ** -alpha on start <= k < end with the tables that make drawing fast."""

    alpha: float
    start: float
    end: float
    table: NDArray[np.float64]
    guide: NDArray[np.int64]


def sampler(alpha: float, xmin: int, xmax: int | None = None) -> Sampler:
    """Tables for drawing from xmin <= k <= xmax (None: unbounded). Raises ConfigError for a law that does not exist."""
    xmin, xmax = bounds(xmin, xmax)
    if isinstance(alpha, bool) or not isinstance(alpha, numbers.Real):
        raise ConfigError(f"alpha must be a number, not {alpha!r:.60}.")
    if not np.isfinite(alpha) or (xmax is None and alpha <= 1):
        raise ConfigError(f"A power law without an upper end needs a finite alpha above 1, not {alpha}; pass xmax.")
    start, end = float(xmin), np.inf if xmax is None else xmax + 1.0
    size = LARGEST_TABLE
    if alpha > 1:  # as far as one draw in ten thousand goes
        size = int(min(size, max(SMALLEST_TABLE, start * 1e4 ** min(1 / (alpha - 1), 20.0))))
    size = int(min(size, end - start))
    table = kernels.survival_table(float(alpha), start, end, size)
    return Sampler(float(alpha), start, end, table, kernels.guide_table(table, GUIDE))


def sample(alpha: float, xmin: int, size: int, rng: np.random.Generator, xmax: int | None = None) -> NDArray[np.int64]:
    """`size` independent draws, int64, from P(k) = k ** -alpha / sum of j ** -alpha, xmin <= k <= xmax (None: no end).

    By inversion of the exact survival function: a table near xmin, doubling and bisection beyond it, no rounding of a
    continuous law. Draws above 2 ** 62, which only alpha < 2 can give, are returned as 2 ** 62. Raises ConfigError for
    xmin < 1, xmax < xmin, or alpha <= 1 without xmax.
    """
    law, size = sampler(alpha, xmin, xmax), whole("size", size, 0)
    if not isinstance(rng, np.random.Generator):
        raise ConfigError(f"rng must be a numpy Generator, such as np.random.default_rng(0), not {rng!r:.60}.")
    out = np.empty(size, np.int64)
    kernels.draws(1.0 - rng.random(size), law.table, law.guide, law.alpha, law.start, law.end, out)
    return out


NULLS = ("tail", "semi", "reselect")
RULES = {"usual": 0.1, "paper": 0.95}  # the p at which each rule begins, and its false-rejection rate
CHUNK = 2_000_000  # random numbers held at a time
ROUNDING = 1e-9  # a set that equals the data may come out farther by less than this share of D


@dataclass(frozen=True)
class Goodness:
    """p of Eq. 20 with the Monte-Carlo standard error that n_sets leave, and the synthetic sets behind it.

    `D` is the statistic of the data that was compared: TailFit.D, or D_observed for null="reselect".
    """

    p: float
    p_error: float
    D: float
    n_tail: int
    null: str
    distances: NDArray[np.float64] = field(repr=False)  # [n_sets]
    alphas: NDArray[np.float64] = field(repr=False)  # [n_sets]
    xmins: NDArray[np.int64] = field(repr=False)  # [n_sets]

    @property
    def n_sets(self) -> int:
        return len(self.distances)

    @property
    def D_sqrt_n(self) -> float:
        """D sqrt(n_tail), whose size does not depend on n_tail if the law is true."""
        return self.D * float(np.sqrt(self.n_tail))

    @property
    def verdict_usual(self) -> bool:
        """True if not rejected by the usual rule, p > 0.1, which rejects 10 % of true power laws."""
        return self.p > RULES["usual"]

    @property
    def verdict_paper(self) -> bool:
        """True if not rejected by the paper's rule, p >= 0.95, which rejects 95 % of true power laws."""
        return self.p >= RULES["paper"]

    @property
    def verdicts(self) -> tuple[str, str]:
        """Both verdicts as sentences with their false-rejection rates."""
        words = {True: "not rejected", False: "rejected"}
        return (f"{words[self.verdict_usual]} by the usual rule (p > 0.1), which rejects 10 % of true power laws",
                f"{words[self.verdict_paper]} by the paper's rule (p >= 0.95), which rejects 95 % of true power laws")


def goodness_of_fit(x: ArrayLike, fit: TailFit, n_sets: int = 2500, null: str = "tail", key: Key = 0, *,
                    tell: Callable[[int], None] | None = None) -> Goodness:
    """Eq. 20: the fraction of synthetic sets that lie farther from their own refitted law than the data from theirs.

    x is what `fit` was fitted to. `null` says how a synthetic set comes about and is treated:

    - "tail": n_tail draws from the fitted law, refitted at the same xmin (the paper's test);
    - "semi": the size of the tail varies too, as if each of the n values fell into it with chance n_tail / n;
    - "reselect": as "semi", with the values outside the tail drawn from those of x, and xmin chosen anew for every set
      as for the data: the test to use after `select_xmin`, whose fit it requires.

    The result depends on `key` alone: a seed, or (run, layer, update). Raises DataError for a degenerate or empty
    tail and if x is not what was fitted, ConfigError for an unknown null, n_sets < 1, or a fit that select_xmin would
    not have chosen, and for arguments of another kind. `tell` is called with the number of sets done, now and then.
    """
    values = whole_numbers(x)
    n_sets = _check(values, fit, n_sets, null)
    rng = generator(f"goodness/{null}", key)
    law = sampler(fit.alpha, fit.xmin, fit.xmax)
    sizes = np.full(n_sets, fit.n_tail)
    if null != "tail":
        sizes = rng.binomial(fit.n, fit.n_tail / fit.n, n_sets).astype(np.int64)
    distances, alphas = np.empty(n_sets), np.empty(n_sets)
    xmins = np.full(n_sets, fit.xmin)
    rest = values[(values < fit.xmin) | (values >= law.end)]
    per_set = fit.n if null == "reselect" else fit.n_tail
    step = max(1, CHUNK // per_set)
    for at in range(0, n_sets, step):
        chunk = slice(at, at + step)
        total = sizes[chunk].size * fit.n if null == "reselect" else int(sizes[chunk].sum())
        us, tables = 1.0 - rng.random(total), (law.table, law.guide, law.alpha, law.start, law.end)
        if null == "reselect":
            kernels.reselect_sets(us, sizes[chunk], fit.n, rest, *tables, alphas[chunk], distances[chunk],
                                  xmins[chunk])
        else:
            kernels.refit_sets(us, sizes[chunk], *tables, alphas[chunk], distances[chunk])
        if tell is not None:
            tell(min(at + step, n_sets))
    D = fit.D_observed if null == "reselect" else fit.D
    farther = int(np.sum(distances > D * (1 + ROUNDING)))
    # With one success and one failure added, so that p = 0 out of 2,500 is not certain either.
    spread = (farther + 1) / (n_sets + 2)
    return Goodness(farther / n_sets, float(np.sqrt(spread * (1 - spread) / n_sets)), D, fit.n_tail, null, distances,
                    alphas, xmins)


def _check(values: NDArray[np.int64], fit: TailFit, n_sets: int, null: str) -> int:
    """n_sets, if a test is possible."""
    if not isinstance(null, str) or null not in NULLS:
        raise ConfigError(f"There is no null {null!r:.60}; choose among {', '.join(NULLS)}.")
    if (n_sets := whole("n_sets", n_sets, 0)) < 1:
        raise ConfigError(f"A p-value needs 1 synthetic set or more, not {n_sets}.")
    check_fitted(values, fit)
    if null == "reselect" and (best := chosen_xmin(values, fit.xmax)) != fit.xmin:
        raise ConfigError(f"null='reselect' tests the xmin that select_xmin chooses, {best}, not {fit.xmin}.")
    return n_sets


@dataclass(frozen=True)
class Matched:
    """`p` [U]: the median over draws at tail size `n`, nan where the tail is shorter; `draws` [draws, U] are all p."""

    p: NDArray[np.float64]
    draws: NDArray[np.float64]
    n: int


def matched_p(series: ArrayLike, n: int | None = None, *, xmin: int = PAPER_XMIN, xmax: int | None = None,
              draws: int = 9, n_sets: int = 500, key: Key = 0) -> Matched:
    """The p of goodness_of_fit(null="tail") for every row of `series` [U, N], each at a tail of n values.

    `draws` times, n values are taken from each tail without replacement, fitted and tested with n_sets synthetic sets;
    the median over draws counts. n defaults to the shortest tail of 50 values or more. A subset whose values are all
    equal counts as p = nan. Raises DataError where no tail holds n values, and as fit_tails does.
    """
    rows = whole_numbers(series, axes=2)
    xmin, xmax = bounds(xmin, xmax)
    sizes = fit_tails(rows, xmin, xmax).n_tail
    if (draws := whole("draws", draws, 0)) < 1:
        raise ConfigError(f"matched_p needs 1 draw or more, not {draws}.")
    if n is None:
        n = int(sizes[sizes >= FEW].min(initial=np.iinfo(np.int64).max))
    if (n := n if n == np.iinfo(np.int64).max else whole("n", n, 0)) < 2:
        raise ConfigError(f"A common tail needs 2 values or more, not {n}.")
    if not (sizes >= n).any():
        wanted = f"{FEW} values or more" if n == np.iinfo(np.int64).max else f"{n} values"
        raise DataError(f"No tail of the series holds {wanted} from xmin = {xmin} on; choose a smaller n or xmin.")
    p = np.full((draws, len(rows)), np.nan)
    parts = words(key)
    for u in np.flatnonzero(sizes >= n):
        tail = tail_of(rows[u], xmin, xmax)
        rng = generator("matched", (*parts, u))
        for i in range(draws):
            part = rng.choice(tail, n, replace=False)
            fit = fit_tail(part, xmin, xmax)
            if "degenerate" not in fit.flags:
                p[i, u] = goodness_of_fit(part, fit, n_sets, key=("matched", *parts, u, i)).p
    median = np.full(len(rows), np.nan)
    tested = ~np.isnan(p).all(axis=0)
    median[tested] = np.nanmedian(p[:, tested], axis=0)
    return Matched(median, p, n)
