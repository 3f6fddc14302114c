"""Accuracy against sparsity: the paper's numbers where it printed them, and ours only where the setting is the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from regrow.config import RunConfig
from regrow.record import Record
from regrow.store import Store
from regrow_companion import paper, style
from regrow_companion.plots import nb14_sparsity_levels as sparsity_levels


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Record:
    config = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, update_interval=2, sparsity=0.8)
    return Store(tmp_path_factory.mktemp("store")).ensure(config)


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    yield
    assert not plt.get_fignums()


def outcomes(record: Record, config: RunConfig, accuracies: list[float]) -> list[Record]:
    return [replace(record, config=config.but(seed=seed), test_accuracy=np.array([99.0, value]))
            for seed, value in enumerate(accuracies)]


def ours(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["source"] == "ours"]


def test_every_number_of_the_paper_is_there_once() -> None:
    frame = sparsity_levels.levels([])
    assert len(frame) == 20 + 60 + 120 and not frame.duplicated(["network", "dataset", "sparsity", "growth"]).any()
    at = frame.set_index(["network", "dataset", "sparsity", "growth"])
    assert at.loc[("MLP", "CIFAR-10", 0.9, "random"), "mean"] == 68.17
    assert at.loc[("ConvNet", "MNIST", 0.8, "momentum"), "std"] == 36.89
    assert at.loc[("VGG-16", "CIFAR-100", 0.0, "dense"), "mean"] == 74.63


def test_ours_stand_beside_the_paper_only_with_its_setting(tiny: Record) -> None:
    config = RunConfig(dataset="cifar10", grow="random", sparsity=0.8)
    frame = ours(sparsity_levels.levels([*outcomes(tiny, config, [66.0, 67.0]),
                                         *outcomes(tiny, config.but(epochs=299), [50.0])]))
    assert len(frame) == 1
    beside = frame.iloc[0]
    assert (beside["network"], beside["mean"], beside["seeds"], beside["dataset"]) == ("MLP", 66.5, 2, "CIFAR-10")
    assert beside["std"] == pytest.approx(0.5 ** 0.5)


def test_static_and_dense_runs_of_ours_are_left_out(tiny: Record) -> None:
    static = RunConfig(dataset="cifar10", prune="none", grow="none")
    assert ours(sparsity_levels.levels(outcomes(tiny, static, [60.0]))).empty


def test_one_panel_per_network_and_data_set_without_records() -> None:
    fig, frame = sparsity_levels.figure([])
    assert len(fig.axes) == 20 and len(frame) == 200
    assert [ax.get_title() for ax in fig.axes[:4]] == ["CIFAR-10", "CIFAR-100", "MNIST", "Fashion-MNIST"]
    assert [ax.get_ylabel() for ax in fig.axes[::4]] == ["ConvNet", "MLP", "ResNet-50", "ResNet-56", "VGG-16"]
    said = [text.get_text() for text in fig.legends[0].get_texts()]
    assert "filled: the paper, N = 5" in said and not any("ours" in text for text in said)
    assert style.unlabelled_axes(fig) == []


def test_the_lines_go_through_the_papers_means() -> None:
    fig, _ = sparsity_levels.figure([])
    mlp = fig.axes[4]  # second row, CIFAR-10
    printed: dict[str, list[float]] = {c.method: [] for c in paper.reported(4)}
    for c in sorted((*paper.reported(4), *paper.reported(7)), key=lambda c: c.sparsity):
        if (c.model, c.dataset) == ("mlp", "cifar10"):
            printed[c.method].append(c.mean)
    lines = [list(np.asarray(line.get_ydata())) for line in mlp.lines if line.get_marker() != "None"]
    assert lines == list(printed.values())


def test_a_network_of_our_own_gets_a_row(tiny: Record) -> None:
    fig, frame = sparsity_levels.figure([tiny])
    assert len(fig.axes) == 21 and fig.axes[-1].get_ylabel() == "ours"
    assert fig.axes[-1].get_title() == "Fashion-MNIST, 12,000 images"
    row = ours(frame).iloc[0]
    assert row["mean"] == tiny.test_accuracy[-1] and np.isnan(row["std"]) and row["sparsity"] == 0.8
    assert "open: ours, last epoch, N = 1" in [text.get_text() for text in fig.legends[0].get_texts()]


def test_the_legend_says_how_many_seeds_are_ours(tiny: Record) -> None:
    config = RunConfig(dataset="cifar10", grow="random", sparsity=0.8)
    records = [*outcomes(tiny, config, [66.0, 67.0, 68.0]), *outcomes(tiny, config.but(sparsity=0.9), [67.0])]
    fig, _ = sparsity_levels.figure(records)
    assert "open: ours, last epoch, N = 1 to 3" in [text.get_text() for text in fig.legends[0].get_texts()]


def test_it_can_be_saved(tiny: Record, tmp_path: Path) -> None:
    from regrow_companion.figures import check_figure, save_figure

    fig, frame = sparsity_levels.figure([tiny])
    save_figure(fig, "sparsities", data=frame, alt="Accuracy against sparsity in many panels.", out=tmp_path,
                profile="quick", records=[tiny])
    assert check_figure(tmp_path, "sparsities") == []


def test_ours_are_dynamic_runs_after_the_last_epoch(tiny: Record) -> None:
    static = replace(tiny, config=tiny.config.but(prune="none", grow="none"))
    assert ours(sparsity_levels.levels([static])).empty
    best_first = replace(tiny, val_accuracy=np.array([90.0, 1.0]), test_accuracy=np.array([80.0, 70.0]))
    assert ours(sparsity_levels.levels([best_first]))["mean"].tolist() == [70]
