"""Pictures of the tour, drawn from two tiny runs."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from regrow import Record, RunConfig, Store
from regrow_companion.plots import nb00_tour as tour
from regrow_companion.style import unlabelled_axes

BASE = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, update_interval=2)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    store = Store(Path(tmp_path_factory.mktemp("tour")))
    return [store.ensure(BASE.but(grow=grow, seed=seed)) for grow in ("random", "gradient") for seed in (0, 1)]


def test_class_images_puts_each_class_in_its_column() -> None:
    labels = np.array([1, 0, 0, 1, 1, 0])
    images = np.arange(6)[:, None, None] * np.ones((1, 2, 3))
    ax = tour.class_images(images, labels, ("coat", "bag"), each=2).axes[0]
    drawn = np.asarray(ax.get_images()[0].get_array())
    assert np.array_equal(drawn[::2, ::3], [[1, 0], [2, 3]])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["coat", "bag"]


def test_mask_picture_counts_the_rows_that_it_draws(records: list[Record]) -> None:
    masks = {"before": records[0].masks(0)["fc1"], "after": records[0].masks(5)["fc1"]}
    fig, frame = tour.mask_picture(masks, neurons=7)
    for ax, (name, mask) in zip(fig.axes, masks.items(), strict=True):
        assert np.array_equal(np.asarray(ax.get_images()[0].get_array()).astype(bool), mask[:7])
        assert frame.loc[frame["panel"] == name, "in-degree"].tolist() == mask[:7].sum(axis=1).tolist()
    assert unlabelled_axes(fig) == []


def test_accuracy_figure_has_a_line_per_strategy_and_all_seeds_in_its_frame(records: list[Record]) -> None:
    fig, frame = tour.accuracy_figure(records)
    assert [line.get_label() for line in fig.axes[0].lines] == ["random (N=2)", "gradient (N=2)"]
    expected = np.mean([record.test_accuracy for record in records[:2]], axis=0)
    assert np.allclose(fig.axes[0].lines[0].get_ydata(), expected)
    assert len(frame) == 8 and unlabelled_axes(fig) == []


def test_grown_networks_draws_every_neuron_as_large_as_its_degree(records: list[Record]) -> None:
    shown = [records[0], records[2]]
    fig, frame = tour.grown_networks(shown, {"random": 61.25, "gradient": 60.0})
    panels = {"the start of all three": shown[0].in_degree["fc1"][0],
              "random growth: 61.2 %": shown[0].in_degree["fc1"][-1],
              "gradient growth: 60.0 %": shown[1].in_degree["fc1"][-1]}
    for ax, (title, degrees) in zip(fig.axes, panels.items(), strict=True):
        (dots,) = ax.collections
        assert ax.get_title() == title and f"largest {degrees.max()}" in ax.get_xlabel()
        areas = np.asarray(dots.get_widths()) ** 2
        assert np.allclose(areas / areas.sum(), degrees / degrees.sum())
        assert frame[title.partition(":")[0]].tolist() == degrees.tolist()
    assert unlabelled_axes(fig) == []


def test_pixel_figure_shares_one_scale_between_networks() -> None:
    variation, low, high = np.eye(4), np.full((4, 4), 1), np.full((4, 4), 9)
    fig, frame = tour.pixel_figure(variation, {"before": low, "gradient": high})
    limits = [ax.get_images()[0].get_clim() for ax in fig.axes[1:3]]
    assert limits == [(0, 9), (0, 9)]
    assert frame.groupby("panel")["value"].sum().to_dict() == {"variation": 4, "before": 16, "gradient": 144}
    assert [ax.get_title() for ax in fig.axes[1:3]] == ["before training", "gradient growth"]
    assert unlabelled_axes(fig) == []
    assert not plt.get_fignums()
