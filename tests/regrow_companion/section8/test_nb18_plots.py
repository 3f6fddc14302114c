"""Figures B1 to B6 and their tables, from synthetic tables whose picture is known."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from regrow_companion import style
from regrow_companion.section8 import nb18_plots
from regrow_companion.section8 import nb19_exploration as exploration
from regrow_companion.section8.nb18_attachment import KINDS
from regrow_companion.study import STRATEGIES


@pytest.fixture(autouse=True)
def closed() -> object:
    yield
    plt.close("all")


@pytest.fixture
def kernel() -> pd.DataFrame:
    """Random growth at chance; score rules linear in k; pruning by 1 / k for random growth, at chance else."""
    rows = []
    for strategy in STRATEGIES:
        for seed in (0, 1):
            for layer, side in nb18_plots.GROUPS:
                for phase in ("first update", "early", "middle", "late"):
                    for k in (4, 8, 16, 32, 64, 128):
                        ratio = {kind: 1.0 for kind in KINDS}
                        ratio["attachment"] = 1.0 if strategy == "random" else k / 22
                        ratio["pruning"] = 22 / k if strategy == "random" else 1.0
                        rows.append({"strategy": strategy, "seed": seed, "phase": phase, "layer": layer, "side": side,
                                     "nodes": "x", "low": k, "high": k + 1, "neurons": 100, "degree": 100 * k}
                                    | {kind: 1000 * r for kind, r in ratio.items()}
                                    | {f"{kind}_chance": 1000.0 for kind in KINDS}
                                    | {f"{kind}_error": 30.0 for kind in KINDS})
    return pd.DataFrame(rows)


@pytest.fixture
def exponents() -> pd.DataFrame:
    value = {"random": 0.0, "gradient": 1.0, "momentum": 1.5}
    chance, known = np.random.default_rng(0), {f"{kind}_information": 100 for kind in KINDS}
    rows = [{"strategy": s, "seed": seed, "step": 10 * u, "epoch": u / 2, "layer": layer, "side": side}
            | {kind: value[s] + chance.normal(0, 0.1) for kind in KINDS} | known
            for s in STRATEGIES for seed in (0, 1) for layer, side in nb18_plots.GROUPS for u in range(1, 41)]
    return pd.DataFrame(rows)


def test_bins_of_all_seeds_are_added_up(kernel: pd.DataFrame) -> None:
    table = nb18_plots.by_degree(kernel)
    assert len(table) == len(kernel) / 2 and (table["neurons"] == 200).all() and (table["seeds"] == 2).all()
    row = table[(table["strategy"] == "gradient") & (table["k"] == 64)].iloc[0]
    assert np.isclose(row["attachment_ratio"], 64 / 22) and np.isclose(row["net"], 2000 * (64 / 22 - 1) / 200)
    assert np.isclose(row["attachment_high"] - row["attachment_ratio"], 1.96 * np.sqrt(2) * 30 / 2000)


def test_slopes_find_a_power_law_on_both_sides_of_the_mean(kernel: pd.DataFrame) -> None:
    found = nb18_plots.slopes(kernel).groupby("strategy")[["below", "above"]].mean()
    assert np.allclose(found.loc["random"], 0, atol=1e-6) and np.allclose(found.loc["gradient"], 1, atol=1e-6)


def test_figures_of_the_kernel(kernel: pd.DataFrame) -> None:
    for draw in (nb18_plots.figure_b1, nb18_plots.figure_b3):
        fig, frame = draw(kernel)
        assert not style.unlabelled_axes(fig) and len(frame)
    assert set(nb18_plots.figure_b1(kernel)[1]["phase"]) == {"early", "late"}


def test_exponents_by_phase_and_over_time(exponents: pd.DataFrame) -> None:
    table = nb18_plots.pooled_exponents(exponents, ("attachment",))
    assert len(table) == 4 * 4 * 3 and (table["seeds"] == 2).all()
    late = table[table["phase"] == "late"].groupby("strategy")["value"].mean()
    assert np.allclose(late[list(STRATEGIES)], [0, 1, 1.5], atol=0.05)
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    fig, frame = nb18_plots.figure_b2(exponents)
    assert not style.unlabelled_axes(fig) and len(frame) == 3 * 4 * 2 * 5


@pytest.fixture
def moments() -> pd.DataFrame:
    rows = [{"strategy": s, "seed": seed, "nodes": nodes, "epoch": epoch, "neurons": 200, "low": 20, "constant": 4,
             "score_0.025": 10, "both_0.025": 5, "degree_score": 0.5, "degree_update": 0.4,
             "grown_in_degree_given_score": np.nan if epoch == 0 else 0.1, "grown_score_given_in_degree": 0.2}
            for s in STRATEGIES for seed in (0, 1) for nodes in nb18_plots.LAYERS for epoch in (0, 5, 10)]
    return pd.DataFrame(rows)


def test_figures_of_dormancy(moments: pd.DataFrame) -> None:
    fig, frame = nb18_plots.figure_b4(moments, 3, "thresholds 3 and 30")
    assert not style.unlabelled_axes(fig)
    assert set(frame.groupby("sense")["percent"].first().round(3)) == {10.0, 5.0, 2.5, 2.0}
    fig, frame = nb18_plots.figure_b6(moments)
    assert not style.unlabelled_axes(fig) and frame["rho"].notna().all()
    shares = nb18_plots.dormant_shares(moments)
    assert (shares["few connections yet active (%)"] == 75).all() and (shares["seeds"] == 2).all()


def test_scatter_shows_every_neuron_of_the_first_moment_of_a_seed() -> None:
    chance = np.random.default_rng(0)
    neurons = pd.DataFrame([{"strategy": s, "seed": seed, "nodes": nodes, "epoch": epoch, "neuron": i,
                             "degree": int(chance.integers(0, 50)), "score": chance.choice([0.0, 1.0]),
                             "gradient": chance.random()}
                            for s in STRATEGIES for seed in (0, 1) for nodes in nb18_plots.LAYERS
                            for epoch in (5.0, 10.0) for i in range(30)])
    fig, frame = nb18_plots.figure_b5(neurons)
    assert not style.unlabelled_axes(fig) and len(frame) == 180 and set(frame["epoch"]) == {5.0}
    assert set(frame["seed"]) == {0}


def test_what_an_update_leaves_by_shell() -> None:
    rows = [{"phase": phase, "strategy": rule, "seed": seed, "nodes": nodes, "side": side, "tenth": tenth,
             "degree": 10 if tenth == 3 else 1000, "kept": 10 if side == "out" else 700 if phase == "late" else 500}
            for phase in ("first update", "early", "late") for rule in STRATEGIES for seed in (0, 1)
            for nodes in nb18_plots.LAYERS for side in ("in", "out") for tenth in (0, 3, 10)]
    fig, frame = nb18_plots.figure_b22(pd.DataFrame(rows))
    assert not style.unlabelled_axes(fig) and set(frame["percent"]) == {60} and set(frame["tenth"]) == {0, 10}
    assert len(frame) == 3 * 2 * 2 * 2


def test_figures_of_exploration() -> None:
    explored = pd.DataFrame([{"key": f"{s}{a}{seed}", "strategy": s, "augment": a, "seed": seed, "epoch": epoch,
                              "percent": 5.0 + epoch, "chance": 5.0 + 2 * epoch, "accuracy": 60.0 + seed}
                             for s in STRATEGIES for a in ("none", "flip") for seed in (0, 1) for epoch in (0, 5, 10)])
    one = explored[explored["augment"] == "none"]
    reliable = pd.DataFrame([{"strategy": "random", "seed": 0, "epoch": epoch, "layer": layer, "places": 100,
                              "explored": 50, "reliable": 10 + epoch} for layer in ("fc1", "fc2") for epoch in (5, 10)])
    fig, frame = exploration.figure_b7(one, reliable)
    assert not style.unlabelled_axes(fig) and len(fig.axes) == 2
    assert frame[frame["panel"] == "reliable"]["percent"].tolist() == [15, 20]
    final = exploration.final(explored)
    assert len(final) == 12 and (final["epoch"] == 10).all()
    assert not style.unlabelled_axes(exploration.figure_b8(final)[0])
