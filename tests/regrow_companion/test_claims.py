"""The ledger: every claim whole, every verdict from an interval, and predicates that tell true from false."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from regrow.config import RunConfig
from regrow.record import Record
from regrow.store import Store
from regrow_companion import claims, study
from regrow_companion.claims import Evidence, accuracy, degrees, power_law, structure
from regrow_companion.claims.judgement import (
    CLAIMS,
    MIXED,
    NOT_MEASURED,
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDABLE,
    Effect,
    Outcome,
    at,
    effect,
    judged,
)
from regrow_companion.tail_tables import POOLED


class Invented(Evidence):
    """Evidence whose accuracies, topology runs and tables a test makes up."""

    def __init__(self, accuracies: dict[RunConfig, list[float]] | None = None,
                 runs: dict[str, list[Record]] | None = None, table: pd.DataFrame | None = None) -> None:
        super().__init__(Store("/nowhere"))
        self.invented = accuracies or {}
        if runs is not None:
            self.__dict__["topology"] = runs
        if table is not None:
            self.__dict__["tails"] = table

    def accuracy(self, config: RunConfig) -> np.ndarray:
        if config.but(seed=0) not in self.invented:
            raise claims.NotMeasured
        return np.array(self.invented[config.but(seed=0)])


def verdict(entries: list[claims.Entry], name: str) -> str:
    return next(outcome.verdict for claim, outcome in entries if claim.id == name)


# ---- intervals and verdicts -----------------------------------------------------------------------------------------

def test_an_interval_is_students_at_the_corrected_level() -> None:
    one = effect("", [1.0, 2.0, 3.0, 4.0, 5.0])
    low, high = one.interval
    assert one.mean == 3 and high - 3 == pytest.approx(3 - low)
    assert (low, high) == pytest.approx(stats.t.interval(1 - 0.05 / CLAIMS, 4, 3, np.sqrt(2.5 / 5)))
    assert effect("", [2.0]).interval == (-np.inf, np.inf) and effect("", [2.0]).verdict == MIXED


def test_ratios_are_averaged_in_logarithms() -> None:
    one = effect("", [0.5, 2.0, 0.5, 2.0], 1.0, ratio=True)
    assert one.mean == pytest.approx(1) and one.interval[0] == pytest.approx(1 / one.interval[1])


@pytest.mark.parametrize(("values", "above", "expected"), [
    ([5.0, 5.1, 4.9, 5.0, 5.2], True, REPRODUCED), ([5.0, 5.1, 4.9, 5.0, 5.2], False, NOT_REPRODUCED),
    ([0.1, -0.1, 0.2, -0.2, 0.0], True, MIXED), ([-3.0, -3.1, -2.9, -3.0, -3.0], True, NOT_REPRODUCED)])
def test_a_verdict_needs_the_whole_interval_on_one_side(values: list[float], above: bool, expected: str) -> None:
    assert effect("", values, above=above).verdict == expected


def test_a_claim_in_parts_holds_if_all_parts_do() -> None:
    yes, no = effect("", [5.0, 5.1, 4.9]), effect("", [-50.0, -50.1, -49.9])
    assert judged(yes, yes).verdict == REPRODUCED and judged(yes, no).verdict == MIXED
    assert judged(no, no).verdict == NOT_REPRODUCED


# ---- the ledger -----------------------------------------------------------------------------------------------------

def test_the_ledger_is_whole() -> None:
    assert len(claims.LEDGER) >= 30 and len({claim.id for claim in claims.LEDGER}) == len(claims.LEDGER)
    for claim in claims.LEDGER:
        assert claim.text.endswith(".") and claim.section and not claim.reading.endswith(".")
        assert set(claim.needs) <= set(study.NEEDS)


def test_levels_are_corrected_for_the_number_of_claims() -> None:
    nothing = claims.evaluate(Evidence(Store("/nowhere")))
    assert sum(outcome.verdict != UNDECIDABLE for _, outcome in nothing) == CLAIMS


def test_without_records_nothing_is_judged() -> None:
    entries = claims.evaluate(Evidence(Store("/nowhere")))
    assert {outcome.verdict for _, outcome in entries} == {NOT_MEASURED, UNDECIDABLE}
    assert "--only table3,table4" in claims.text(entries)


def test_every_verdict_on_shipped_records_rests_on_five_seeds(shipped_ledger: list[claims.Entry]) -> None:
    for claim, outcome in shipped_ledger:
        if outcome.verdict in (REPRODUCED, NOT_REPRODUCED):
            assert outcome.effects or outcome.remark, claim.id
        assert all(len(one.values) == 5 for one in outcome.effects), claim.id
    assert verdict(shipped_ledger, "shell-floor") == REPRODUCED  # the last layer is full: ten connections remain
    assert verdict(shipped_ledger, "shells-alike") == REPRODUCED  # same seed, same initial wiring
    assert verdict(shipped_ledger, "random-best-cifar10") == MIXED  # 1.8 and 1.3 points: too close to tell


def test_text_and_json_hold_every_claim(shipped_ledger: list[claims.Entry]) -> None:
    said, rows = claims.text(shipped_ledger, details=True), claims.to_dicts(shipped_ledger)
    assert all(claim.id in said for claim in claims.LEDGER)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert sum(claims.counts(shipped_ledger).values()) == len(rows) == len(claims.LEDGER)


# ---- predicates on invented evidence --------------------------------------------------------------------------------

def test_accuracy_predicates_tell_both_ways() -> None:
    runs = {rule: RunConfig(dataset="cifar10", grow=rule) for rule in study.STRATEGIES}
    close = {runs["random"]: [66.0, 66.1, 65.9, 66.0, 66.1], runs["gradient"]: [65.7, 65.8, 65.6, 65.7, 65.8],
             runs["momentum"]: [65.8, 65.9, 65.7, 65.8, 65.9]}
    assert accuracy.random_best("cifar10")(Invented(close)).verdict == REPRODUCED
    assert accuracy.minor_differences(Invented(close)).verdict == REPRODUCED
    turned = close | {runs["random"]: [60.0, 60.1, 59.9, 60.0, 60.1]}
    assert accuracy.random_best("cifar10")(Invented(turned)).verdict == NOT_REPRODUCED
    assert accuracy.minor_differences(Invented(turned)).verdict == NOT_REPRODUCED
    dense = RunConfig(dataset="cifar10", **study.DENSE)
    assert accuracy.matches_dense("cifar10")(Invented(close | {dense: [66.2, 66.3, 66.1, 66.2, 66.3]})).verdict \
        == REPRODUCED
    assert accuracy.matches_dense("cifar10")(Invented(close | {dense: [70.0, 70.1, 69.9, 70.0, 70.1]})).verdict \
        == NOT_REPRODUCED


def table(**columns: tuple[float, float]) -> pd.DataFrame:
    """A table of five seeds and six updates whose columns go from a first to a last value, with a little noise."""
    rng, rows = np.random.default_rng(0), []
    for rule in study.STRATEGIES:
        for seed in range(5):
            for update in range(6):
                line = {name: a + (b - a) * update / 5 + rng.normal() * 1e-4 for name, (a, b) in columns.items()}
                rows.append({"strategy": rule, "layer": POOLED, "seed": seed, "update": update} | line)
    return pd.DataFrame(rows)


def test_power_law_predicates_tell_both_ways() -> None:
    good = Invented(table=table(p=(0.0, 0.99), alpha=(2.5, 2.4), D=(0.2, 0.05), sigma=(0.1, 0.05)))
    bad = Invented(table=table(p=(0.0, 0.001), alpha=(1.5, 1.4), D=(0.05, 0.2), sigma=(0.05, 0.1)))
    for claim in power_law.CLAIMS:
        if claim.id in ("power-law", "p-threshold", "alpha", "sigma-falls", "D-falls"):
            assert claim.decide(good).verdict == REPRODUCED, claim.id
            assert claim.decide(bad).verdict in (NOT_REPRODUCED, MIXED), claim.id
    assert power_law.alpha_in_range(bad).verdict == MIXED  # below 2, and so below 3 as well


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Record:
    config = RunConfig(hidden=(40, 20), train_limit=512, epochs=4, update_interval=2)
    return Store(tmp_path_factory.mktemp("store")).ensure(config)


def test_topology_predicates_read_any_record(tiny: Record) -> None:
    runs = {rule: [replace(tiny, config=tiny.config.but(grow=rule, seed=seed)) for seed in range(5)]
            for rule in study.STRATEGIES}
    evidence = Invented(runs=runs)
    same = {"hubs-soon", "random-uniform", "momentum-stable", "backbone", "symmetry", "attention", "rank-fast"}
    for claim in (*degrees.CLAIMS, *structure.CLAIMS):
        outcome = claim.decide(evidence)
        assert outcome.effects and all(np.isfinite(one.mean) for one in outcome.effects), claim.id
        if claim.id in same:  # the same run under three names: no rule can be ahead
            assert outcome.verdict != REPRODUCED, claim.id


def test_dead_and_living_are_told_apart_by_an_early_degree(tiny: Record) -> None:
    steps = np.arange(5) * 10
    living = np.repeat([[30]], 5, axis=0) + np.arange(20)
    dying = np.outer([20, 15, 10, 5, 0], np.ones(20, int))
    known = replace(tiny, steps=steps, in_degree={"fc1": np.hstack([living, dying]), "fc2": np.zeros((5, 0), int)},
                    out_degree={"fc1": np.zeros((5, 0), int), "fc2": np.zeros((5, 40), int)},
                    shapes={"fc1": (40, 784), "fc2": (0, 40)})
    effects: tuple[Effect, ...] = degrees.degree_decides_survival(
        Invented(runs={rule: [known] * 5 for rule in study.STRATEGIES})).effects
    assert all(one.mean == 1.0 for one in effects)


# ---- predicates on made-up records, by hand -------------------------------------------------------------------------

def told(degrees: Any = ((0,),), **said: Any) -> Any:
    """What predicates read of a record: hidden degrees [updates + 1, n], ten steps to an update, what is `said`."""
    degrees = np.asarray(degrees)
    return SimpleNamespace(**{"steps": np.arange(len(degrees)) * 10, "hidden_degrees": lambda: degrees} | said)


def means(decide: Callable[[Evidence], Outcome], random: Any, gradient: Any, momentum: Any) -> list[float]:
    """The means of a predicate's effects on one record per growth rule."""
    runs = {"random": [random], "gradient": [gradient], "momentum": [momentum]}
    return [one.mean for one in decide(Invented(runs=runs)).effects]


