"""Winning tickets: pruning, rewinding and their controls; strengths by hand; Figures B17 and B18."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from regrow import data, train
from regrow.config import RunConfig
from regrow.data import Dataset
from regrow.errors import ConfigError
from regrow.sparsity import random_masks
from regrow_companion import study, style
from regrow_companion.section8 import cases, nb23_plots, strength
from regrow_companion.section8 import nb23_tickets as tickets
from regrow_companion.section8.nb23_tickets import Network, initial, plant, taken, trained

RUN = RunConfig(hidden=(20, 12), train_limit=1280, epochs=2, update_interval=5, **study.DENSE)
CASE = tickets.Ticket(RUN, rounds=3, fraction=0.5, rewind=4, controls=(2, 3), n_sets=20)
PARTS = ("masks", "weights", "momenta", "biases", "bias_momenta")


@pytest.fixture(autouse=True)
def closed() -> object:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return data.load(RUN.dataset, image_format=RUN.image_format, train_limit=RUN.train_limit)


@pytest.fixture(scope="module")
def early(dataset: Dataset) -> Network:
    """The dense network after CASE.rewind steps."""
    found = []
    run = train.start(RUN, dataset)
    train.advance(run, dataset, save=lambda run: found.append(taken(run.engine)) if run.step == CASE.rewind else None)
    return found[0]


@pytest.fixture(scope="module")
def outcomes(dataset: Dataset) -> list[tickets.Trained]:
    return list(tickets.outcomes(CASE, dataset, lambda step: None))


@pytest.fixture(scope="module")
def performed() -> tuple[cases.Tables, list[int]]:
    told: list[int] = []
    return tickets.perform(CASE, None, told.append)[0], told


def same(a: Network, b: Network) -> bool:
    return all(torch.equal(getattr(a, part)[name], getattr(b, part)[name]) for part in PARTS for name in a.masks)


def by_kind(found: list[tickets.Trained], kind: str) -> dict[int, Network]:
    return {outcome.round: outcome.network for outcome in found if outcome.kind == kind}


def test_a_ticket_loses_exactly_its_fraction_every_round(outcomes: list[tickets.Trained]) -> None:
    left, found = {"fc1": 784 * 20, "fc2": 20 * 12, "fc3": 120}, by_kind(outcomes, "ticket")
    assert list(found) == [0, 1, 2, 3]
    for network in found.values():
        assert network.connections == left
        assert all((network.weights[name][~mask] == 0).all() for name, mask in network.masks.items())
        left = {name: n - round(n * (0.25 if name == "fc3" else 0.5)) for name, n in left.items()}
    for before, after in zip(list(found.values())[:-1], list(found.values())[1:], strict=True):
        for name, mask in after.masks.items():
            gone = before.masks[name] & ~mask
            assert not (mask & ~before.masks[name]).any()
            size = before.weights[name].abs()
            assert size[gone].max() <= size[mask].min(), "the smallest went"


def test_training_begins_where_it_should(dataset: Dataset, early: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def spy(config: RunConfig, dataset: Dataset, network: Network, step: int = 0, **rest: object) -> object:
        begun.append((config.method, network, step))
        return trained(config, dataset, network, step, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(tickets, "trained", spy)
    found = list(tickets.outcomes(CASE, dataset, lambda step: None))
    first, other = initial(RUN, dataset), initial(RUN.but(seed=tickets.OTHER_SEED), dataset)
    begins = {"ticket": ("static", early, CASE.rewind), "static": ("static", early, CASE.rewind),
              "reinitialised": ("static", other, 0)} | {rule: (rule, first, 0) for rule in study.STRATEGIES}
    assert [begun[0][0], begun[0][2]] == ["dense", 0] and same(begun[0][1], first)
    for outcome, (method, network, step) in zip(found[1:], begun[1:], strict=True):
        wanted, source, at = begins[outcome.kind]
        assert (method, step) == (wanted, at) and same(network, source.masked(network.masks))
    assert not torch.equal(first.weights["fc1"], other.weights["fc1"])


def test_rewinding_without_pruning_repeats_the_dense_training(dataset: Dataset, early: Network,
                                                               outcomes: list[tickets.Trained]) -> None:
    again, _, test = trained(RUN, dataset, early, CASE.rewind)
    assert same(again, outcomes[0].network) and test == outcomes[0].test


@pytest.mark.parametrize("engine", ["dense", "sparse"])
def test_a_planted_network_is_what_the_engine_then_holds(engine: str, dataset: Dataset, early: Network) -> None:
    network = early.masked(tickets.pruned(early, 0.5))
    run = train.start(RUN.but(sparsity=0.5, init="uniform", **study.STATIC), dataset, engine=engine)
    plant(run.engine, network)
    assert same(taken(run.engine), network)


def test_controls_and_rules_have_as_many_connections_in_each_layer(outcomes: list[tickets.Trained]) -> None:
    ticket = by_kind(outcomes, "ticket")
    for kind in ("reinitialised", "static"):
        control = by_kind(outcomes, kind)
        assert list(control) == [2, 3]
        assert all(network.connections == ticket[at].connections for at, network in control.items())
        alike = [torch.equal(network.masks["fc1"], ticket[at].masks["fc1"]) for at, network in control.items()]
        assert set(alike) == {kind == "reinitialised"}
    start = tickets.at_random(ticket[3], seed=0)
    for rule in study.STRATEGIES:
        network = by_kind(outcomes, rule)[3]
        assert network.connections == ticket[3].connections
        assert not torch.equal(network.masks["fc1"], start["fc1"]), "it was rewired"
    assert torch.equal(by_kind(outcomes, "static")[3].masks["fc1"], start["fc1"])


def test_the_same_case_gives_the_same_tables(performed: tuple[cases.Tables, list[int]]) -> None:
    first, told = performed
    again, about = tickets.perform(CASE, None, lambda step: None)
    assert tuple(first) == tickets.TABLES
    for name, table in first.items():
        pd.testing.assert_frame_equal(table, again[name], check_exact=True)
    assert told == list(range(1, tickets.steps(CASE) + 1))
    assert about["seconds"] > 0 and len(first["rounds"]) == 4 + 2 * 2 + 3
    assert set(first["neurons"].groupby(["kind", "round"]).size()) == {32}


def test_impossible_cases_are_refused() -> None:
    for wrong in ({"run": RunConfig(hidden=(20, 12))}, {"rewind": 20}):
        with pytest.raises(ConfigError, match="sparsity=0|rewind must be a step of the run, 0 to 19"):
            replace(CASE, **wrong)


def test_profiles_go_seed_by_seed() -> None:
    for profile in ("quick", "paper"):
        chosen = tickets.planned(profile)
        seeds = [case.run.seed for case in chosen]
        assert seeds == sorted(seeds) and len({case.key for case in chosen}) == len(chosen)
    assert {case.run.hidden for case in chosen} == {(300, 100)}


def test_strength_by_hand() -> None:
    weights = {"fc1": torch.tensor([[1.0, -2, 0], [0, 0, 0], [0.5, 0.25, -4]]),
               "fc2": torch.tensor([[-3.0, 0, 0], [1, 0, 2], [0, 0, -0.5]])}
    frame = strength.neurons({name: weight != 0 for name, weight in weights.items()}, weights)
    assert frame["in_degree"].tolist() == [2, 0, 3] and frame["out_degree"].tolist() == [2, 0, 2]
    assert frame["in_strength"].tolist() == [3, 0, 4.75] and frame["out_strength"].tolist() == [4, 0, 2.5]
    assert set(frame["layer"]) == {"hidden 1"}


def test_inequality_by_hand_and_by_chance() -> None:
    assert strength.spread([5, 5, 5]).gini == 0 and strength.spread([0, 0, 0, 8]).gini == 1
    x = np.array([1, 2, 4, 9])
    differences = np.abs(x[:, None] - x).sum() / 12
    assert np.isclose(strength.spread(x).gini, differences / (2 * x.mean()))
    shapes, counts = {"fc1": (30, 50), "fc2": (20, 30)}, {"fc1": 300, "fc2": 90}
    masks = [random_masks(shapes, counts, seed) for seed in range(100)]
    for layer, chance in strength.chances(masks[0]).items():
        expected = strength.expected_spread(chance)
        found = [strength.spread(strength.degrees(mask)[layer]) for mask in masks]
        assert np.isclose(chance.sum(), 1)
        for name in ("gini", "sd"):
            values = [getattr(one, name) for one in found]
            assert abs(np.mean(values) - getattr(expected, name)) < 4 * np.std(values) / 10 + 0.01 * np.mean(values)


def test_the_exponent_is_found() -> None:
    chance, k = np.random.default_rng(0), np.repeat(np.arange(0, 60), 5)
    exact = strength.exponent(k, 3.0 * k**1.5)
    assert np.isclose([exact.beta, exact.low, exact.high], 1.5).all() and exact.n == 295
    noisy = strength.exponent(k, k**0.8 * chance.lognormal(0, 0.5, len(k)))
    assert noisy.low < 0.8 < noisy.high and noisy.high - noisy.low < 0.3
    assert np.isnan(strength.exponent([3, 3], [1, 2]).beta)
    assert [list(part) for part in strength.ccdf([2, 0, 2, 5])] == [[0, 2, 5], [1, 0.75, 0.25]]


def test_figures_say_what_they_show(performed: tuple[cases.Tables, list[int]]) -> None:
    tables = {name: pd.concat([table.assign(dataset=dataset, seed=seed) for dataset in ("mnist", "fashion_mnist")
                               for seed in (0, 1)]) for name, table in performed[0].items()}
    fig, frame = nb23_plots.figure_b17(tables["rounds"], tables["layers"])
    assert not style.unlabelled_axes(fig) and len(fig.axes) == 4
    assert set(frame["curve"]) == {*nb23_plots.CONTROLS, *nb23_plots.LAYERS}
    fig, frame = nb23_plots.figure_b18(tables["neurons"])
    assert not style.unlabelled_axes(fig) and len(frame) == 2 * 2 * 5 * 32
    assert set(strength.exponents(tables["neurons"])["side"]) == {"in", "out", "all"}
    assert set(nb23_plots.summary(tables["rounds"])["seeds"]) == {2}


# ---- small cases by hand


def tiny_network() -> Network:
    """Two inputs, three hidden neurons with 2, 1 and 0 inputs and 1, 0 and 0 outputs, one output; two are its own."""
    masks = {"fc1": torch.tensor([[1, 1], [1, 0], [0, 0]], dtype=torch.bool),
             "fc2": torch.tensor([[1, 0, 0]], dtype=torch.bool)}
    return Network(masks, {}, {}, {}, {})


def test_a_row_of_a_network_is_about_its_hidden_neurons() -> None:
    row = tickets.rounds_row(CASE, tickets.Trained("ticket", 0, tiny_network(), 70.0, 60.0))
    assert (row["connections"], row["density"], row["largest"]) == (4, 4 / 9, 3)
    assert row["mean_degree"] == pytest.approx(4 / 3) and (row["validation"], row["test"]) == (70, 60)
    assert (row["low"], row["dormant_low"], row["high"], row["dormant_high"]) == (0, 1, 1, 2)


def test_rows_of_layers_by_hand() -> None:
    """In-degrees under random masks: two of six places, three of which are taken, and one of three, one taken."""
    below, hidden = tickets.layer_rows(tickets.Trained("ticket", 1, tiny_network(), 0, 0))
    assert (below["layer"], below["neurons"], below["mean"], below["without"]) == ("input", 2, 1.5, 0)
    assert below["sd"] == pytest.approx(np.sqrt(0.5))
    assert below["sd_chance"] == pytest.approx(np.sqrt(3 * 0.25 * 3 / 5))  # hypergeometric: three of six, three taken
    assert (hidden["layer"], hidden["neurons"], hidden["largest"], hidden["without"]) == ("hidden 1", 3, 3, 1)
    assert hidden["sd"] == pytest.approx(np.sqrt(7 / 3))
    assert hidden["sd_chance"] == pytest.approx(np.sqrt(2 * 0.25 * 4 / 5 + 2 / 9))
    assert hidden["gini"] == pytest.approx(0.75) and hidden["gini"] != hidden["gini_chance"]


def test_which_networks_are_kept_neuron_by_neuron() -> None:
    kept = {(kind, round) for kind in ("ticket", "static", "reinitialised", "random") for round in range(4)
            if tickets.shown(CASE, tickets.Trained(kind, round, tiny_network(), 0, 0))}
    assert kept == {("ticket", 2), ("ticket", 3), ("static", 3), ("random", 3)}  # of three rounds


def test_strength_is_compared_where_there_are_connections() -> None:
    frame = pd.DataFrame({"dataset": "mnist", "kind": "ticket", "round": 1, "layer": "hidden 1",
                          "in_degree": [0, 1, 2, 4], "in_strength": [0.0, 8, 4, 2],
                          "out_degree": [0, 1, 2, 4], "out_strength": [0.0, 2, 4, 8]})
    found = strength.exponents(frame).set_index("side")
    assert found["rho"].drop("all").tolist() == pytest.approx([-1, 1]) and found["n"].eq(3).all()
    assert found["beta"].drop("all").tolist() == pytest.approx([-1, 1])
    assert found.loc["all", "beta"] == pytest.approx(0)  # 10, 8 and 10 on 2, 4 and 8: the first is the last


def test_planted_momentum_is_that_of_the_connections() -> None:
    ones, half = torch.ones(1, 2), torch.tensor([[True, False]])
    network = Network({"fc1": ~half | half}, {"fc1": 3 * ones}, {"fc1": 5 * ones}, {}, {}).masked({"fc1": half})
    assert network.weights["fc1"].tolist() == [[3, 0]] and network.momenta["fc1"].tolist() == [[5, 0]]
