"""Matched sizes take away what the number of values alone does to p."""

from __future__ import annotations

import numpy as np
import pytest

from regrow.errors import ConfigError, DataError
from regrow.tails.fit import fit_tails
from regrow.tails.goodness import goodness_of_fit, matched_p, sample


@pytest.fixture(scope="module")
def dying() -> np.ndarray:
    """One log-normal tail all along, from which neurons die: rows with 1200 to 75 living ones."""
    x = np.exp(np.random.default_rng(0).normal(4.0, 1.0, 6000)).astype(int)
    x = x[x >= 110]
    rows = np.tile(x, (5, 1))
    for u, alive in enumerate((1200, 700, 400, 200, 75)):
        rows[u, alive:] = 0
    return rows


def test_p_at_equal_size_does_not_rise(dying: np.ndarray) -> None:
    fits = fit_tails(dying)
    plain = np.array([goodness_of_fit(row, fits[u], 300).p for u, row in enumerate(dying)])
    matched = matched_p(dying, draws=25, n_sets=200)
    assert matched.n == fits.n_tail.min() == 75 and matched.draws.shape == (25, 5)
    assert np.array_equal(matched.p, np.median(matched.draws, axis=0))
    assert plain[0] == 0 and matched.p[0] > 0.02, "fewer values reject less"
    assert np.ptp(matched.draws[:, -1]) < 0.2, "all 75 values every time, only the synthetic sets differ"
    assert matched.draws[:, -1].mean() == pytest.approx(plain[-1], abs=0.1)


def test_too_short_tails_are_nan(dying: np.ndarray) -> None:
    sizes = fit_tails(dying).n_tail
    matched = matched_p(dying, int(sizes[2]), draws=3, n_sets=50)
    assert np.isnan(matched.p).tolist() == [False, False, False, True, True]


def test_true_power_laws_have_median_half() -> None:
    rows = np.array([sample(2.5, 110, 300, np.random.default_rng(u)) for u in range(60)])
    assert np.median(matched_p(rows, 100, draws=1, n_sets=100).p) == pytest.approx(0.5, abs=0.15)


def test_reproducible_for_its_key(dying: np.ndarray) -> None:
    one, again, other = (matched_p(dying, 80, draws=2, n_sets=50, key=key).draws for key in
                         (("run", "fc1"), ("run", "fc1"), ("run", "fc2")))
    assert np.array_equal(one, again, equal_nan=True) and not np.array_equal(one, other, equal_nan=True)


def test_mistakes(dying: np.ndarray) -> None:
    with pytest.raises(DataError, match="No tail of the series holds 9999 values"):
        matched_p(dying, 9999)
    with pytest.raises(DataError, match="50 values or more"):
        matched_p(np.full((2, 30), 120))
    with pytest.raises(ConfigError, match="1 draw"):
        matched_p(dying, draws=0)
    with pytest.raises(ConfigError, match="2 values"):
        matched_p(dying, 1)