def test_a_fraction_of_training_is_its_last_update() -> None:
    record = told(np.zeros((5, 1)))  # steps 0, 10, ..., 40
    assert [at(record, part) for part in (0.0, 0.24, 0.25, 0.26, 0.5, 0.99, 1.0)] == [0, 0, 1, 1, 2, 3, 4]


def after_five(largest: int) -> Any:
    """Seven rows whose largest degree counts in row 5 only."""
    rows = np.full((7, 3), 99)
    rows[5] = [1, largest, 2]
    return told(rows)


def test_hubs_by_hand() -> None:
    assert means(degrees.hubs_soon, after_five(10), after_five(30), after_five(5)) == pytest.approx([3, 0.5])
    assert means(degrees.momentum_nearly_as_fast, after_five(2), after_five(10), after_five(8)) == pytest.approx([0.8])


def spreads(*stds: float) -> Any:
    """Rows of two neurons that are so far from their mean of 100."""
    return told([[100 - std, 100 + std] for std in stds])


def test_spread_of_degrees_by_hand() -> None:
    slow, fast, still = (spreads(a, 9, 9, 9, 9, b, 70) for a, b in ((1, 2), (1, 6), (2, 2)))
    assert means(degrees.spread_jumps, slow, fast, still) == pytest.approx([3, 0.5])
    up, fallen = spreads(10, 20, 15, 18, 19), spreads(5, 10, 12, 12, 6)
    assert means(degrees.fast_rise_and_fall, up, up, fallen) == pytest.approx([0.25, 0.5])
    random = spreads(50, 2, 60, 3, 5, 6.5, 0, 8)
    random.steps = np.array([0, 2, 3, 75, 150, 225, 299, 300])
    assert means(degrees.random_keeps_widening, random, up, up) == pytest.approx([1])
    uneven, even = told([[7, 7], [1, 3]]), told([[0, 9], [2, 2]])
    assert means(degrees.random_is_more_uniform, uneven, told([[7, 7], [0, 4]]), even) == pytest.approx([0.5, -0.5])
    assert means(degrees.skewed, *[told([[3, 3, 4, 4], [0, 0, 0, 4]])] * 3) == pytest.approx([2 / np.sqrt(3)] * 3)


