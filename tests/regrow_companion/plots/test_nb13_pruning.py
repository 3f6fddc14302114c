"""Figure 13 and the pictures of pruning: every run is drawn once, nothing that is missing is drawn as a number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regrow.config import RunConfig
from regrow.errors import RegrowError
from regrow.record import Record
from regrow.store import Store
from regrow_companion import study, style
from regrow_companion.figures import check_figure, save_figure
from regrow_companion.plots import nb08_accuracy as accuracy
from regrow_companion.plots import nb13_pruning as pruning


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Record:
    config = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, update_interval=2)
    return Store(tmp_path_factory.mktemp("store")).ensure(config)


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    yield
    assert not plt.get_fignums()


def outcomes(record: Record, configs: list[RunConfig], last: float = 80.0) -> list[Record]:
    """Records of these configs; each accuracy is another number, and one point more at best validation."""
    return [replace(record, config=config, val_accuracy=np.array([3.0, 2.0]),
                    test_accuracy=np.array([last + 1 + i / 16, last + i / 16]))
            for i, config in enumerate(configs)]


def small(record: Record, prunings: tuple[str, ...] = study.PRUNING, seeds: int = 2) -> list[RunConfig]:
    return [record.config.but(prune=prune, grow=grow, seed=seed) for prune in prunings for grow in study.STRATEGIES
            for seed in range(seeds)]


def dots(ax: Axes) -> list[tuple[float, float]]:
    """Places of all points for single runs."""
    return [(float(x), float(y)) for points in ax.collections for x, y in np.asarray(points.get_offsets())]


def drawn(fig: Figure, filled: bool = True) -> list[float]:
    """Heights of all dots, or of all open marks, which are lines of markers alone."""
    if filled:
        return sorted(y for ax in fig.axes for _, y in dots(ax))
    return sorted(float(y) for ax in fig.axes for line in ax.lines if line.get_linestyle() == "None"
                  and line.get_markerfacecolor() == "none" for y in np.atleast_1d(line.get_ydata()))


def texts(fig: Figure) -> list[str]:
    return [text.get_text() for ax in fig.axes for text in ax.texts]


# ------------------------------------------------------------------------------------------------------ Figure 13

def test_every_seed_is_a_dot_and_the_bar_is_their_mean(tiny: Record) -> None:
    fig, frame = pruning.figure13(outcomes(tiny, small(tiny)))
    assert len(frame) == 18 and drawn(fig) == sorted(frame["last"])
    assert frame["best validation"].tolist() == [value + 1 for value in frame["last"]]
    means = [float(np.asarray(line.get_ydata())[0]) for line in fig.axes[0].lines if np.size(line.get_ydata()) == 2
             and line.get_linewidth() == 2]
    cells = frame.groupby(["pruning", "growth"])
    assert sorted(means) == pytest.approx(sorted(cells["last"].mean()))
    assert drawn(fig, filled=False) == pytest.approx(sorted(cells["best validation"].mean()))
    assert [label.get_text() for label in fig.axes[0].get_xticklabels()] == ["magnitude", "SET", "random"]
    assert fig.axes[0].get_title() == "MLP 784-20-10-10, 2 epochs on Fashion-MNIST, 12,000 images, N = 2"
    assert texts(fig) == [] and fig.get_supxlabel() == ""
    assert style.unlabelled_axes(fig) == []


def test_dots_stand_over_their_pruning_rule(tiny: Record) -> None:
    configs = small(tiny, seeds=1)
    fig, frame = pruning.figure13(outcomes(tiny, configs))
    at = {y: x for x, y in dots(fig.axes[0])}
    for _, row in frame.iterrows():
        place = at[row["last"]]
        assert round(place) == study.PRUNING.index(row["pruning"])
        assert np.sign(place - round(place)) == study.STRATEGIES.index(row["growth"]) - 1


def test_missing_cells_are_dashes_and_never_zero(tiny: Record) -> None:
    magnitude = [RunConfig(dataset="cifar10", grow=grow, seed=seed) for grow in study.STRATEGIES for seed in (0, 1, 2)]
    one = RunConfig(dataset="cifar10", prune="random", grow="gradient")
    fig, frame = pruning.figure13(outcomes(tiny, [*magnitude, one]))
    assert drawn(fig) == sorted(frame["last"]) and min(drawn(fig)) >= 80 and fig.axes[0].get_ylim()[0] > 50
    assert sorted(texts(fig)) == ["1", "3", "3", "3", *[accuracy.NOTHING] * 5]  # seeds where they differ
    assert fig.axes[0].get_title() == "MLP on CIFAR-10, N = 1 to 3 (at the foot)"
    assert fig.get_supxlabel() == "–: not trained yet; no run of ConvNet, ResNet-50, ResNet-56, VGG-16"
    assert len(pruning.untrained(frame)) == 5 and ("MLP", "set", "momentum") in pruning.untrained(frame)


def test_a_panel_per_network_and_no_empty_ones(tiny: Record) -> None:
    for models in (("convnet",), ("convnet", "mlp", "vgg16"), study.MODELS):
        runs = outcomes(tiny, [config for config in study.runs("fig13", "paper") if config.model in models])
        fig, frame = pruning.figure13(runs)
        assert len(fig.axes) == len(models) and len(frame) == 45 * len(models) == len(drawn(fig))
        assert pruning.untrained(frame) == [] and texts(fig) == []
        assert ("no run of" in fig.get_supxlabel()) == (models != study.MODELS)
        assert "not trained yet" not in fig.get_supxlabel()


def test_the_bug_gets_a_column_of_its_own_only_if_it_was_trained(tiny: Record) -> None:
    fig, frame = pruning.figure13(outcomes(tiny, small(tiny) + small(tiny, ("set_legacy",))))
    assert [label.get_text() for label in fig.axes[0].get_xticklabels()][-1] == "SET with\nthe bug"
    assert len(drawn(fig)) == 24 and pruning.untrained(frame) == []


def test_quick_runs_do_not_speak_of_the_papers_networks(tiny: Record) -> None:
    assert pruning.untrained_networks(outcomes(tiny, small(tiny))) == []


def test_without_records_a_sentence_names_the_command() -> None:
    with pytest.raises(RegrowError, match="run --profile paper --only fig13"):
        pruning.figure13([])


def test_it_can_be_saved(tiny: Record, tmp_path: Path) -> None:
    records = outcomes(tiny, small(tiny, seeds=1))
    fig, frame = pruning.figure13(records)
    save_figure(fig, "fig13", data=frame, alt="Accuracy of nine combinations as dots.", out=tmp_path, profile="quick",
                records=records)
    assert check_figure(tmp_path, "fig13") == []


# ----------------------------------------------------------------------------------------------- which weights go

@pytest.fixture
def weights() -> torch.Tensor:
    """400 positive and 600 negative weights, none of them zero."""
    size = torch.rand(1000, generator=torch.Generator().manual_seed(1)) + 0.01
    return torch.cat([size[:400], -size[400:]])


def test_removed_shares(weights: torch.Tensor) -> None:
    """Right rules remove p; the buggy one k positive ones and all but k - 1 negative ones: 601, whatever p is."""
    for rate in (0.01, 0.1, 0.5):
        counts = {rule: int(pruning.removed(weights, rate, rule).sum()) for rule in pruning.LINES}
        assert counts == {"magnitude": round(1000 * rate), "set": round(1000 * rate), "set_legacy": 601}
        bug = pruning.removed(weights, rate, "set_legacy")
        assert int((bug & (weights > 0)).sum()) == round(500 * rate)


def test_histograms_show_every_weight_once(weights: torch.Tensor) -> None:
    fig, frame = pruning.removed_figure(weights, rates=(0.5, 0.1))
    totals = frame.groupby(["rule", "rate"])[["kept", "removed"]].sum()
    assert (totals.sum(axis=1) == 1000).all() and totals.loc[("set", 0.1), "removed"] == 100
    assert totals.loc[("set_legacy", 0.1), "removed"] == 601
    assert len(fig.axes) == 6 and texts(fig).count("removed\n60.1 %") == 2
    least = frame[(frame["rule"] == "magnitude") & (frame["rate"] == 0.1) & (frame["removed"] > 0)]["weight"]
    assert least.abs().max() < 0.2  # only what lies near zero
    most = frame[(frame["rule"] == "set_legacy") & (frame["rate"] == 0.1) & (frame["removed"] > 0)]["weight"]
    assert most.min() < -0.8  # the bug takes large negative ones
    assert style.unlabelled_axes(fig) == []


def test_removed_share_against_p(weights: torch.Tensor) -> None:
    fig, frame = pruning.removed_share_figure(weights, rates=(0.0, 0.1, 0.2))
    table = frame.pivot(index="rate", columns="rule", values="removed")
    assert table["set_legacy"].tolist() == [0.0, 0.601, 0.601]
    assert table["magnitude"].tolist() == table["set"].tolist() == [0.0, 0.1, 0.2]
    assert texts(fig) == ["60 % of the weights are negative"]
    assert style.unlabelled_axes(fig) == []
