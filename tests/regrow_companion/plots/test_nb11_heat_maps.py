"""Figures 8, 18 and 19: maps that keep every connection, numbers with known values, panels in the paper's order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.config import RunConfig
from regrow.record import Record
from regrow.store import Store
from regrow_companion import figures, style
from regrow_companion.plots import nb11_heat_maps as plots


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Two strategies, two seeds; updates every second step, so that moments fall between updates too."""
    store = Store(tmp_path_factory.mktemp("store"))
    configs = [RunConfig(hidden=(20, 10), train_limit=256, batch_size=32, epochs=2, update_interval=3, grow=grow,
                         seed=seed) for grow in ("random", "gradient") for seed in (0, 1)]
    return [store.ensure(config) for config in configs]


def test_degrees_and_maps_are_those_of_the_masks(records):
    record = records[0]
    for moment in range(6):
        first, second, _ = record.masks(moment).values()
        assert np.array_equal(record.input_degrees()[moment], first.sum(axis=0))
        assert np.array_equal(plots.input_maps(record)[moment], first.sum(axis=0).reshape(28, 28))
        paths = (second.astype(int) @ first.astype(int)).sum(axis=0).reshape(28, 28)
        assert np.array_equal(plots.hidden_maps(record)[moment], paths)


def test_no_connection_is_lost(records):
    for record in records:
        assert plots.input_maps(record).sum(axis=(1, 2)).tolist() == [record.connections["fc1"]] * 6


def test_numbers_of_known_maps():
    flat, one, corner = np.ones((10, 10)), np.zeros((10, 10)), np.zeros((10, 10))
    one[4, 5], corner[0, 0] = 7, 7
    assert plots.concentration(flat) == pytest.approx(0.1) and plots.concentration(one) == 1
    assert plots.mirror_overlap(flat) == 1 and plots.mirror_overlap(one) == 0
    assert plots.rim(flat) == 1 and plots.rim(one) == 0 and plots.rim(corner) == pytest.approx(100 / 36)
    half = np.array([[3, 0, 0, 1]])
    assert plots.mirror_overlap(half) == pytest.approx(0.5)
    assert plots.mirror_overlap(half, -2) == 1 and plots.mirror_overlap(half.T, -2) == pytest.approx(0.5)
    assert plots.concentration(half, share=0.5) == 1
    assert plots.concentration(np.stack([flat, one])).tolist() == pytest.approx([0.1, 1])


@given(st.integers(0, 2**32 - 1))
def test_numbers_do_not_depend_on_scale_or_handedness(seed):
    heat = np.random.default_rng(seed).integers(1, 50, (3, 8, 6))
    for number in (plots.concentration, plots.mirror_overlap, plots.rim):
        assert number(heat) == pytest.approx(number(heat * 3))
        assert number(heat) == pytest.approx(number(heat[..., ::-1]))
    assert (plots.mirror_overlap(heat) <= 1).all() and (plots.concentration(heat) >= 5 / 48).all()


def test_map_numbers_have_a_row_for_each_record_and_moment(records):
    frame = plots.map_numbers(records)
    assert len(frame) == 6 * len(records)
    start = frame[frame["epoch"] == 0].groupby("seed")
    assert (start["concentration"].nunique() == 1).all()  # strategies of one seed share their first wiring
    assert plots.map_numbers(records, plots.hidden_maps)["concentration"].between(0.1, 1).all()