def test_steadiness_by_hand() -> None:
    """The first update finds what chance made, and does not count."""
    calm, restless = told([[99, 0], [10, 10], [12, 8], [12, 8]]), told([[99, 0], [10, 10], [14, 6], [14, 6]])
    assert means(degrees.momentum_is_steadier, calm, restless, calm) == pytest.approx([0.5])


def test_an_early_degree_is_that_of_its_epoch() -> None:
    turned = told([[0, 0], [30, 10], [10, 30], [10, 11]])  # of 10 and 11 connections the first is dormant
    turned.steps = np.array([0, 2, 75, 300])
    alive = told([[0, 0], [30, 10], [10, 30], [11, 11]])
    alive.steps = turned.steps
    assert means(degrees.degree_decides_survival, turned, alive, turned) == [0, 1, 0.5, 0.5, 0, 1]


def dying(*dormant: int) -> Any:
    """Of ten neurons, so many with 10 connections and no more at each update; the others have 11 or, last, 111."""
    return told([[10] * n + [11] * (8 - n) + [111] * 2 for n in dormant])


def test_dormancy_by_hand() -> None:
    late, soon, never = dying(*[0] * 8, 1, 1, 2), dying(0, 0, 0, 1, 2, 5, 0, 0, 0, 0, 6), dying(*[0] * 11)
    assert means(degrees.random_dies_late, late, soon, never) == pytest.approx([0.5, -0.2])
    assert means(degrees.fast_kill_more, late, soon, never) == pytest.approx([0.5, 0.4, 0, -0.2])
    drifting = dying(*[0] * 8, 8, 3, 1)  # the last tenth begins at the last but one update
    assert means(degrees.dormancy_settles, drifting, never, soon) == pytest.approx([0.2, 0, 0, 0, 0.6, 0])
    rising = told([[110] * 4] * 9 + [[110, 110, 110, 111], [110, 111, 111, 111]])
    assert means(degrees.dormancy_settles, rising, never, never) == pytest.approx([0, 0.5, 0, 0, 0, 0])


