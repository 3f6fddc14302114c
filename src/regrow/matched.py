"""p at equal tail size along a run: p rises merely because neurons die and the tail gets shorter.

One and the same log-normal tail may be rejected with 1,200 values and pass with 75. So the tails of all times are cut
down to a common size at random before they are tested.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regrow.errors import ConfigError, DataError
from regrow.goodness import goodness_of_fit
from regrow.tail_sampling import Key, generator
from regrow.tails import FEW, PAPER_XMIN, fit_tail, fit_tails, tail_of, whole_numbers


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
    sizes = fit_tails(rows, xmin, xmax).n_tail
    if draws < 1:
        raise ConfigError(f"matched_p needs 1 draw or more, not {draws}.")
    if n is None:
        n = int(sizes[sizes >= FEW].min(initial=np.iinfo(np.int64).max))
    if n < 2:
        raise ConfigError(f"A common tail needs 2 values or more, not {n}.")
    if not (sizes >= n).any():
        wanted = f"{FEW} values or more" if n == np.iinfo(np.int64).max else f"{n} values"
        raise DataError(f"No tail of the series holds {wanted} from xmin = {xmin} on; choose a smaller n or xmin.")
    p = np.full((draws, len(rows)), np.nan)
    parts = key if isinstance(key, tuple) else (key,)
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
