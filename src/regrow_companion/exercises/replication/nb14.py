"""Exercises of notebook 14: sparsities of 95, 90 and 80 per cent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod, sqrt
from typing import Any

from scipy import stats

from regrow import models
from regrow.config import RunConfig
from regrow_companion import paper, study
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import array, function, number, table
from regrow_companion.session import Session

SEEDS = 5
LEVELS = (0.95, 0.9, 0.8)
CONVOLUTIONAL = ("convnet", "resnet50-cifar", "resnet56", "vgg16")
Split = Callable[[float, float], list[int]]


def lost_runs(mean: float, std: float, ddof: int = 1) -> list[int]:
    """How many of five runs may end at c, the others at a, with c at least 1 and a at most 100 per cent."""
    possible = []
    for m in range(1, SEEDS):
        apart = std / sqrt(m * (SEEDS - m) / (SEEDS * (SEEDS - ddof)))
        if mean + apart * m / SEEDS <= 100 and mean - apart * (1 - m / SEEDS) >= 1:
            possible.append(m)
    return possible


def _cells() -> Iterator[tuple[str, tuple[Any, ...]]]:
    for cell in paper.reported(4) + paper.reported(7):
        if cell.std > 5:
            yield f"the cell {cell.mean} ± {cell.std}", (cell.mean, cell.std)
    yield "a mean of 50 and a standard deviation of 12", (50.0, 12.0)
    yield "a spread that no split allows", (97.0, 40.0)


def welch(book: Session, other: float = 0.95, normal: bool = False) -> dict[str, list[float]]:
    """p of the MLP at 90 against another sparsity, by data set, in the order of study.STRATEGIES."""
    cells = {(c.dataset, c.method, c.sparsity): c for c in paper.reported(4) + paper.reported(7) if c.model == "mlp"}

    def p(dataset: str, rule: str) -> float:
        one, two = (cells[dataset, rule, level] for level in (0.9, other))
        t = (one.mean - two.mean) / sqrt((one.std**2 + two.std**2) / SEEDS)
        freedom = (SEEDS - 1) * (one.std**2 + two.std**2) ** 2 / (one.std**4 + two.std**4)
        return float(2 * (stats.norm.sf(abs(t)) if normal else stats.t.sf(abs(t), freedom)))

    return {dataset: [p(dataset, rule) for rule in study.STRATEGIES] for dataset in ("cifar10", "cifar100")}


def agreement(book: Session, sign: int = 1, measure: Callable[..., Any] = stats.kendalltau) -> dict[str, float]:
    """Rank correlation of the points lost on CIFAR-100 under random growth with sparsity and number of connections."""
    dense = {c.model: c.mean for c in paper.reported(3) if c.dataset == "cifar100"}
    cells = {(c.model, c.sparsity): c.mean for c in paper.reported(4) + paper.reported(7)
             if (c.dataset, c.method) == ("cifar100", "random")}
    at = [(name, level) for name in CONVOLUTIONAL for level in LEVELS]
    lost = [sign * (dense[key[0]] - cells[key]) for key in at]
    places = {name: sum(prod(shape) for shape in models.weight_shapes(RunConfig(model=name), 100, paper.RGB32).values())
              for name in CONVOLUTIONAL}
    by = {"sparsity": [level for _, level in at], "connections": [(1 - level) * places[name] for name, level in at]}
    return {name: float(measure(values, lost).statistic) for name, values in by.items()}


EXERCISES = {
    "1": Exercise("a function of mean and standard deviation that returns the list of possible m, out of 1 to 4",
                  lambda book: lost_runs, function(_cells), (
        Slip("The standard deviation of five runs divides by n - 1; its square is (a - c)^2 m (n - m) / (n (n - 1)).",
             lambda book: lambda mean, std: lost_runs(mean, std, ddof=0)),
        Slip("Some of these are impossible: look at the a and c that they would take.",
             lambda book: lambda mean, std: [1, 2, 3, 4]))),
    "2": Exercise("a table by data set, a list of three p-values", welch, table(array(rel=0.02)), (
        Slip("This compares with 80 per cent.", lambda book: welch(book, 0.8)),
        Slip("This takes t for normal. With five seeds Student's distribution is much wider.",
             lambda book: welch(book, normal=True)),
        Slip("This is one side only: the difference may go either way.",
             lambda book: {name: [p / 2 for p in values] for name, values in welch(book).items()}))),
    "3": Exercise("a table of two values of tau-b", agreement, table(number(rel=0.01)), (
        Slip("These go with accuracy. Points lost are dense minus sparse.", lambda book: agreement(book, -1)),
        Slip("This is Spearman's rho.", lambda book: agreement(book, measure=stats.spearmanr)))),
}
