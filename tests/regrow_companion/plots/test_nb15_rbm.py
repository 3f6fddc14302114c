"""Figures 15 and 16, learning and samples: panels in the paper's order, and data that is what is drawn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from regrow import data, rbm, train
from regrow.config import RunConfig
from regrow.determinism import generator
from regrow.record import Record
from regrow_companion import figures, study, style
from regrow_companion.plots import nb15_rbm as plots
from regrow_companion.plots.nb11_heat_maps import input_maps

TINY = RunConfig(**study.RBM | {"model": "rbm-small", "dataset": "fashion_mnist_small", "train_limit": 200,
                                "batch_size": 20, "epochs": 3, "update_interval": 6})


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Two strategies, two seeds of the small machine."""
    dataset = data.load(TINY.dataset, image_format="native", train_limit=TINY.train_limit)
    return [train.finish(train.start(TINY.but(grow=grow, seed=seed), dataset, engine="sparse"), dataset)
            for grow in ("random", "gradient") for seed in (0, 1)]


@pytest.fixture(scope="module")
def both_sizes(records: list[Record]) -> list[Record]:
    """The same records beside themselves, as if of the big machine: learning reads nothing but their measures."""
    return [dataclasses.replace(record, config=record.config.but(model="rbm-big")) for record in records] + records


@pytest.mark.parametrize("draw", [plots.figure15, plots.figure16])
def test_heat_maps_of_visible_degrees(records, draw, tmp_path):
    fig, frame = draw(records)
    panels = [ax for ax in fig.axes if not hasattr(ax, "_colorbar")]
    assert len(panels) == 2 * 6 and panels[0].get_title() == "untrained"
    assert [ax.get_ylabel() for ax in panels[::6]] == ["random (N=2)", "gradient (N=2)"]
    assert panels[0].collections[0].get_array().shape == (28, 28)
    limits = {ax.collections[0].get_clim() for ax in panels}
    values = frame["value"].to_numpy()
    assert limits == {(0, np.quantile(values, plots.SHOWN))}
    assert fig.axes[-1]._colorbar.extend == "max", "a few values lie above the scale"
    last = frame[(frame["method"] == "gradient") & (frame["epoch"] == 3)].sort_values(["y", "x"])["value"]
    mean = (input_maps(records[2])[5] + input_maps(records[3])[5]) / 2
    assert np.array_equal(last.to_numpy().reshape(28, 28), mean)
    assert (frame.groupby(["method", "epoch"])["value"].sum() == 9800).all()
    check(fig, frame, tmp_path)


def test_learning_has_a_row_of_three_panels_for_each_size(both_sizes, tmp_path):
    fig, frame = plots.learning(both_sizes)
    panels = fig.axes
    assert len(panels) == 6 and all(len(ax.lines) == 2 for ax in panels)
    assert panels[0].get_title(loc="left") == "rbm-big, 1000 hidden units"
    assert panels[3].get_title(loc="left") == "rbm-small, 250 hidden units"
    assert len(frame) == 2 * 2 * 3 * 3 and set(frame["seeds"]) == {2}
    record_a, record_b = both_sizes[4:6]
    free, held, error = rbm.MEASURES
    drawn = frame[(frame["model"] == "rbm-small") & (frame["method"] == "random")].groupby("measure", sort=False)
    wanted = {"free energy, training": lambda r: r.measures[free],
              "free energy, validation - training": lambda r: r.measures[held] - r.measures[free],
              "reconstruction error": lambda r: r.measures[error]}
    assert list(drawn.groups) == list(wanted)
    for (name, series), ax in zip(wanted.items(), panels[3:], strict=True):
        pair = np.stack([series(record_a), series(record_b)])
        part = drawn.get_group(name)
        assert np.allclose(part["mean"], pair.mean(0)) and np.allclose(part["sd"], pair.std(0, ddof=1))
        assert np.allclose(ax.lines[0].get_ydata(), pair.mean(0)) and ax.lines[0].get_xdata().tolist() == [1, 2, 3]
    check(fig, frame, tmp_path)


def test_one_seed_has_no_spread(records):
    _, frame = plots.learning(records[:1])
    assert frame["sd"].isna().all() and set(frame["seeds"]) == {1}


def test_samples_show_images_reconstructions_and_chains(records, tmp_path):
    fig, frame = plots.samples(records, at=(1, 3))
    assert len(fig.axes) == 2 * 4
    stages = ["image", "reconstruction", "1 Gibbs step", "3 Gibbs steps"]
    assert [ax.get_title() for ax in fig.axes[:4]] == stages == list(dict.fromkeys(frame["stage"]))
    assert [ax.get_ylabel() for ax in fig.axes[::4]] == ["random", "gradient"]
    first = records[0]
    machine, images = rbm.of_record(first), rbm.examples_of(first)
    chains = rbm.gibbs(machine, images, (1, 3), generator("gibbs chain", 0))
    of_random = frame[frame["method"] == "random"].groupby("stage", sort=False)
    for stage, wanted in zip(stages, (images, rbm.reconstruct(machine, images), *chains), strict=True):
        grey = of_random.get_group(stage).filter(regex=r"^x\d").to_numpy()
        assert np.allclose(grey.reshape(9, 784) / 255, wanted, atol=0.002)
    drawn = fig.axes[0].images[0].get_array()
    assert drawn.shape == (84, 84)
    assert np.array_equal(drawn[28:56, 56:84], images[3 + 2].view(28, 28)), "row 1, column 2 is image 5"
    assert torch.equal(images, rbm.grey(torch.from_numpy(records[3].final["examples"])[:, None])), "the same for all"
    check(fig, frame, tmp_path)


def check(fig, frame, tmp_path) -> None:
    """It can be saved: labelled, with data and an alternative text."""
    assert not style.unlabelled_axes(fig) and not frame.empty
    figures.save_figure(fig, "fig15", data=frame, alt="Boltzmann machines of Appendix D", out=tmp_path,
                        profile="quick")
    assert figures.check_figure(tmp_path, "fig15") == []
