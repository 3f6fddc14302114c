"""The ledger: every claim whole, every verdict from an interval, and predicates that tell true from false."""

from __future__ import annotations

import json
from dataclasses import replace

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
    effect,
    judged,
)
from regrow_companion.study import REPOSITORY
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


@pytest.fixture(scope="module")
def shipped() -> list[claims.Entry]:
    results = REPOSITORY / "results"
    return claims.evaluate(Evidence(Store("/nowhere", read_also=(results,))))


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


def test_every_verdict_on_shipped_records_rests_on_five_seeds(shipped: list[claims.Entry]) -> None:
    for claim, outcome in shipped:
        if outcome.verdict in (REPRODUCED, NOT_REPRODUCED):
            assert outcome.effects or outcome.remark, claim.id
        assert all(len(one.values) == 5 for one in outcome.effects), claim.id
    assert verdict(shipped, "shell-floor") == REPRODUCED  # the last layer is full: ten connections remain
    assert verdict(shipped, "shells-alike") == REPRODUCED  # same seed, same initial wiring
    assert verdict(shipped, "random-best-cifar10") == MIXED  # 1.8 and 1.3 points, too close to tell at this level


def test_text_and_json_hold_every_claim(shipped: list[claims.Entry]) -> None:
    said, rows = claims.text(shipped, details=True), claims.to_dicts(shipped)
    assert all(claim.id in said for claim in claims.LEDGER)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert sum(claims.counts(shipped).values()) == len(rows) == len(claims.LEDGER)


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
