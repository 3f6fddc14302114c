"""The picture of a tail shows the data as they are and every law as it was fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from regrow.tails.compare import compare_laws
from regrow.tails.fit import fit_tail
from regrow.tails.goodness import sample
from regrow_companion import figures
from regrow_companion.plots.nb06_power_law import survival, tail_figure, tail_frame

X = np.concatenate([sample(2.3, 110, 400, np.random.default_rng(0), 3584), np.random.default_rng(1).poisson(60, 600),
                    np.zeros(24, int)])


def test_laws_are_their_survival_functions() -> None:
    fit = fit_tail(X)
    comparison = compare_laws(X, fit)
    grid = np.unique(np.geomspace(110, 3000, 50).astype(int))
    np.testing.assert_allclose(survival(comparison.laws["power law"], grid), fit.survival(grid), rtol=1e-9)
    for law in comparison.laws.values():
        plain = 1 - np.cumsum(np.exp(law.log_pmf(np.arange(110.0, 3000))))
        np.testing.assert_allclose(survival(law, grid)[1:], plain[grid[1:] - 111], atol=1e-10)


@pytest.mark.parametrize("xmax", [None, 800])
def test_frame(xmax: int | None) -> None:
    fit = fit_tail(X, 110, xmax)
    comparison = compare_laws(X, fit)
    frame = tail_frame(X, fit, comparison)
    data = frame[frame["series"] == "data"]
    assert data["k"].min() > 0 and set(frame["series"]) == {"data", *comparison.laws}
    for k in (60, 110, 200):
        share = np.greater_equal(X, k).mean()
        assert data[data["k"] >= k]["share"].max() == pytest.approx(share, abs=1e-12)
    for name in comparison.laws:
        law = frame[frame["series"] == name]
        first = law.iloc[0]
        assert first["k"] == 110 and first["share"] == pytest.approx(np.mean(X >= 110)), "they begin where the data are"
        assert (np.diff(law["share"]) <= 0).all() and law["k"].max() <= (xmax or X.max())


def test_figure_is_fit_to_be_saved(tmp_path: Path) -> None:
    fit = fit_tail(X, 110, 3584)
    fig, frame = tail_figure(X, fit, compare_laws(X, fit))
    ax, = fig.axes
    assert ax.get_xscale() == ax.get_yscale() == "log" and f"{fit.alpha:.3f}" in ax.get_title()
    assert len(ax.get_legend().get_texts()) == 8 and len(ax.lines) == 10, "data, seven laws, xmin and xmax"
    figures.save_figure(fig, "tail", data=frame, alt="a tail and the laws that were fitted to it", out=tmp_path,
                        profile="tails")
    assert figures.check_figure(tmp_path, "tail") == []
