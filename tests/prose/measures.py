"""What our prose says of the shipped records, as functions of few words. Nothing is computed here that the package
computes; a user's own store is not looked at. Everything is kept, as many sentences ask the same.

Unless a function says otherwise, runs are those of the paper's MLP on CIFAR-10, 95 % sparse, and accuracies are percent
after the last epoch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from regrow.config import RunConfig
from regrow.data import Dataset, load
from regrow.record import Record
from regrow.store import Store
from regrow_companion import claims, paper, study, tail_tables
from regrow_companion.claims.judgement import Reading
from regrow_companion.plots import nb08_accuracy, nb09_degrees, nb11_border, nb11_heat_maps, nb12_dormancy
from regrow_companion.runner.index import Entry, read_index
from regrow_companion.section8 import cases, nb19_exploration, nb21_noise
from regrow_companion.study import REPOSITORY, SHIPPED, STRATEGIES

NOWHERE = Path("/nowhere")  # no store of a user
BLACK: dict[str, Any] = study.BLACK
SCORES = ("gradient", "momentum")  # the rules that rank places


@cache
def store() -> Store:
    return Store(NOWHERE, read_also=(SHIPPED,))


@cache
def of_need(need: str) -> tuple[Record, ...]:
    """The shipped runs of a figure or table."""
    return tuple(record for config in study.runs(need, "replay") if (record := store().get(config)) is not None)


def runs(grow: str | None = None, **changes: Any) -> tuple[Record, ...]:
    """The shipped seeds of one configuration, in order; there is at least one."""
    return seeds_of(RunConfig(**{"dataset": "cifar10"} | ({"grow": grow} if grow else {}) | changes))


@cache
def seeds_of(config: RunConfig) -> tuple[Record, ...]:
    """The shipped runs of a configuration, whatever its own seed."""
    found = tuple(record for seed in study.SEEDS if (record := store().get(config.but(seed=seed))) is not None)
    assert found, f"no run of {config} is shipped"
    return found


def accuracies(grow: str | None = None, *, part: str = "test", reading: str = "last", seed: int | None = None,
               **changes: Any) -> NDArray[np.float64]:
    """One number per seed, or that of one seed."""
    return np.array([getattr(record.accuracy(reading), part) for record in runs(grow, **changes)
                     if seed in (None, record.config.seed)])


def accuracy(grow: str | None = None, **which: Any) -> float:
    """The mean over seeds of `accuracies`."""
    found = accuracies(grow, **which)
    assert len(found), f"no such run is shipped: {grow} {which}"
    return float(found.mean())


def sd(grow: str | None = None, **which: Any) -> float:
    """The sample standard deviation over seeds of `accuracies`."""
    return float(accuracies(grow, **which).std(ddof=1))


def trained(**changes: Any) -> int:
    """How many seeds are shipped, none included."""
    config = RunConfig(**{"dataset": "cifar10"} | changes)
    return sum(store().get(config.but(seed=seed)) is not None for seed in study.SEEDS)


def seeds(grow: str | None = None, **changes: Any) -> int:
    return len(runs(grow, **changes))


def convnet(grow: str, part: str = "test", dataset: str = "cifar10") -> float:
    """The ConvNet's seed 0 at the end, in percent."""
    return accuracy(grow, part=part, dataset=dataset, model="convnet", seed=0)


def above_dense(dataset: str) -> bool:
    """Whether every sparse run of Table 4's MLP ends above the dense one."""
    (dense,) = accuracies(dataset=dataset, **study.DENSE)
    return all(bool((accuracies(rule, dataset=dataset) > dense).all()) for rule in STRATEGIES)


def loss(grow: str, seed: int | None = None, part: str = "test", reading: str = "last",
         over: dict[str, Any] | None = None, **changes: Any) -> float:
    """How much accuracy these changes cost, beside the same run without them (but for `over`, which both have)."""
    common: dict[str, Any] = {"seed": seed, "part": part, "reading": reading, **(over or {})}
    return accuracy(grow, **common) - accuracy(grow, **common | changes)


