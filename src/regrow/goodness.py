"""Does a power law fit? The p-value of Eq. 20: refitted synthetic sets against the distance D of the data.

Under the null hypothesis p is uniform on 0 ... 1, so each verdict rejects true power laws at a rate one can name:

- the usual rule, "not rejected if p > 0.1" (Clauset, Shalizi and Newman; the paper's Section 4.6): 10 %;
- the rule of the paper's Section 5.3, "not rejected if p >= 0.95": 95 %.

p also rises merely because a tail gets shorter, so show n_tail with it, and see regrow.matched.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regrow import tail_kernels
from regrow.errors import ConfigError, DataError
from regrow.tail_sampling import Key, generator, sampler
from regrow.tails import TailFit, select_xmin, whole_numbers

NULLS = ("tail", "semi", "reselect")
RULES = {"usual": 0.1, "paper": 0.95}  # the p at which each rule begins, and its false-rejection rate
CHUNK = 2_000_000  # random numbers held at a time


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


def goodness_of_fit(x: ArrayLike, fit: TailFit, n_sets: int = 2500, null: str = "tail", key: Key = 0) -> Goodness:
    """Eq. 20: the fraction of synthetic sets that lie farther from their own refitted law than the data from theirs.

    x is what `fit` was fitted to. `null` says how a synthetic set comes about and is treated:

    - "tail": n_tail draws from the fitted law, refitted at the same xmin (the paper's test);
    - "semi": the size of the tail varies too, as if each of the n values fell into it with chance n_tail / n;
    - "reselect": as "semi", with the values outside the tail drawn from those of x, and xmin chosen anew for every set
      as for the data: the test to use after `select_xmin`, whose fit it requires.

    The result depends on `key` alone: a seed, or (run, layer, update). Raises DataError for a degenerate or empty
    tail and if x is not what was fitted, ConfigError for an unknown null, n_sets < 1, or a fit that select_xmin would
    not have chosen.
    """
    values = whole_numbers(x)
    _check(values, fit, n_sets, null)
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
            tail_kernels.reselect_sets(us, sizes[chunk], fit.n, rest, *tables, alphas[chunk], distances[chunk],
                                       xmins[chunk])
        else:
            tail_kernels.refit_sets(us, sizes[chunk], *tables, alphas[chunk], distances[chunk])
    D = fit.D_observed if null == "reselect" else fit.D
    farther = int(np.sum(distances > D))
    # With one success and one failure added, so that p = 0 out of 2,500 is not certain either.
    spread = (farther + 1) / (n_sets + 2)
    return Goodness(farther / n_sets, float(np.sqrt(spread * (1 - spread) / n_sets)), D, fit.n_tail, null, distances,
                    alphas, xmins)


def _check(values: NDArray[np.int64], fit: TailFit, n_sets: int, null: str) -> None:
    if null not in NULLS:
        raise ConfigError(f"There is no null {null!r}; choose among {', '.join(NULLS)}.")
    if n_sets < 1:
        raise ConfigError(f"A p-value needs 1 synthetic set or more, not {n_sets}.")
    for flag, remark in zip(fit.flags, fit.remarks, strict=True):
        if flag in ("empty", "degenerate"):
            raise DataError(remark)
    if values.size != fit.n:
        raise DataError(f"The fit is of {fit.n} values, but {values.size} were given; pass those that were fitted.")
    if null == "reselect" and (best := select_xmin(values, fit.xmax)[0].xmin) != fit.xmin:
        raise ConfigError(f"null='reselect' tests the xmin that select_xmin chooses, {best}, not {fit.xmin}.")