class Shelled(Invented):
    """Evidence whose shells are on the records: `first` and `last`, one list per node layer."""

    def shells(self, record: Any, moment: int) -> list[np.ndarray]:
        return [np.array(layer) for layer in {0: record.first, 5: record.last}[moment]]


def shell_means(decide: Callable[[Evidence], Outcome], **runs: Any) -> list[float]:
    return [one.mean for one in decide(Shelled(runs={rule: [record] * 5 for rule, record in runs.items()})).effects]


def shelled(last: list[list[int]], first: list[list[int]] | None = None) -> Any:
    return SimpleNamespace(first=first or [[0], [1], [2], [3]], last=last)


def test_shells_by_hand() -> None:
    a = shelled([[9, 9, 9], [0, 5, 5, 4], [5, 3, 4], [99]])
    b = shelled([[9, 9, 30], [20, 20, 20, 0], [20, 10, 10, 9, 9, 9], [99, 98]], [[0], [1], [2], [4]])
    c = shelled([[2], [0, 0, 3, 4], [12, 14], [1]])
    assert shell_means(structure.shells_start_alike, random=a, gradient=c, momentum=b) == [1]
    assert shell_means(structure.second_layer_floor, random=a, gradient=b, momentum=c) == [7, 1, 2]
    assert shell_means(structure.core_accumulates, random=a, gradient=b, momentum=c) == pytest.approx([1.5, 2, 1])
    assert shell_means(structure.denser_backbone, random=c, gradient=a, momentum=b) == [85, 85]
    assert shell_means(structure.isolated, random=a, gradient=a, momentum=c) == [0.25, 0.5]