def with_snfs(measure: Callable[..., Any]) -> list[Any]:
    """A measure of the runs with SNFS's constants and the mirrored border, by rule."""
    return [measure(rule, **study.SNFS) for rule in STRATEGIES]


@cache
def ablations() -> pd.DataFrame:
    """`nb08_accuracy.ablation_table`: one seed, by option and rule."""
    records = [*of_need("ablations"), *of_need("table4"), *of_need("black_border")]
    return nb08_accuracy.ablation_table(records).set_index(["option", "rule"])


def ablated(option: str, column: str = "change") -> list[float]:
    """A column of an option's rows, in the order of the rules."""
    return list(ablations().loc[option, column])


def costs_of_snfs_constants() -> tuple[float, float, float]:
    """Of seed 0, in points: random, momentum and gradient growth."""
    random, gradient, momentum = (-change for change in ablated("constants of SNFS's code"))
    return random, momentum, gradient


UPDATES = ("black border, update instead of a step", "black border, regrown weights kept",
           "black border, momentum of regrown weights kept")


def options(column: str = "change") -> list[float]:
    """What the options of an update change, all rules and options one after the other."""
    return [value for option in UPDATES for value in ablated(option, column)]


def bug(rule: str, reading: str = "last") -> float:
    """What SET pruning with the widespread bug costs: seed 0, black border, beside magnitude pruning."""
    return loss(rule, seed=0, reading=reading, over=BLACK, prune="set_legacy")


@cache
def printed(method: str, dataset: str = "cifar10", model: str = "mlp", table: int = 4,
            sparsity: float = 0.95) -> paper.Reported:
    """A cell of the paper's tables."""
    (cell,) = (cell for cell in paper.reported(table) if (cell.model, cell.dataset, cell.method, cell.sparsity)
               == (model, dataset, method, 0.0 if table == 3 else sparsity))
    return cell


def above_paper(grow: str, dataset: str = "cifar10", **which: Any) -> float:
    """Our mean less the paper's."""
    cell = printed(grow, dataset, which.get("model", "mlp"), sparsity=which.get("sparsity", 0.95))
    return accuracy(grow, dataset=dataset, **which) - cell.mean


def low_high(values: Iterable[float]) -> tuple[float, float]:
    found = list(values)
    return min(found), max(found)


@cache
def places(*layers: str) -> int:
    """Weights of the paper's MLP that could be there, in all or in some of its layers."""
    shapes = topology("random")[0].shapes
    return sum(math.prod(shape) for name, shape in shapes.items() if name in (layers or shapes))


# ---------------------------------------------------------------------------------------- topology, with either border

@cache
def topology(grow: str, border: str = "mirrored") -> tuple[Record, ...]:
    """The runs of Sections 5.3 and 5.4 under one rule; those with the black border hold the start and the end only."""
    return runs(grow, **(BLACK if border == "black" else {}))


@cache
def wiring(border: str, grow: str) -> pd.DataFrame:
    """`nb11_border.wiring`: a row per seed."""
    frame = _wiring()
    return frame[(frame["border"] == border) & (frame["rule"] == grow)]


@cache
def _wiring() -> pd.DataFrame:
    return nb11_border.wiring([*of_need("topology"), *of_need("black_border")])


def wired(border: str, grows: str | Iterable[str], column: str) -> tuple[float, float]:
    """Smallest and largest over seeds (and rules)."""
    rules = (grows,) if isinstance(grows, str) else tuple(grows)
    return low_high(value for rule in rules for value in wiring(border, rule)[column])


def wired_mean(border: str, grow: str, column: str) -> float:
    return float(wiring(border, grow)[column].mean())


def hidden() -> int:
    return topology("random")[0].hidden_degrees(0).size


def largest(grow: str, update: int = -1, border: str = "mirrored") -> list[int]:
    """The largest hidden degree of each seed after an update."""
    return [int(record.hidden_degrees(update).max()) for record in topology(grow, border)]


def largest_ever(grow: str) -> int:
    return max(int(record.hidden_degrees().max()) for record in topology(grow))


