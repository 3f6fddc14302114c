"""Figures 1, 4 and 5: the laws are normalised, the exact distribution is what masks follow, the frames are the plot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.container import ErrorbarContainer
from matplotlib.patches import StepPatch
from scipy import stats

from regrow import RunConfig, metrics, sparsity
from regrow.record import Record
from regrow.store import Store
from regrow_companion import figures, study
from regrow_companion.plots import nb04_initial_degrees as initial_degrees
from regrow_companion.plots import nb09_degrees as degrees

TINY = {"model": "mlp", "hidden": (20, 10), "train_limit": 256, "epochs": 2, "update_interval": 1}
PAPER = study.runs("fig05", "paper")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    store = Store(tmp_path_factory.mktemp("store"))
    return [store.ensure(RunConfig(**TINY, grow=grow, seed=seed)) for grow in study.STRATEGIES for seed in (0, 1)]


# ---------------------------------------------------------------------------------------------------- theory

def test_the_two_laws_are_distributions_with_the_mean_they_promise():
    k = np.arange(2_000_000)
    heavy = initial_degrees.power_law(k, 3.5, 4), initial_degrees.power_law_mean(3.5, 4)
    for pmf, mean in ((initial_degrees.poisson(k, 10.5), 10.5), heavy):
        assert pmf.sum() == pytest.approx(1, abs=1e-9)
        assert pmf @ k == pytest.approx(mean, rel=1e-6)


def test_power_law_by_hand_and_its_limits():
    assert initial_degrees.power_law([0, 1, 2, 4], 2.0) == pytest.approx(np.array([0, 1, 1 / 4, 1 / 16]) * 6 / np.pi**2)
    assert initial_degrees.power_law([2, 3, 6], 2.5, 3)[0] == 0
    assert initial_degrees.power_law(6, 2.5, 3) / initial_degrees.power_law(3, 2.5, 3) == pytest.approx(2**-2.5)
    assert initial_degrees.power_law_mean(2.0) == np.inf
    for alpha, k_min in ((1.0, 1), (2.5, 0)):
        with pytest.raises(ValueError, match="power law needs"):
            initial_degrees.power_law(3, alpha, k_min)


def test_figure1_draws_both_laws_with_one_mean(tmp_path: Path):
    fig, data = initial_degrees.figure1()
    assert [ax.get_xscale() for ax in fig.axes] == ["linear", "log"]
    assert set(data["panel"]) == {"linear", "log-log"} and set(data["law"]) == {"Poisson", "power law"}
    line = data[(data["panel"] == "log-log") & (data["law"] == "power law")]
    slopes = np.diff(np.log(line["probability"])) / np.diff(np.log(line["degree"]))
    assert slopes == pytest.approx(-2.5)  # straight
    figures.save_figure(fig, "fig01", data=data, alt="Poisson beside a power law.", out=tmp_path, profile="paper")
    assert figures.check_figure(tmp_path, "fig01") == []


# ---------------------------------------------------------------------------------------------------- before training

def test_paper_network_starts_with_the_counts_the_paper_implies():
    shapes, counts = initial_degrees.initial_wiring(RunConfig(dataset="cifar10"))
    assert counts == {"fc1": 129_918, "fc2": 48_719, "fc3": 5_120}
    means = [pmf @ np.arange(len(pmf)) for pmf in initial_degrees.expected_pmfs(shapes, counts)]
    assert means == pytest.approx([129_918 / 3072, (129_918 + 48_719) / 1024, 48_719 / 512 + 10, 512])


def test_expected_distribution_is_that_of_many_random_masks():
    shapes, counts = {"fc1": (6, 8), "fc2": (3, 6), "fc3": (2, 3)}, {"fc1": 17, "fc2": 7, "fc3": 6}
    found: list[list[np.ndarray]] = []
    for seed in range(1500):
        masks = {name: mask.numpy() for name, mask in sparsity.random_masks(shapes, counts, seed).items()}
        found.append(metrics.total_degrees({n: metrics.in_degree(m) for n, m in masks.items()},
                                         {n: metrics.out_degree(m) for n, m in masks.items()}, list(masks)))
    for pmf, layer in zip(initial_degrees.expected_pmfs(shapes, counts), zip(*found, strict=True), strict=True):
        assert pmf.sum() == pytest.approx(1)
        assert np.bincount(np.concatenate(layer), minlength=len(pmf)) / np.size(layer) == pytest.approx(pmf, abs=0.02)


def test_initial_degrees_are_those_training_starts_from():
    from regrow import train
    from regrow.data import load

    config = RunConfig(dataset="cifar10", hidden=(20, 10), grow="momentum", seed=3)
    images = load("fashion_mnist_small", train_limit=64)  # enter as 3 x 32 x 32, with 10 classes, as CIFAR-10 does
    masks = train.start(config, images).engine.masks
    received = {name: metrics.in_degree(mask.numpy()) for name, mask in masks.items()}
    sent = {name: metrics.out_degree(mask.numpy()) for name, mask in masks.items()}
    started = metrics.total_degrees(received, sent, list(masks))
    assert [k.tolist() for k in initial_degrees.initial_degrees(config)] == [k.tolist() for k in started]


def test_figure4_shows_two_humps_equal_for_all_strategies(tmp_path: Path):
    fig, data = initial_degrees.figure4([config for config in PAPER if config.seed < 2])
    assert [ax.get_title() for ax in fig.axes] == [f"{s} (N=2 seeds)" for s in study.STRATEGIES]
    for ax, (_, panel) in zip(fig.axes, data.groupby("strategy", sort=False), strict=True):
        bars, = (found for found in ax.containers if isinstance(found, ErrorbarContainer))
        tops = np.array([segment[1, 1] for segment in bars.lines[2][0].get_segments()])
        assert tops == pytest.approx((panel["P(k)"] + panel["sd"]).to_numpy())
    panels = [panel.drop(columns="strategy").reset_index(drop=True) for _, panel in data.groupby("strategy")]
    for panel in panels:
        pd.testing.assert_frame_equal(panel, panels[0])
        width = panel["degree to"] - panel["degree from"] + 1
        assert (panel["P(k)"] * width).sum() == pytest.approx(1)
        assert (panel["P(k) exact"] * width).sum() == pytest.approx(1, abs=1e-4)
        assert np.abs(panel["P(k)"] - panel["P(k) exact"]).max() < 0.003
    low, valley, high = (panels[0][panels[0]["degree from"].between(*span)]["P(k)"].max()
                         for span in ((96, 108), (132, 140), (168, 180)))
    assert low > 10 * valley < high
    figures.save_figure(fig, "fig04", data=data, alt="Two humps in three panels.", out=tmp_path, profile="paper")
    assert figures.check_figure(tmp_path, "fig04") == []


def test_poisson_is_wider_than_the_exact_law():
    fig, table = initial_degrees.poisson_check(PAPER[0])
    assert len(fig.axes) == 3
    assert (table["std exact"] < table["std Poisson"]).all()
    layers = stats.hypergeom(1024 * 512, 1024, 48_719)  # in-degree of hidden 2; its out-degree is always 10
    assert table["std exact"][2] == pytest.approx(layers.std())
    assert table["distance to Poisson"].between(0, 0.1).all() and table["distance to Poisson"].idxmax() == 2


# ---------------------------------------------------------------------------------------------------- during training

@given(st.lists(st.integers(0, 5000), min_size=1, max_size=60), st.integers(1, 15))
def test_bins_hold_every_degree_once(values: list[int], per_decade: int):
    edges = degrees.log_bins(max(values), per_decade)
    assert edges[0] == 0 and edges[1] == 1 and edges[-1] > max(values) and (np.diff(edges) > 0).all()
    assert (degrees.binned(values, edges) * np.diff(edges)).sum() == pytest.approx(1)
    centres = degrees.bin_centres(edges)
    assert (edges[:-1] <= centres).all() and (centres <= edges[1:] - 1).all()


def test_update_at_a_moment_and_hidden_degrees(records: list[Record]):
    record = records[0]
    assert record.update_at(0) == 0
    assert record.update_at(5) == len(record.steps) - 1
    assert record.hidden_degrees().shape == (len(record.steps), 30)
    for moment in range(6):
        masks = record.masks(moment)
        by_hand = [masks["fc1"].sum(1) + masks["fc2"].sum(0), masks["fc2"].sum(1) + masks["fc3"].sum(0)]
        index = record.update_at(moment)
        assert record.hidden_degrees(index).tolist() == np.concatenate(by_hand).tolist()


def test_figure5_frame_holds_what_the_records_say(records: list[Record], tmp_path: Path):
    fig, data = degrees.figure5(records)
    assert len(fig.axes) == 5
    assert data.groupby("row")["paper epoch"].first().tolist() == list(degrees.PAPER_EPOCHS)
    assert data["epoch"].min() > 0 and set(data["strategy"]) == set(study.STRATEGIES) and (data["seeds"] == 2).all()
    last = data[(data["row"] == 5) & (data["strategy"] == "gradient")]
    ends = [record.hidden_degrees(-1).max() for record in records if record.config.grow == "gradient"]
    end = last[last["what"] == "largest degree"].iloc[0]
    assert end["degree"] == np.mean(ends) and end["sd"] == pytest.approx(np.std(ends, ddof=1))
    edges = degrees.log_bins(max(int(record.hidden_degrees().max()) for record in records))
    assert (last[last["what"] == "P(k)"]["value"] * np.diff(edges)).sum() == pytest.approx(1)
    figures.save_figure(fig, "fig05", data=data, alt="Distributions in five rows.", out=tmp_path, profile="quick")
    assert figures.check_figure(tmp_path, "fig05") == []


def test_figure5_says_what_a_reader_cannot_see(records: list[Record], tmp_path: Path):
    late = Store(tmp_path).ensure(RunConfig(**TINY | {"sparsity": 0.5, "update_interval": 3}, grow="gradient"))
    assert late.connections["fc3"] == 100  # dense: hidden 2 keeps ten outputs a neuron
    for of, floor in (([late], True), (records, False)):
        fig, data = degrees.figure5(of)
        for row, ax in enumerate(fig.axes, start=1):
            values = data[(data["row"] == row) & (data["what"] == "P(k)")].groupby("strategy", sort=False)["value"]
            lines = [line.get_ydata() for line in ax.lines[: 2 * len(values) : 2]]
            for line, (_, expected) in zip(lines, values, strict=True):
                assert line == pytest.approx(expected.where(expected > 0).to_numpy(), nan_ok=True)  # no line over a gap
            zeros = ", ".join(f"{s} {100 * value.iloc[0]:.0f} %" for s, value in values)
            assert ax.texts[0].get_text() == f"degree 0: {zeros}"
            title, step = ax.get_title(loc="left"), of[0].moments[row].step
            assert title.startswith(f"epoch {of[0].moments[row].epoch:.3g} of 2 (paper: ")
            assert ("wiring of the last update" in title) == (step not in of[0].steps)
        assert ("at 10: hidden 2 without inputs" in [text.get_text() for text in ax.texts]) == floor


def test_figure5_of_one_seed_has_no_band(records: list[Record]):
    _, data = degrees.figure5(records[:1])
    assert (data["sd"] == 0).all() and (data["seeds"] == 1).all()


def test_spread_leaves_out_only_what_never_changes(records: list[Record]):
    spread = degrees.degree_spread(records)
    assert len(spread) == sum(len(record.steps) for record in records)
    constant = (spread["std"] ** 2 - spread["std within"] ** 2).to_numpy()
    assert constant == pytest.approx(constant[0]) and constant[0] > 0
    assert spread["std"].iloc[0] == pytest.approx(records[0].hidden_degrees(0).std())
    assert len(degrees.spread_figure(spread).axes) == 2


def test_widening_by_hand():
    spread = pd.DataFrame({"strategy": ["random"] * 8, "seed": [0] * 4 + [1] * 4, "update": [0, 1, 2, 3] * 2,
                           "std within": [1.0, 2, 5, 4, 3, 4, 11, 8]})
    row = degrees.widening(spread, updates=(0, 1, 9)).loc["random"]
    assert row.to_dict() == {"after 0": 1, "after 1": 1.5, "peak": 4, "peak at update": 2, "end": 3,
                             "doubled at update": 2}


def test_network_drawing_labels_every_neuron_with_its_degree():
    masks = [np.array([[1, 1, 0], [0, 1, 1]], bool), np.array([[1, 0], [1, 1]], bool)]
    texts = [text.get_text() for text in initial_degrees.network_drawing(masks).axes[0].texts]
    assert sorted(t for t in texts if t.isdigit()) == sorted("1214312")
    assert {"input", "hidden 1", "output"} <= set(texts)


def test_figure5s_band_is_the_deviation_of_a_sample(records: list[Record]):
    _, data = degrees.figure5(records)
    edges = degrees.log_bins(max(int(record.hidden_degrees().max()) for record in records))
    for row in (1, 5):
        shown = data[(data["row"] == row) & (data["strategy"] == "momentum") & (data["what"] == "P(k)")]
        lines = [degrees.binned(record.hidden_degrees(record.update_at(row)), edges) for record in records
                 if record.config.grow == "momentum"]
        assert shown["sd"].to_numpy() == pytest.approx(np.abs(lines[0] - lines[1]) / np.sqrt(2))  # of two seeds
        assert shown["value"].to_numpy() == pytest.approx((lines[0] + lines[1]) / 2) and shown["sd"].max() > 0


def test_figure5s_grey_is_before_training(records: list[Record]):
    fig, _ = degrees.figure5(records)
    edges = degrees.log_bins(max(int(record.hidden_degrees().max()) for record in records))
    expected = np.mean([degrees.binned(record.hidden_degrees(0), edges) for record in records], axis=0)
    for ax in fig.axes:
        grey, = (patch for patch in ax.patches if isinstance(patch, StepPatch))
        assert grey.get_data().values == pytest.approx(expected) and grey.get_data().edges.tolist() == edges.tolist()


def test_twice_the_spread_is_doubled():
    spread = pd.DataFrame({"strategy": "random", "seed": 0, "update": [0, 1, 2], "std within": [1.0, 2.0, 3.0]})
    assert degrees.widening(spread).loc["random", "doubled at update"] == 1
    assert np.isnan(degrees.widening(spread[:1]).loc["random", "doubled at update"])
