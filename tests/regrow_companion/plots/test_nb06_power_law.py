"""Figures 2 and 6 on draws from a known law, against brute force."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import special

from regrow.record import Record
from regrow.tails.fit import fit_tail, tail_of
from regrow.tails.goodness import generator, sample
from regrow_companion import style
from regrow_companion.plots import nb06_power_law as power_law

XMIN, XMAX = 10, 800


@pytest.fixture(scope="module")
def degrees() -> np.ndarray:
    rng = generator("plots", 0)
    return np.concatenate([np.zeros(5, np.int64), rng.integers(1, XMIN, 200), sample(2.2, XMIN, 400, rng, XMAX)])


@pytest.fixture(autouse=True)
def close():
    style.use_style()
    yield
    plt.close("all")


def series(frame, panel, name):
    return frame[(frame["panel"] == panel) & (frame["series"] == name)]


def test_the_largest_degree_is_that_of_a_fully_connected_neuron(monkeypatch):
    record = object.__new__(Record)
    object.__setattr__(record, "shapes", {"fc1": (1024, 3072), "fc2": (512, 1024), "fc3": (10, 512)})
    assert power_law.largest_possible(record) == 3072 + 512


def test_figure2_shows_the_distribution_and_both_fits(degrees):
    fig, frame = power_law.figure2(degrees, XMIN, XMAX)
    each = series(frame, "P(k)", "each degree")
    assert each["value"].sum() == pytest.approx(np.mean(degrees > 0))
    for name, fit in (("unbounded", fit_tail(degrees, XMIN)), ("bounded", fit_tail(degrees, XMIN, XMAX))):
        line = series(frame, "P(k)", name)
        share = np.mean(tail_of(degrees, fit.xmin, fit.xmax).size / degrees.size)
        k = line["degree"].to_numpy()
        weights = np.arange(XMIN, XMAX + 1.0) ** -fit.alpha
        whole = weights.sum() if fit.xmax else special.zeta(fit.alpha, XMIN)
        np.testing.assert_allclose(line["value"], share * k**-fit.alpha / whole, rtol=1e-9)
        assert k[0] == XMIN and k[-1] == (fit.xmax or degrees.max())
        assert any(f"$\\alpha$ = {fit.alpha:.2f}" in text.get_text() for text in fig.legends[0].get_texts())
    assert style.unlabelled_axes(fig) == []


def test_figure2_survival_starts_at_one_and_is_that_of_the_tail(degrees):
    _, frame = power_law.figure2(degrees, XMIN, XMAX)
    data, tail = series(frame, "P(K >= k)", "data"), degrees[degrees >= XMIN]
    assert data["value"].iloc[0] == 1
    np.testing.assert_allclose(data["value"], [(tail >= k).mean() for k in data["degree"]])
    assert series(frame, "P(K >= k)", "bounded")["value"].iloc[0] == pytest.approx(1)


def test_figure2_names_both_ends(degrees):
    fig, _ = power_law.figure2(degrees, XMIN, XMAX)
    for ax in fig.axes:
        texts = [text.get_text() for text in ax.texts]
        assert any("{min}" in text and text.endswith(f"= {XMIN}") for text in texts)
        assert any("{max}" in text and text.endswith(f"= {XMAX}") for text in texts)


@pytest.mark.parametrize("xmax", [None, XMAX])
def test_gaps_hold_both_distances(degrees, xmax):
    fit = fit_tail(degrees, XMIN, xmax)
    frame = power_law.gaps(degrees, fit)
    assert frame["gap"].max() == pytest.approx(fit.D, abs=1e-12)
    assert frame.loc[frame["next observed"], "gap"].max() == pytest.approx(fit.D_observed, abs=1e-12)
    assert frame["degree"].iloc[0] == XMIN - 1 and frame["empirical"].iloc[0] == 0 == pytest.approx(frame["fitted"][0])
    assert frame["empirical"].iloc[-1] == 1


def test_the_two_distances_differ_where_the_data_lie_above_the_law():
    values = np.array([1, 1, 1, 1, 1, 1, 9, 30])
    fit = fit_tail(values, 1)
    frame = power_law.gaps(values, fit)
    assert fit.D - fit.D_observed > 0.01
    assert frame["gap"].max() == pytest.approx(fit.D)


def test_figure6_draws_the_gap_where_it_is(degrees):
    fit = fit_tail(degrees, XMIN)
    fig, frame = power_law.figure6(degrees, fit)
    worst = frame.loc[frame["gap"].idxmax()]
    whole, close_up = fig.axes
    (gap,) = [c for c in whole.collections if c.get_label().startswith("D over all")]
    (line,) = gap.get_segments()
    assert line[0][0] == worst["degree"] and line[1][1] - line[0][1] == pytest.approx(fit.D)
    assert f"D = {fit.D:.3f}" in whole.texts[0].get_text()
    assert f"{fit.D:.4f}" in close_up.texts[0].get_text() and f"{fit.D_observed:.4f}" in close_up.texts[0].get_text()
    low, high = close_up.get_xlim()
    assert low <= worst["degree"] <= high
    assert style.unlabelled_axes(fig) == []


def test_the_usual_distance_is_looked_for_just_before_observed_degrees():
    values = np.array([1, 1, 1, 1, 1, 1, 9, 30])
    fit = fit_tail(values, 1)
    frame = power_law.gaps(values, fit)
    assert frame.loc[frame["next observed"], "degree"].tolist() == [0, 8, 29]
    assert frame.loc[frame["next observed"], "gap"].max() == pytest.approx(fit.D_observed)
    assert frame.loc[frame["observed"], "degree"].tolist() == [1, 9, 30]


def test_figure2_draws_both_laws_on_the_tail_that_is_drawn(degrees):
    """Beyond xmax lie 40 of 440 values: the bounded law, fitted to the others, stands for ten elevenths."""
    longer = np.append(degrees, np.full(40, 2 * XMAX))
    _, frame = power_law.figure2(longer, XMIN, XMAX)
    for name, share in (("bounded", 400 / 440), ("unbounded", 1)):
        assert series(frame, "P(K >= k)", name)["value"].iloc[0] == pytest.approx(share)


def test_p_values_are_counted_in_tenths_beside_a_uniform_p():
    refitted, careless = np.linspace(0.05, 0.95, 20), np.full(20, 0.99)
    fig, frame = power_law.p_values_figure(refitted, careless)
    left, right = fig.axes
    assert [bar.get_height() for bar in left.patches] == [2] * 10
    assert [bar.get_height() for bar in right.patches] == [0] * 9 + [20]
    assert all(line.get_ydata()[0] == 2 for ax in fig.axes for line in ax.lines)
    assert frame.groupby("series", sort=False)["p"].mean().tolist() == pytest.approx([0.5, 0.99]) and len(frame) == 40