def dormant(grow: str, epoch: float = 300, threshold: int = 10) -> list[int]:
    """How many hidden neurons of each seed have no more connections, by the last update until this epoch."""
    return [int((record.hidden_degrees(update_by(record, epoch)) <= threshold).sum()) for record in topology(grow)]


def update_by(record: Record, epoch: float) -> int:
    """The last update until an epoch."""
    return int(np.searchsorted(record.epochs_at, epoch, side="right")) - 1


@cache
def first_dormant(grow: str, threshold: int = 10) -> tuple[float, ...]:
    """The epoch of each seed's first dormant neuron."""
    found = []
    for record in topology(grow):
        poor = (record.hidden_degrees() <= threshold).any(axis=1)
        found.append(float(record.epochs_at[int(np.argmax(poor))]) if poor.any() else np.inf)
    return tuple(found)


@cache
def widths() -> pd.DataFrame:
    """`nb09_degrees.widening`: spread within layers as a multiple of its start, a row per rule."""
    return nb09_degrees.widening(_spread())


@cache
def _spread() -> pd.DataFrame:
    return nb09_degrees.degree_spread(of_need("topology"))


@cache
def width(grow: str) -> pd.Series:
    """The same over epochs, mean over seeds."""
    mean = _spread().query("strategy == @grow").groupby("epoch")["std within"].mean()
    return mean / mean.iloc[0]


@cache
def width_of_seeds(grow: str) -> pd.DataFrame:
    """The same, a column per seed."""
    frame = _spread().query("strategy == @grow").pivot(index="epoch", columns="seed", values="std within")
    return frame / frame.iloc[0]


@cache
def maps() -> pd.DataFrame:
    """`nb11_heat_maps.map_numbers`: mean over seeds by rule and epoch."""
    frame = nb11_heat_maps.map_numbers(of_need("topology"))
    return frame.groupby(["method", "epoch"]).mean(numeric_only=True)


def mapped(grow: str, column: str, moment: int = -1) -> float:
    """A number of the input map at one of the six moments; 0 is before training."""
    return float(maps().loc[grow][column].iloc[moment])


@cache
def input_spread(grow: str) -> NDArray[np.float64]:
    """Standard deviation of the input's degrees at the six moments, mean over seeds."""
    return np.stack([record.input_degrees() for record in topology(grow)]).std(axis=2).mean(axis=0)


@cache
def mean_map(grow: str, border: str = "mirrored") -> NDArray[np.float64]:
    """The input map at the end of training, mean over seeds."""
    return np.mean([nb11_heat_maps.input_maps(record)[-1] for record in topology(grow, border)], axis=0)


@cache
def paths(grow: str) -> float:
    """Paths from the input to hidden 2 at the end, as a multiple of the start."""
    found = np.mean([record.input_paths().sum(axis=1) for record in topology(grow)], axis=0)
    return float(found[-1] / found[0])


@cache
def dormancy() -> pd.DataFrame:
    """`nb12_dormancy.summary`, by threshold and rule."""
    frame = nb12_dormancy.dormant_neurons(of_need("topology"))
    return nb12_dormancy.summary(frame).set_index(["threshold", "strategy"])


@cache
def small_images() -> Dataset:
    """The images that ship with the package."""
    return load("fashion_mnist_small", image_format="native")


# ------------------------------------------------------------------------------------------------------- power laws

@cache
def tails(border: str = "mirrored") -> pd.DataFrame:
    """The statistics of Section 4.6 along the topology runs."""
    return _shipped_tails([record for rule in STRATEGIES for record in topology(rule, border)])


@cache
def often() -> pd.DataFrame:
    """The same along the runs with a shorter interval."""
    return _shipped_tails(of_need("sec5.3"))


def _shipped_tails(records: Sequence[Record]) -> pd.DataFrame:
    assert tail_tables.complete(records, "replay", store())
    return tail_tables.tails(records, "replay", store(), jobs=1)


