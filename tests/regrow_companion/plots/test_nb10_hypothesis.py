"""Figure 7 and its companions on tables whose content is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from regrow.tails.compare import NAMES
from regrow.tails.fit import fit_tail
from regrow.tails.goodness import sample
from regrow_companion import style
from regrow_companion.plots import nb10_hypothesis as hypothesis
from regrow_companion.study import STRATEGIES
from regrow_companion.tail_tables import POOLED

UPDATES, SEEDS = range(0, 21), (0, 1, 2)


@pytest.fixture(scope="module")
def series() -> pd.DataFrame:
    """p is 0.5 for seeds 0 and 1 and 0.97 for seed 2 under gradient growth from update 5 on, else 0.01."""
    rng, rows = np.random.default_rng(0), []
    for strategy in STRATEGIES:
        for seed in SEEDS:
            for layer in (POOLED, "hidden 1", "hidden 2"):
                for update in UPDATES:
                    good = strategy == "gradient" and update >= 5 and layer == POOLED
                    rows.append({
                        "strategy": strategy, "seed": seed, "layer": layer, "update": update, "step": 10 * update,
                        "epoch": 1.5 * update, "n_tail": 400 - 10 * update, "alpha": 2.5 + 0.1 * seed, "sigma": 0.05,
                        "D": 0.1, "D sqrt(n)": 2.0, "p": ((0.5, 0.5, 0.97)[seed] if good else 0.01), "p error": 0.001,
                        "p matched": 0.2, "best": "log-normal" if update < 10 else "exponential", "weight": 0.0,
                        **{f"ratio {name}": -8.0 if name == "log-normal" else rng.normal() for name in NAMES},
                        **{f"p {name}": 0.01 if name == "log-normal" else 0.5 for name in NAMES}})
    return pd.DataFrame(rows)


def test_figure7_is_the_mean_over_seeds_with_a_band(series):
    fig, frame = hypothesis.figure7(series)
    assert list(frame["quantity"].unique()) == ["alpha", "sigma", "D", "p", "n_tail"] and (frame["seeds"] == 3).all()
    at = frame[(frame["quantity"] == "p") & (frame["strategy"] == "gradient")].set_index("epoch")
    assert at.loc[30, "mean"] == pytest.approx((0.5 + 0.5 + 0.97) / 3)
    assert at.loc[30, "sd"] == pytest.approx(np.std([0.5, 0.5, 0.97], ddof=1))
    panels = {ax.get_title()[:3]: ax for ax in fig.axes}
    assert sorted(panels) == ["(a)", "(b)", "(c)", "(d)", "(e)"] and len(fig.axes) == 5  # no second axis in any
    p = {line.get_label().split()[0]: line.get_ydata() for line in panels["(d)"].get_lines()[:3]}
    assert len({p[strategy][0] for strategy in STRATEGIES}) == 3, "lines at the same p are drawn beside each other"
    assert panels["(d)"].get_xscale() == "symlog" and panels["(a)"].get_xscale() == "linear"
    levels = {line.get_ydata()[0] for line in panels["(d)"].get_lines() if line.get_linestyle() in ("--", ":")
              or line.get_color() == hypothesis.GREY}
    assert {0.1, 0.95} <= levels
    legend = [text.get_text() for text in fig.legends[0].get_texts()]
    assert legend[:3] == [f"{strategy} (N=3)" for strategy in STRATEGIES]
    assert any("0.95" in text for text in legend) and any("0.1" in text for text in legend)
    assert "0.66" in panels["(d)"].texts[0].get_text()
    assert style.unlabelled_axes(fig) == []


def test_figure7_looks_at_all_hidden_neurons_together_only(series):
    changed = series.assign(alpha=series["alpha"].where(series["layer"] == POOLED, 99.0))
    assert hypothesis.figure7(changed)[1].equals(hypothesis.figure7(series)[1])


def test_a_time_without_a_tail_is_left_out(series):
    gone = (series["seed"] == 1) & (series["update"] == 3) & (series["strategy"] == "random")
    empty = series.assign(alpha=series["alpha"].mask(gone), p=series["p"].mask(gone))
    _, frame = hypothesis.figure7(empty)
    random = frame[(frame["strategy"] == "random") & (frame["quantity"] == "alpha")]
    assert 4.5 not in random["epoch"].to_numpy() and random["mean"].notna().all()


def test_honest_figure_draws_every_seed(series):
    fig, frame = hypothesis.honest_figure(series, matched_n=50)
    assert [ax.get_title()[:3] for ax in fig.axes if ax.get_title()] == [f"({letter})" for letter in "abcdefghij"]
    assert len(fig.axes) == 10, "tail sizes have panels of their own, not a second axis beside p"
    assert [frame[frame["panel"] == letter]["layer"].unique().tolist() for letter in "egfh"] == [
        ["hidden 1"], ["hidden 1"], ["hidden 2"], ["hidden 2"]]
    assert (frame[frame["panel"] == "g"].groupby("update")["value"].first() == 400 - 10 * np.array(UPDATES)).all()
    curves = [line for line in fig.axes[0].get_lines() if len(line.get_xdata()) == len(UPDATES)]
    assert len(curves) == len(STRATEGIES) * len(SEEDS)
    assert "50 neurons" in fig.axes[1].get_title()
    assert fig.axes[0].get_shared_x_axes().joined(fig.axes[0], fig.axes[2]), "p above its n_tail"
    pd.testing.assert_series_equal(frame[frame["panel"] == "c"]["value"].reset_index(drop=True),
                                   series[series["layer"] == POOLED]["n_tail"].reset_index(drop=True).astype(float),
                                   check_names=False)
    assert style.unlabelled_axes(fig) == []


def test_the_share_of_seeds_under_either_rule(series):
    _, frame = hypothesis.honest_figure(series, matched_n=50)
    end = frame[(frame["update"] == 20) & (frame["strategy"] == "gradient")].set_index("panel")["value"]
    assert end["i"] == 1 and end["j"] == pytest.approx(1 / 3)
    assert (frame[frame["panel"].isin(["i", "j"]) & (frame["strategy"] == "random")]["value"] == 0).all()


def test_passing_counts_time_points(series):
    table = hypothesis.passing(series).set_index(["strategy", "layer"])
    pooled = table.loc[("gradient", POOLED)]
    assert pooled["time points"] == 63
    assert pooled["usual"] == pytest.approx(16 / 21) and pooled["paper"] == pytest.approx(16 / 63)
    assert table.loc[("gradient", "hidden 1"), "usual"] == 0


def test_nine_in_ten_true_power_laws(series):
    low, high = hypothesis.true_power_law(series)
    assert 0.3 < low < 0.6 < high < 1.3


def test_winners_are_counted_by_period(series):
    shares = hypothesis.winners(series, periods=3)
    at = shares[(shares["strategy"] == "random") & (shares["layer"] == POOLED)]
    assert at["epoch"].unique() == pytest.approx([5, 15, 25]) and (at["time points"] == 21).all()
    middle = at[at["epoch"] == 15].set_index("law")["share"]
    assert middle["log-normal"] == pytest.approx(3 / 7) and middle["exponential"] == pytest.approx(4 / 7)
    assert (shares.groupby(["strategy", "layer", "epoch"])["share"].sum() - 1).abs().max() < 1e-12


def test_fewer_times_than_periods_leave_no_gaps(series):
    few = series[series["update"] % 5 == 0]
    assert hypothesis.winners(few, periods=12)["epoch"].nunique() == 5


def test_decided_ratios(series):
    table = hypothesis.decided(series, "log-normal")
    assert (table["other"] == 1).all() and (table["power law"] == 0).all()
    assert (hypothesis.decided(series, "Poisson")["undecided"] == 1).all()


def test_winners_figure(series):
    fig, frame = hypothesis.winners_figure(series)
    bars = sum(patch.get_height() for ax in fig.axes[:3] for patch in ax.patches)
    assert bars == pytest.approx(3 * 12)
    ratio = frame[(frame["panel"] == "ratio") & (frame["law"] == "log-normal")]
    last = ratio[ratio["epoch"] == 30]
    np.testing.assert_allclose(last["value"], -8 / 200)
    assert (ratio["epoch"] > 0).all()
    assert style.unlabelled_axes(fig) == []


def test_nine_in_ten_samples_lie_in_the_band():
    pooled = pd.DataFrame({"n_tail": [300, 300], "alpha": [2.5, 2.5]})
    low, high = hypothesis.true_power_law(pooled, n_sets=400)
    rng, inside = np.random.default_rng(1), []
    for _ in range(400):
        fit = fit_tail(sample(2.5, 100, 300, rng), 100)
        inside.append(low <= fit.D * np.sqrt(300) <= high)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.03)


def test_ratios_have_the_band_of_a_sample(series):
    values = {0: -8.0, 1: -4.0, 2: 0.0}
    changed = series.assign(**{"ratio log-normal": series["seed"].map(values) * series["n_tail"]})
    _, frame = hypothesis.winners_figure(changed)
    ratio = frame[(frame["panel"] == "ratio") & (frame["law"] == "log-normal")]
    assert ratio["sd"].to_numpy() == pytest.approx(4) and ratio["value"].to_numpy() == pytest.approx(-4)


def test_edges_of_the_rules(series):
    edge = series[(series["layer"] == POOLED) & (series["update"] == 0)].assign(p=series["seed"].map(
        {0: 0.1, 1: 0.95, 2: 0.94}))
    table = hypothesis.passing(edge)
    assert table["usual"].to_numpy() == pytest.approx(2 / 3) and table["paper"].to_numpy() == pytest.approx(1 / 3)
    _, frame = hypothesis.honest_figure(series.assign(p=series["seed"].map({0: 0.1, 1: 0.95, 2: 0.94})), matched_n=50)
    shares = frame[frame["panel"].isin(["i", "j"])].groupby("panel")["value"].unique()
    assert shares["i"] == pytest.approx([2 / 3]) and shares["j"] == pytest.approx([1 / 3])


def test_the_power_law_may_win(series):
    table = hypothesis.decided(series.assign(**{"ratio log-normal": 8.0}), "log-normal")
    assert (table["power law"] == 1).all() and (table["other"] == 0).all()