def seen(last: np.ndarray, inner: Any = ((1,),)) -> Any:
    """A record of grey images whose input degrees were others at the start."""
    first = np.random.default_rng(0).integers(0, 9, last.size)
    return told(inner, config=RunConfig(dataset="mnist", image_format="native"),
                input_degrees=lambda: np.stack([first, last.ravel()]))


def test_input_maps_by_hand() -> None:
    down, even = np.repeat(np.arange(28)[:, None], 28, axis=1), np.ones((28, 28))
    left, tenth = np.zeros((28, 28)), np.zeros(784)
    left[:, :14], tenth[5:83] = 2, 3
    assert means(structure.symmetry, seen(down), seen(left), seen(even)) == pytest.approx([2, 0])
    busiest = means(structure.attention_concentrates, seen(even), seen(tenth), seen(even))
    assert busiest == pytest.approx([1 - 78 / 784, 0])
    uneven = np.tile([1, 3], 392)
    found = means(structure.input_differs, seen(even, [[1, 9], [2, 2]]), seen(uneven, [[1, 9], [2, 2]]),
                  seen(uneven, [[5, 5], [2, 6]]))
    assert found == pytest.approx([0, 0.5, 0])


def test_settling_of_ranks_by_hand() -> None:
    up, down = [1, 2, 3], [3, 2, 1]
    late = told([down, up] * 2 + [up, down] + [up] * 5)  # turned before half time, still in the last tenth
    soon = told([down] * 5 + [up] * 6)
    assert means(structure.random_settles_late, late, soon, soon) == [2]
    assert means(structure.fast_settle_sooner, late, soon, late) == [2, 0]


# ---- the same of accuracies and tables ------------------------------------------------------------------------------

def test_a_drop_counts_from_the_epoch_it_comes_in() -> None:
    accuracy_of = np.array([90.0] * 5 + [50] + [49] * 4 + [59] * 4 + [60] + [63] + [1] * 4)
    run = SimpleNamespace(val_accuracy=accuracy_of)  # 20 epochs; the rate drops before epochs 10 and 15
    assert means(accuracy.drop_helps, run, run, run) == [10, 3] * 3


def made_up(value: Callable[[RunConfig], float], need: str) -> Invented:
    return Invented({config.but(seed=0): [value(config) + 0.01 * seed for seed in study.SEEDS]
                     for config in study.runs(need, "paper")})


def test_switching_is_compared_with_the_rule_it_began_with() -> None:
    plain = {"random": 60.0, "gradient": 70.0, "momentum": 80.0}

    def value(config: RunConfig) -> float:
        return plain[config.grow] if config.grow in plain else plain[config.grow.partition(">")[0]] - 0.5

    evidence = made_up(value, "table8")
    evidence.invented |= {config.but(grow=rule, seed=0): [value(config.but(grow=rule)) + 0.01 * seed
                                                          for seed in study.SEEDS]
                          for config in study.runs("table8", "paper") for rule in plain}
    outcome = accuracy.switching(evidence)
    assert outcome.verdict == REPRODUCED and all(one.mean == pytest.approx(0.5) for one in outcome.effects)
    assert len(outcome.effects) == len({config.but(seed=0) for config in study.runs("table8", "paper")})