@pytest.mark.parametrize("name", ["figure08", "figure19"])
def test_heat_map_figures(records, name, tmp_path):
    fig, frame = getattr(plots, name)(records)
    panels = [ax for ax in fig.axes if not hasattr(ax, "_colorbar")]
    assert len(panels) == 2 * 6
    scales = [ax.collections[0].get_clim() for ax in panels]
    assert len(set(scales)) == {"figure08": 1, "figure19": 2}[name]  # one scale, or one for each strategy
    assert len(set(scales[:6])) == 1 and scales[0][0] == frame.loc[frame["value"].idxmin(), "value"]
    assert all(ax.yaxis_inverted() and ax.get_aspect() == 1 for ax in panels)  # row 0 of the image on top
    assert panels[0].get_xticks().tolist() == [0.5, 14.5, 27.5]
    assert [label.get_text() for label in panels[6].get_xticklabels()] == ["0", "14", "27"]
    assert [ax.get_ylabel() for ax in panels[::6]] == ["random (N=2)", "gradient (N=2)"]
    maps = {"figure08": plots.input_maps, "figure19": plots.hidden_maps}[name]
    last = frame[(frame["method"] == "gradient") & (frame["epoch"] == frame["epoch"].max())]
    mean = (maps(records[2])[5] + maps(records[3])[5]) / 2
    assert np.array_equal(last.pivot(index="y", columns="x", values="value").to_numpy(), mean)
    assert np.array_equal(panels[11].collections[0].get_array(), mean)
    figures.save_figure(fig, "heat", data=frame, alt="heat maps of a tiny network", out=tmp_path, profile="quick")
    assert figures.check_figure(tmp_path, "heat") == []


def test_figure18_is_a_distribution(records):
    fig, frame = plots.figure18(records)
    assert len(fig.axes) == 6 and fig.axes[0].get_title() == "before training"
    width = frame["degree"].drop_duplicates().diff().dropna().unique()
    assert len(width) == 1
    assert (frame.groupby(["method", "epoch"])["share"].sum() * width[0]).to_numpy() == pytest.approx(1)
    end = frame[(frame["method"] == "random") & (frame["epoch"] == 0)]["largest_degree"].iloc[0]
    assert end == np.mean([record.out_degree["fc1"][0].max() for record in records[:2]])
    assert not style.unlabelled_axes(fig)


@pytest.mark.parametrize(("largest", "bins"), [(39, 40), (40, 21), (119, 40)])
def test_bins_hold_whole_degrees(largest, bins):
    width = -(-(largest + 1) // 40)
    frame = plots._binned(np.array([[0, 1, largest, largest]], dtype=np.int16), width, largest)
    assert len(frame) == bins and frame.index[0] == (width - 1) / 2
    assert frame[0].iloc[-1] == pytest.approx(0.5 / width)


def test_map_numbers_are_those_of_each_map(records):
    record = records[0]
    row, heat = plots.map_numbers([record]).iloc[-1], plots.input_maps(record)[-1]
    assert row["mirror_overlap"] == pytest.approx(np.minimum(heat, heat[:, ::-1]).sum() / heat.sum())
    assert row["top_bottom"] == pytest.approx(np.minimum(heat, heat[::-1]).sum() / heat.sum())
    assert row["mirror_overlap"] != row["top_bottom"] and row["epoch"] == 2


def test_figure18s_band_is_the_deviation_of_a_sample(records):
    _, frame = plots.figure18(records)
    at = frame[(frame["method"] == "gradient") & (frame["epoch"] == frame["epoch"].max())]
    k, width = at["degree"].to_numpy()[:, None], np.diff(at["degree"])[0]
    first, second = (np.mean(np.abs(record.input_degrees()[5] - k) < width / 2, axis=1) / width
                     for record in records[2:])
    assert at["share"].to_numpy() == pytest.approx((first + second) / 2)
    assert at["sd"].to_numpy() == pytest.approx(np.abs(first - second) / np.sqrt(2)) and at["sd"].max() > 0


def test_figure18_marks_the_mean_of_the_largest_degrees(records):
    _, frame = plots.figure18(records)
    for method, pair in (("random", records[:2]), ("gradient", records[2:])):
        at = frame[(frame["method"] == method) & (frame["epoch"] == frame["epoch"].max())]
        largest = [record.input_degrees()[5].max() for record in pair]
        assert at["largest_degree"].unique().tolist() == [np.mean(largest)]
    one, other = (record.input_degrees()[5].max() for record in records[2:])
    assert one != other, "otherwise this would say nothing"
