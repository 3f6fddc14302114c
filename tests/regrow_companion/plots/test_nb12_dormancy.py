"""Figure 9 on real tiny runs and on degrees whose dormant neurons are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from regrow.errors import RegrowError
from regrow.record import Record
from regrow_companion import study, style
from regrow_companion.plots import nb12_dormancy as dormancy


@pytest.fixture
def records(six_runs: list[Record]) -> list[Record]:
    return six_runs


def test_counts_are_those_of_the_degrees(records):
    frame = dormancy.dormant_neurons(records)
    limits = records[0].thresholds
    record = records[3]
    at = frame[(frame["strategy"] == "gradient") & (frame["seed"] == 1) & (frame["threshold"] == limits.high)]
    degrees = np.concatenate([record.in_degree["fc1"] + record.out_degree["fc2"],
                              record.in_degree["fc2"] + record.out_degree["fc3"]], axis=1)
    np.testing.assert_array_equal(at["dormant"], (degrees <= limits.high).sum(axis=1))
    np.testing.assert_array_equal(at["epoch"], record.epochs_at)
    assert (frame["hidden"] == 30).all() and len(frame) == 6 * 2 * len(record.steps)


def test_low_count_never_exceeds_the_high_one(records):
    wide = dormancy.dormant_neurons(records).pivot(index=["strategy", "seed", "step"], columns="threshold",
                                                   values="dormant")
    assert (wide.iloc[:, 0] <= wide.iloc[:, 1]).all()


def test_total_degree_is_conserved_in_real_runs(records):
    for record in records:
        totals = record.hidden_degrees().sum(axis=1)
        assert len(set(totals.tolist())) == 1


def test_figure_has_the_papers_panels_and_says_its_thresholds(records):
    fig, frame = dormancy.figure9(records)
    limits = records[0].thresholds
    assert [ax.get_title() for ax in fig.axes] == [f"(a) degree $k$ ≤ {limits.low}", f"(b) degree $k$ ≤ {limits.high}"]
    legend = [text.get_text() for text in fig.legends[0].get_texts()]
    assert legend == [f"{strategy} (N=2)" for strategy in study.STRATEGIES]
    assert "".join(fig.get_supxlabel().split()).lower() == "".join(limits.sentence.split()).lower() + "."
    for ax, threshold in zip(fig.axes, (limits.low, limits.high), strict=True):
        at = frame[(frame["threshold"] == threshold) & (frame["strategy"] == "random")]
        np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), at.groupby("epoch")["dormant"].mean())
    assert style.unlabelled_axes(fig) == []


def test_networks_of_two_sizes_are_refused(records):
    other = replace(records[0], shapes={name: (n + 1, m + 1) for name, (n, m) in records[0].shapes.items()})
    with pytest.raises(RegrowError, match="one architecture"):
        dormancy.dormant_neurons([records[0], other])


def test_levels_off_is_where_a_curve_stays():
    epochs = [0, 1, 2, 3, 4]
    assert dormancy.levels_off(epochs, [0, 9, 4, 9, 10], 1) == 3  # near its end at 1 already, but it leaves
    assert dormancy.levels_off(epochs, [10, 10, 10, 10, 10], 0) == 0
    assert dormancy.levels_off(epochs, [0, 1, 2, 3, 4], 0) == 4


def test_summary_of_known_counts(records):
    frame = dormancy.dormant_neurons(records[:2])
    frame = frame.assign(hidden=100, dormant=np.where(frame["epoch"] < 1, 0, 30 + 2 * frame["seed"]))
    rows = dormancy.summary(frame)
    assert len(rows) == 2 and (rows["at the end (%)"] == 31).all() and (rows["seeds"] == 2).all()
    assert rows["sd (%)"].to_numpy() == pytest.approx(np.sqrt(2)) and (rows["levels off at epoch"] == 1).all()


def test_a_curve_at_the_edge_of_the_tolerance_has_levelled_off():
    assert dormancy.levels_off([0, 1, 2], [8, 9, 10], 2) == 0 and dormancy.levels_off([0, 1, 2], [7, 9, 10], 2) == 1


def test_the_mean_curve_levels_off(records):
    """Two seeds stay, the third comes from far: the mean leaves the tolerance, the median does not."""
    frame = dormancy.dormant_neurons([records[0]] * 3)
    frame["seed"] = np.repeat([0, 1, 2], len(frame) // 3)
    early = (frame["epoch"] < 1) & (frame["seed"] == 2)
    rows = dormancy.summary(frame.assign(hidden=100, dormant=np.where(early, 90, 30)))
    assert (rows["levels off at epoch"] == 1).all()