def test_pruning_criteria_by_hand() -> None:
    worth = {"magnitude": 30.0, "set": 28.0, "random": 20.0}
    grown = {"random": 0.0, "gradient": 1.0, "momentum": 2.0}
    evidence = made_up(lambda config: worth[config.prune] + grown[config.grow], "fig13")
    n = len(study.MODELS)
    assert [one.mean for one in accuracy.random_random_worst(evidence).effects] == pytest.approx([1] * n)
    assert [one.mean for one in accuracy.magnitude_best(evidence).effects] == pytest.approx([2] * 3 * n)
    second = made_up(lambda config: 25.0 if config.prune == config.grow == "random" else
                     worth[config.prune] + grown[config.grow], "fig13")
    assert [one.mean for one in accuracy.random_random_worst(second).effects] == pytest.approx([-4] * n)
    assert accuracy.random_random_worst(second).verdict == NOT_REPRODUCED


@pytest.mark.parametrize(("last", "expected"), [((11.6, 11.6, 11.6), REPRODUCED), ((11.6, 0.0, 11.6), MIXED),
                                                ((11.0, 0.0, 11.0), NOT_REPRODUCED)])
def test_a_convnets_scatter_is_that_of_a_sample(last: tuple[float, ...], expected: str) -> None:
    """Four runs of 0 % and one of x %: a standard deviation of x / sqrt(5), 5 points at x = 11.2."""
    runs = {RunConfig(model="convnet", dataset=dataset, grow="gradient"): [0.0, 0, 0, 0, x]
            for dataset, x in zip(("cifar10", "mnist", "fashion_mnist"), last, strict=True)}
    outcome = accuracy.unstable_convnet(Invented(runs))
    assert outcome.verdict == expected and f"{last[0] / np.sqrt(5):.1f}" in outcome.remark


def courses(layer: str = POOLED, **columns: list[float]) -> pd.DataFrame:
    """A table of one seed a rule whose columns take these values, an update each."""
    return pd.concat([pd.DataFrame({"strategy": rule, "layer": layer, "seed": 0,
                                    "update": range(len(next(iter(columns.values()))))} | columns)
                      for rule in study.STRATEGIES])


def table_means(decide: Callable[[Evidence], Outcome], table: pd.DataFrame) -> list[float]:
    return [one.mean for one in decide(Invented(table=table)).effects]


def test_courses_of_tables_by_hand() -> None:
    course = [9.0, 5, 7, 6, 8, 4, 2, 3]  # of eight updates the last two are the last quarter
    table = courses(sigma=course, D=[x / 100 for x in course], alpha=course, p=[x / 10 for x in course])
    every = pd.concat([table, courses("hidden 1", sigma=[0.0] * 8, D=[0.0] * 8, alpha=[0.0] * 8, p=[0.0] * 8)])
    for one in (table, every):
        assert table_means(power_law.falls("sigma"), one) == pytest.approx([-2] * 3)  # from the first update
        assert table_means(power_law.p_rises_soon, one) == pytest.approx([-0.5] * 2)
        assert table_means(power_law.settles, one) == pytest.approx([1] * 3 + [0.01] * 3)
        assert table_means(power_law.alpha_in_range, one) == pytest.approx([3] * 6)
        assert table_means(power_law.above_the_papers_threshold, one) == pytest.approx([0.3] * 2)
        assert table_means(power_law.not_rejected, one) == pytest.approx([0.3] * 3)
    assert {one.threshold for one in power_law.above_the_papers_threshold(Invented(table=table)).effects} == {0.95}
    assert {one.threshold for one in power_law.not_rejected(Invented(table=table)).effects} == {0.1}