def tail(layer: str = tail_tables.POOLED, grows: str | Iterable[str] = STRATEGIES, since: int = 0,
         update: int | None = None, border: str = "mirrored") -> pd.DataFrame:
    """Its rows of a layer ("hidden" for each alone) and some rules, from an update on or at one; -1 is the last."""
    table = tails(border)
    rules = [grows] if isinstance(grows, str) else list(grows)
    alone = table["layer"].str.startswith("hidden") if layer == "hidden" else table["layer"] == layer
    table = table[alone & table["strategy"].isin(rules)]
    if update is not None:
        return table[table["update"] == (update if update >= 0 else table["update"].max())]
    return table[table["update"] >= since]


BENDING = {"truncated power law", "negative binomial", "log-normal", "stretched exponential", "exponential"}


# ------------------------------------------------------------------------------------------------ beyond the paper

@cache
def beyond(experiment: cases.Experiment) -> cases.Found:
    """The shipped tables of an experiment of Section 8."""
    return cases.tables(experiment, "paper", NOWHERE, SHIPPED)


@cache
def explored_by_seed(grow: str, border: str = "mirrored") -> tuple[float, ...]:
    """Percentage of all places that ever held a connection."""
    return tuple(nb19_exploration.final(nb19_exploration.explored(topology(grow, border)))["percent"])


def explored(grow: str, border: str = "mirrored") -> float:
    """The mean over seeds."""
    return float(np.mean(explored_by_seed(grow, border)))


@cache
def shared_by_batches(moment: int = 0) -> float:
    """Of what gradient growth grows in the first layer from 128 images, percentage that another batch would grow."""
    table = beyond(nb21_noise.EXPERIMENT)["agreement"]
    table = table[(table["layer"] == "fc1") & (table["of"] == "batch") & (table["size"] == 128)]
    return 100 * float(table.groupby("step")["with another"].mean().iloc[moment])


# -------------------------------------------------------------------------------------------------- counts and speed

@cache
def listed() -> pd.DataFrame:
    """results/runs.csv."""
    return pd.read_csv(SHIPPED / "runs.csv")


def planned(*needs: str) -> int:
    """Distinct runs of the paper profile that these figures and tables need, or all of them."""
    return len(study.distinct(needs or study.NEEDS, "paper"))


SECTION_8 = ("schedules", "batches", "schedules300", "batches300", "cnn")


def grid() -> int:
    """The paper's grid with our baselines and other readings."""
    return planned(*(need for need in study.NEEDS if need not in SECTION_8))


def claimed() -> int:
    return len(claims.LEDGER)


@cache
def read_with(name: str) -> list[Reading]:
    """What a reading of the protocol makes of the claims that it can judge."""
    asked = [claim for claim in claims.LEDGER if name in claim.readings]
    return [reading for _, outcome in claims.evaluate(claims.Evidence(store()), asked) for reading in outcome.readings
            if reading.name == name]


@cache
def notebooks() -> tuple[Entry, ...]:
    """The map of the notebooks."""
    return read_index(REPOSITORY / "notebooks" / "index.yml")


@cache
def bench(name: str) -> pd.DataFrame:
    """A table of bench/results."""
    return pd.read_csv(REPOSITORY / "bench" / "results" / f"{name}.csv")


@cache
def bench_fact(name: str, fact: str) -> float:
    """A number that a benchmark works out from its table."""
    return float(json.loads((REPOSITORY / "bench" / "results" / f"{name}.json").read_text())["facts"][fact])


def figure_data(stem: str, records: Iterable[Record]) -> pd.DataFrame:
    """What a committed figure draws, which must be of these runs: for what takes too long to compute anew."""
    folder = REPOSITORY / "figures"
    drawn = json.loads((folder / f"{stem}.json").read_text())["keys"]
    assert drawn == sorted(record.key for record in records), f"{stem} was drawn from other runs; draw it anew"
    return pd.read_csv(folder / f"{stem}.csv")


def each(measure: Callable[[str], Any], rules: Iterable[str] = STRATEGIES) -> list[Any]:
    return [measure(rule) for rule in rules]
