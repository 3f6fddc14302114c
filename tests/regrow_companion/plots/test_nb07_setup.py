"""Figures 3, 14 and 17 and the schedules: what they show against arrays made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from regrow import datasets
from regrow.config import RunConfig
from regrow.errors import DataError, RegrowError
from regrow.record import Record
from regrow.store import Store
from regrow_companion.plots import nb07_setup as setup
from regrow_companion.style import unlabelled_axes


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Record:
    config = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, update_interval=2)
    return Store(tmp_path_factory.mktemp("store")).ensure(config)


def run(record: Record, grow: str, seed: int, accuracy: list[float]) -> Record:
    """A record of eight epochs with drops after four and six."""
    rates = np.array([0.1] * 4 + [0.01] * 2 + [0.001] * 2)
    return replace(record, config=record.config.but(grow=grow, seed=seed, epochs=8), learning_rate=rates,
                   train_loss=np.linspace(2, 1, 8), val_accuracy=np.array(accuracy), test_accuracy=np.array(accuracy))


@pytest.fixture
def curves(tiny: Record) -> list[Record]:
    slow, fast = [10, 20, 30, 30, 50, 50, 53, 53], [20, 20, 20, 20, 40, 40, 40, 40]
    return [run(tiny, grow, seed, [float(a) + 2 * seed for a in accuracy])
            for grow, accuracy in (("random", slow), ("gradient", fast)) for seed in (0, 1)]


# --------------------------------------------------------------------------------------------------- training images

def brought(folder: Path, name: str, n: int = 40) -> None:
    """A data set of random images in `folder`, labels 0 to 9 in turn."""
    shape, rng = datasets.known(name).shape, np.random.default_rng(0)
    size = shape[1:] if shape[0] == 1 else (*shape[1:], 3)
    arrays = {f"x_{part}": rng.integers(0, 256, (n, *size), dtype=np.uint8) for part in ("train", "test")}
    np.savez(folder / f"{name}.npz", **arrays, y_train=np.arange(n) % 10, y_test=np.arange(n) % 10)


@pytest.mark.parametrize(("name", "draw", "rows_are_classes"),
                         [("mnist", setup.figure14, False), ("cifar10", setup.figure17, True)])
def test_images_stand_in_the_order_of_the_official_file(name, draw, rows_are_classes, tmp_path, monkeypatch) -> None:
    brought(tmp_path, name)
    monkeypatch.setenv("REGROW_DATA", str(tmp_path))
    images = setup.training_images(name, "replay")
    assert not images.is_stand_in
    fig, frame = draw(images, each=3)
    assert len(frame) == 30 and frame["index"].tolist() == [c + 10 * i for c in range(10) for i in range(3)]
    picture = np.asarray(fig.axes[0].images[0].get_array())
    size = images.images.shape[1]
    row, column = (7, 2) if rows_are_classes else (2, 7)  # class 7, its third image
    assert np.array_equal(picture[row * size:(row + 1) * size, column * size:(column + 1) * size], images.images[27])
    assert unlabelled_axes(fig) == [] and "first 3 training images" in fig.axes[0].get_title()
    assert frame["sha256"].nunique() == 30 and not plt.get_fignums()


def test_without_the_data_the_package_stands_in_and_the_picture_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("REGROW_DATA", str(tmp_path))
    images = setup.training_images("mnist", "quick")
    assert images.is_stand_in and images.name == "fashion_mnist_small" and len(images.labels) == 12_000
    for draw in (setup.figure14, setup.figure17):
        fig, frame = draw(images, each=2)
        assert "MNIST is not on this machine" in fig.axes[0].get_title()
        assert set(frame["data set"]) == {"fashion_mnist_small"}


def test_nothing_stands_in_at_the_papers_scale(monkeypatch) -> None:
    def refuse(name: str, root: Path | None = None, download: bool = True) -> None:
        assert download, "the paper's profile may fetch what is missing"
        raise DataError("no network")

    monkeypatch.setattr(datasets, "read", refuse)
    with pytest.raises(DataError, match="no network"):
        setup.training_images("cifar10", "paper")


# --------------------------------------------------------------------------------------------------------- schedules

def test_schedules_are_those_of_section_5_1() -> None:
    fig, frame = setup.schedule_figure(RunConfig(dataset="cifar10"), total_steps=300 * 352)
    rates = frame[frame["quantity"] == "learning rate"]
    assert rates["value"].round(9).value_counts().to_dict() == {0.1: 150, 0.01: 75, 0.001: 75}
    pruned = frame[frame["quantity"] == "prune rate"]
    assert len(pruned) == 264 and pruned["epoch"].iloc[-1] == 300 and np.isclose(pruned["value"].iloc[-1], 0)
    assert np.isclose(pruned["value"].sum(), 65.75)  # the sum of cosines over half a period, without its first term
    assert unlabelled_axes(fig) == []


def test_drops_are_counted_in_finished_epochs() -> None:
    assert setup.drops([0.1, 0.1, 0.01, 0.001]) == [2, 3]
    assert setup.drops([0.1, 0.1]) == []


# ---------------------------------------------------------------------------------------------------------- Figure 3

def test_figure3_draws_every_run_and_an_arrow_for_every_drop(curves: list[Record]) -> None:
    fig, frame = setup.figure3(curves)
    assert len(frame) == 4 * 8 and list(frame.columns) == [
        "strategy", "seed", "epoch", "learning rate", "train loss", "validation accuracy"]
    for ax in fig.axes:
        arrows = [text for text in ax.texts if text.get_text() == ""]
        assert [arrow.xy[0] for arrow in arrows] == [4, 6]
        assert [text.get_text() for text in ax.texts if text.get_text()] == ["lr 0.1", "lr 0.01", "lr 0.001"]
        assert [line.get_label() for line in ax.lines] == ["random (N=2)", "gradient (N=2)"]
    assert np.allclose(fig.axes[1].lines[0].get_ydata(), np.array([10, 20, 30, 30, 50, 50, 53, 53]) + 1)
    assert unlabelled_axes(fig) == [] and not plt.get_fignums()


def test_figure3_of_a_trained_run(tiny: Record) -> None:
    fig, frame = setup.figure3([tiny])
    assert frame["train loss"].tolist() == tiny.train_loss.tolist() and unlabelled_axes(fig) == []


def test_runs_with_other_learning_rates_do_not_share_arrows(curves: list[Record]) -> None:
    other = replace(curves[0], learning_rate=np.full(8, 0.1))
    with pytest.raises(RegrowError, match="share theirs"):
        setup.figure3([other, *curves])


def test_gains_by_hand(curves: list[Record]) -> None:
    gains = setup.drop_gains(setup.learning_curves(curves), window=2)
    expected = pd.DataFrame({
        "strategy": ["random", "random", "gradient", "gradient"], "epoch": [4, 6, 4, 6],
        "learning rate": [0.01, 0.001] * 2, "before": [15.0, 20.0, 0.0, 20.0], "gain": [20.0, 3.0, 20.0, 0.0]})
    pd.testing.assert_frame_equal(gains, expected)
