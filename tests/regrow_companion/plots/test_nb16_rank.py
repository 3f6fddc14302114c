"""Figure 20 on real tiny runs, against scipy, and with ranks that turn round."""

from __future__ import annotations

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from regrow.errors import RegrowError
from regrow.record import Record
from regrow_companion import study, style
from regrow_companion.plots import nb16_rank as rank


@pytest.fixture
def records(six_runs: list[Record]) -> list[Record]:
    return six_runs


def turned(record: Record) -> Record:
    """A run whose ranking of hidden neurons is turned upside down at the second update."""
    def series(width: int, sign: int) -> np.ndarray:
        return np.array([np.arange(width), np.arange(width)[::-1] if sign else np.arange(width)], dtype=np.int16)

    return replace(record, steps=np.array([0, 4]), in_degree={n: series(s[0], 1) for n, s in record.shapes.items()},
                   out_degree={n: series(s[1], 1) for n, s in record.shapes.items()})


def test_frame_is_the_mean_of_scipys_tau(records):
    frame = rank.rank_agreement(records)
    degrees = [r.hidden_degrees() for r in records[2:4]]
    expected = [[kendalltau(d[1], later).statistic for later in d[2:]] for d in degrees]
    epochs = records[0].epochs_at
    row = frame[(frame["strategy"] == "gradient") & (frame["epoch"] == epochs[1])].squeeze()
    assert row[f"{epochs[-1]:.6g}"] == pytest.approx(np.mean([taus[-1] for taus in expected]), abs=1e-4)
    assert row["lowest"] == pytest.approx(np.min(expected), abs=1e-4)
    assert len(frame) == 3 * len(epochs) and (frame["seeds"] == 2).all()


def test_frame_holds_one_triangle(records):
    frame, times = rank.rank_agreement(records), len(records[0].epochs_at)
    assert list(frame.columns[:rank.HEAD]) == ["strategy", "seeds", "epoch", "lowest"]
    assert frame.shape[1] == rank.HEAD + times and len(rank.means(frame)) == 3 * times * (times + 1) // 2
    assert frame.iloc[times - 1, rank.HEAD:-1].isna().all()  # below the diagonal


def test_frame_survives_the_csv(records, tmp_path):
    frame = rank.rank_agreement(records)
    frame.to_csv(tmp_path / "fig20.csv", index=False, float_format="%.6g")
    back = pd.read_csv(tmp_path / "fig20.csv")
    for strategy in study.STRATEGIES:
        np.testing.assert_array_equal(rank.matrix_of(back, strategy)[1], rank.matrix_of(frame, strategy)[1])


def test_matrix_is_symmetric_with_ones_on_the_diagonal(records):
    epochs, tau = rank.matrix_of(rank.rank_agreement(records), "momentum")
    np.testing.assert_array_equal(tau, tau.T)
    np.testing.assert_array_equal(np.diag(tau), 1)
    np.testing.assert_array_equal(epochs, records[0].epochs_at)


def test_figure_shows_the_matrices_from_light_to_dark(records):
    fig, frame = rank.figure20(records)
    assert [ax.get_title() for ax in fig.axes[:3]] == [f"({c}) {s} (N=2)" for c, s in zip("abc", study.STRATEGIES,
                                                                                      strict=True)]
    image = fig.axes[1].collections[0]
    np.testing.assert_array_equal(image.get_array(), rank.matrix_of(frame, "gradient")[1])
    assert image.get_clim() == (0, 1)
    light, dark = (mpl.colors.rgb_to_hsv(image.cmap(x)[:3])[2] for x in (0.0, 1.0))
    assert light > 0.9 and dark < 0.4
    epochs = records[0].epochs_at
    assert fig.axes[1].get_xlim() == (0, len(epochs)) == fig.axes[1].get_ylim()[::-1]
    for axis in (fig.axes[1].xaxis, fig.axes[0].yaxis):  # cells are centred on their updates
        said = [float(label.get_text()) for label in axis.get_ticklabels()]
        places = np.array(axis.get_ticklocs()) - 0.5
        assert len(said) > 2 and np.interp(places, range(len(epochs)), epochs).tolist() == pytest.approx(said)
    assert len(fig.axes) == 3 and image.colorbar is None  # the last panel alone has a colour bar
    assert fig.axes[2].collections[0].colorbar.ax.get_ylabel() == "Kendall's τ-b"
    assert style.unlabelled_axes(fig) == []


def test_negative_values_are_kept_in_the_frame_and_visible_in_the_picture(records):
    fig, frame = rank.figure20([turned(records[0])])
    assert rank.means(frame).min() < -0.3 and rank.matrix_of(frame, "random")[1].min() < -0.3
    image = fig.axes[0].collections[0]
    assert mpl.colors.to_hex(image.cmap(image.norm(-0.5))) == rank.NEGATIVE.lower()
    assert image.colorbar.extend == "min"
    fig, frame = rank.figure20(records)
    bar = fig.axes[-1].collections[0].colorbar
    assert (rank.means(frame) >= 0).all() == (bar.extend == "neither")


def test_runs_of_two_schedules_are_refused(records):
    other = replace(records[1], steps=records[1].steps * 2)
    with pytest.raises(RegrowError, match="one schedule"):
        rank.rank_agreement([records[0], other])


def test_settled_at_is_the_first_epoch_that_agrees_with_the_end_for_good(records):
    frame = rank.rank_agreement(records[:1])
    epochs = records[0].epochs_at
    values = np.full(len(epochs), 0.5)
    values[1] = 0.95  # agrees once, but not for good
    values[-2:] = 0.91, 1.0
    frame[f"{epochs[-1]:.6g}"] = values
    assert rank.settled_at(frame) == {"random": epochs[-2]}


def test_a_tau_at_the_level_agrees(records):
    frame = rank.rank_agreement(records[:1])
    epochs = records[0].epochs_at
    frame[f"{epochs[-1]:.6g}"] = np.full(len(epochs), 0.9)
    assert rank.settled_at(frame) == {"random": epochs[0]}
