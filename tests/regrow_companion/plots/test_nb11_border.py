"""Black and mirrored borders side by side: hand-made records whose accuracies, maps and degrees are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from regrow.config import RunConfig
from regrow.record import Record
from regrow.store import Store
from regrow.tails.fit import fit_tail
from regrow_companion import study
from regrow_companion.figures import check_figure, save_figure
from regrow_companion.plots import nb11_border as border

SHAPES = {"fc1": (40, 3072), "fc2": (20, 40), "fc3": (10, 20)}


def edges() -> np.ndarray:
    """768 connections inside, 256 on the upper edge, 64 of them in corners: [3, 32, 32]."""
    image = np.zeros((3, 32, 32), np.int16)
    image[:, 8:24, 8:24] = 1
    image[0, 0, :] = 8
    return image


def even() -> np.ndarray:
    image = np.zeros((3, 32, 32), np.int16)
    image[1] = 1
    return image


def made(tiny: Record, image: np.ndarray, *, grow: str, augment: str, seed: int = 0, test: float = 60.0) -> Record:
    """A finished run with this input map at the end; its hidden degrees are 0 four times, then 11, 12, ... in hidden 1,
    and 50 throughout in hidden 2."""
    times = len(tiny.steps)

    def series(end: np.ndarray) -> np.ndarray:
        start = np.ones_like(end)  # only the end counts
        return np.stack([start] * (times - 1) + [end]).astype(np.int16)

    first = np.concatenate([np.zeros(4), np.arange(11, 47)]).astype(np.int16)
    return replace(
        tiny, config=RunConfig(dataset="cifar10", grow=grow, augment=augment, seed=seed), shapes=SHAPES,
        test_accuracy=np.array([99.0, test]), val_accuracy=np.array([1.0, test + 1]),
        in_degree={"fc1": series(first), "fc2": series(np.full(20, 30)), "fc3": series(np.full(10, 40))},
        out_degree={"fc1": series(image.ravel()), "fc2": series(np.zeros(40)), "fc3": series(np.full(20, 20))})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Record:
    config = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, update_interval=2)
    return Store(tmp_path_factory.mktemp("store")).ensure(config)


@pytest.fixture(scope="module")
def records(tiny: Record) -> list[Record]:
    """Both borders, three rules; gradient growth with two seeds, and runs that belong to neither group."""
    both = [made(tiny, edges() if augment == "crop_flip" else even(), grow=grow, augment=augment)
            for grow in study.STRATEGIES for augment in border.BORDERS]
    second = made(tiny, 2 * edges(), grow="gradient", augment="crop_flip", seed=1, test=62.0)
    sparser = replace(second, config=second.config.but(sparsity=0.9))
    bare = replace(second, config=second.config.but(augment="none"))
    switched = replace(second, config=second.config.but(grow="gradient>random"))
    return [tiny, second, sparser, bare, switched, *both]


def test_groups_are_runs_that_differ_in_border_and_rule_alone(records: list[Record]) -> None:
    found = [(kind, rule, len(group)) for kind, rule, group in border.groups(records)]
    assert found == [("crop_flip", "random", 1), ("crop_flip", "gradient", 2), ("crop_flip", "momentum", 1),
                     ("mirror_crop_flip", "random", 1), ("mirror_crop_flip", "gradient", 1),
                     ("mirror_crop_flip", "momentum", 1)]
    assert border.complete(records) and not border.complete(records[:-1]) and not border.complete(records[:1])


def test_accuracies_are_of_the_last_epoch_beside_the_papers(records: list[Record]) -> None:
    row = border.accuracies(records).set_index("rule").loc["gradient"]
    assert row["black, test"] == "61.00 ± 1.41" and row["black, validation"] == "62.00 ± 1.41"
    assert row["black, seeds"] == "2" and row["mirrored, test"] == "60.00 (one seed)"
    assert row["the paper, test"] == "65.83 ± 0.43"
    assert border.accuracies(records[:1]).empty and not any("SNFS" in name for name in row.index)
    other = replace(records[1], config=records[1].config.but(augment="mirror_crop_flip", normalise="snfs"))
    row = border.accuracies([*records, other]).set_index("rule").loc["gradient"]
    assert row["mirrored, SNFS's constants, test"] == "62.00 (one seed)" and row["mirrored, test"] == "60.00 (one seed)"


def test_shares_of_edge_and_corners_of_known_maps() -> None:
    assert border.outermost(edges().sum(axis=0)) == pytest.approx((0.25, 0.0625))
    assert border.outermost(even().sum(axis=0)) == pytest.approx((0.4375, 0.0625))
    corner = np.zeros((32, 32), int)
    corner[30, 1] = 5
    assert border.outermost(corner) == pytest.approx((1, 1))


def test_wiring_counts_the_end_of_each_run(records: list[Record]) -> None:
    frame = border.wiring(records)
    assert len(frame) == 7
    assert (frame["dormant"] == 4).all() and (frame["isolated"] == 4).all() and (frame["largest"] == 50).all()
    black = frame["border"] == "black"
    assert frame.loc[black, "edge"].to_numpy() == pytest.approx(25)
    assert frame.loc[~black, "edge"].to_numpy() == pytest.approx(43.75)


def test_spans_say_one_number_where_there_is_one(records: list[Record]) -> None:
    frame = border.wiring(records)
    frame.loc[(frame["rule"] == "gradient") & (frame["seed"] == 1), "dormant"] = 9
    spans = border.spans(frame).set_index(["border", "rule"])
    assert spans.loc[("black", "gradient"), ["seeds", "dormant", "edge"]].tolist() == [2, "4 to 9", "25.0"]
    assert spans.loc[("mirrored", "random"), ["dormant", "edge", "corners"]].tolist() == ["4", "43.8", "6.2"]


def test_the_figure_shows_mean_maps_and_marks_the_frame(records: list[Record], tmp_path) -> None:
    fig, frame = border.figure(records)
    panels = [ax for ax in fig.axes if not hasattr(ax, "_colorbar")]
    assert [ax.get_title() for ax in panels[:3]] == ["random growth", "gradient growth", "momentum growth"]
    mean = frame[(frame["border"] == "black") & (frame["rule"] == "gradient")]
    assert (mean["seeds"] == 2).all()
    assert np.array_equal(mean.pivot(index="y", columns="x", values="value"), 1.5 * edges().sum(axis=0))
    assert np.array_equal(panels[1].collections[0].get_array(), 1.5 * edges().sum(axis=0))
    assert [ax.collections[0].get_clim() for ax in panels] == [(0, 12)] * 3 + [(0, 1)] * 3
    (line,) = panels[0].patches
    assert (line.get_x(), line.get_y(), line.get_width(), line.get_height()) == (4, 4, 24, 24)  # cells begin at 0
    save_figure(fig, "border", data=frame, alt="maps of hand-made networks", out=tmp_path, profile="quick")
    assert check_figure(tmp_path, "border") == []


def test_the_exponent_is_of_both_hidden_layers_and_the_isolated_of_the_first(tiny: Record) -> None:
    record = made(tiny, even(), grow="random", augment="crop_flip")
    record.in_degree["fc2"][-1][:3], record.out_degree["fc3"][-1][:3] = 0, 0
    row = border.wiring([record]).iloc[0]
    assert row["isolated"] == 4 and row["dormant"] == 4 + 3
    degrees = np.concatenate([np.zeros(7, int), np.arange(11, 47), np.full(17, 50)])
    assert row["alpha"] == pytest.approx(fit_tail(degrees, record.thresholds.high).alpha)
