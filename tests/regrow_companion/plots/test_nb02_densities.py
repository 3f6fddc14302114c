"""Densities per layer: against the paper's counts, against arithmetic by hand, and what the picture shows of them."""

from __future__ import annotations

from math import prod

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from regrow_companion.plots import nb02_densities as densities
from regrow_companion.study import MODELS
from regrow_companion.style import STYLE, unlabelled_axes


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return densities.layer_densities()


def layers(frame: pd.DataFrame, network: str, init: str) -> pd.DataFrame:
    return frame[(frame["network"] == network) & (frame["initialisation"] == init)].set_index("layer")


def test_the_five_networks_of_the_paper_are_there() -> None:
    assert sorted(densities.NETWORKS) == sorted(MODELS)


def test_mlp_has_the_papers_connections(frame: pd.DataFrame) -> None:
    erk = layers(frame, "mlp", "erk")
    assert erk["connections"].to_dict() == {"fc1": 129_918, "fc2": 48_719, "fc3": 5_120}
    assert erk["number"].tolist() == [1, 2, 3] and erk["shape"].tolist() == ["1024x3072", "512x1024", "10x512"]


@pytest.mark.parametrize(("init", "conv1"), [("uniform", 0.05), ("er", 0.565), ("erk", 0.478), ("erk_printed", 0.431)])
def test_convnet_tells_the_formulas_apart(frame: pd.DataFrame, init: str, conv1: float) -> None:
    assert layers(frame, "convnet", init).loc["conv1", "density"] == pytest.approx(conv1, abs=5e-4)


def test_a_budget_is_spent_to_the_last_connection(frame: pd.DataFrame) -> None:
    for (_, _), group in frame.groupby(["network", "initialisation"]):
        assert group["connections"].sum() == round(0.05 * group["weights"].sum())
        assert (abs(group["connections"] - group["density"] * group["weights"]) < 1).all()
        assert group["weights"].tolist() == [prod(map(int, shape.split("x"))) for shape in group["shape"]]


def test_shortcuts_of_a_resnet_are_nearly_dense_only_under_erk(frame: pd.DataFrame) -> None:
    """A 1x1 kernel costs ERK a ninth of the weights of a 3x3 one for the same number of channels; ER looks away."""
    shortcut = "stage2.0.shortcut.conv"
    assert layers(frame, "resnet56", "erk").loc[shortcut, "density"] > 0.9
    assert layers(frame, "resnet56", "er").loc[shortcut, "density"] < 0.12


def test_another_density_and_network() -> None:
    half = densities.layer_densities(["convnet"], density=0.5)
    assert set(half["network"]) == {"convnet"}
    assert layers(half, "convnet", "erk")["connections"].sum() == round(0.5 * 94_304)


def test_figure_draws_the_frame_in_percent_and_names_everything(frame: pd.DataFrame) -> None:
    fig, data = densities.density_figure()
    pd.testing.assert_frame_equal(data, frame)
    assert len(fig.axes) == 5 and unlabelled_axes(fig) == []
    for network, ax in zip(densities.NETWORKS, fig.axes, strict=True):
        for (init, look), line in zip(densities.LOOKS.items(), ax.lines, strict=False):
            assert line.get_label() == look.label
            assert np.allclose(line.get_ydata(), 100 * layers(frame, network, init)["density"])
        assert ax.get_yscale() == "log" and ax.get_ylim()[1] > 100
    assert [text.get_text() for text in fig.legends[0].get_texts()] == [look.label for look in densities.LOOKS.values()]
    assert [text.get_text() for text in fig.axes[-1].texts] == ["1×1 shortcut"] * 2
    assert not plt.get_fignums()


def test_figure_of_one_shallow_network() -> None:
    fig, data = densities.density_figure(["mlp"], density=0.1)
    assert len(fig.axes) == 1 and set(data["network"]) == {"mlp"} and unlabelled_axes(fig) == []


def test_no_initialisation_looks_like_a_strategy() -> None:
    strategies = {STYLE[name].colour for name in ("random", "gradient", "momentum", "static")}
    assert not strategies & {look.colour for look in densities.LOOKS.values()}
