"""Exercises of notebook 08: accuracy beside the paper's."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
from scipy import stats

from regrow.record import Record
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import array, number, table
from regrow_companion.session import Session

SHARE, SIZES, SPREADS = 0.865, (2_000, 10_000), (0.3, 1, 5, 18)


def exact(book: Session) -> dict[int, list[float]]:
    """Clopper-Pearson intervals in percent, by the number of images: quantiles of two beta laws."""
    return {n: [100 * float(stats.beta.ppf(0.025, right, n - right + 1)),
                100 * float(stats.beta.ppf(0.975, right + 1, n - right))]
            for n in SIZES for right in [round(SHARE * n)]}


def normal(book: Session) -> dict[int, list[float]]:
    """The intervals by the normal approximation."""
    return {n: [100 * (SHARE + side * 1.96 * np.sqrt(SHARE * (1 - SHARE) / n)) for side in (-1, 1)] for n in SIZES}


def _needed(power: Callable[[int, float], float]) -> dict[float, int]:
    """The smallest number of seeds per method that has 80 % power for one point, by the deviation over seeds."""
    found: dict[float, int] = {}
    for sd in SPREADS:
        enough = next(2**i for i in count(1) if power(2**i, 1 / sd) >= 0.8)
        low, high = max(1, enough // 2), enough  # too few, enough
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if power(middle, 1 / sd) >= 0.8 else (middle, high)
        found[sd] = high
    return found


def _t_test(level: float) -> Callable[[int, float], float]:
    def power(n: int, effect: float) -> float:
        freedom, shift = 2 * n - 2, effect * np.sqrt(n / 2)
        return float(stats.nct.sf(stats.t.ppf(level, freedom), freedom, shift))

    return power


def _normal_test(n: int, effect: float) -> float:
    return float(stats.norm.cdf(effect * np.sqrt(n / 2) - 1.96))


def _mlp(book: Session) -> Record:
    baselines = [record for record in book.available("baselines") if record.config.method == "static"]
    return next(record for record in (*baselines, *book.available("table4")) if record.config.model == "mlp")


def widths(book: Session, dense: bool = False) -> dict[str, int]:
    """Weights of the dense and the sparse network, and the width of a dense one with one hidden layer and as many."""
    record = _mlp(book)
    sizes = list(record.shapes.values())
    inputs, outputs = sizes[0][1], sizes[-1][0]
    every, active = sum(n_out * n_in for n_out, n_in in sizes), sum(record.connections.values())
    return {"dense": every, "sparse": active, "width": (every if dense else active) // (inputs + outputs)}


EXERCISES = {
    "1": Exercise("a table of two intervals in percent, [low, high], by the number of images", exact,
                  table(array(rel=0.0003)), (
        Slip("This is the normal approximation; the exact interval comes from the binomial law itself.", normal),
        Slip("These are shares; percent are asked for.",
             lambda book: {n: [end / 100 for end in ends] for n, ends in exact(book).items()}))),
    "2": Exercise("a table of four numbers of seeds per method, by standard deviation",
                  lambda book: _needed(_t_test(0.975)), table(number(rel=0.005)), (
        Slip("This test is one-sided: 5 % on one side only.", lambda book: _needed(_t_test(0.95))),
        Slip("This is the normal approximation, which takes the deviation as known; few seeds must estimate it.",
             lambda book: _needed(_normal_test)))),
    "3": Exercise("a table of three whole numbers: weights of the dense and the sparse network, and a width", widths,
                  table(number(rel=0.001)), (
        Slip("This width has as many weights as the dense network.", lambda book: widths(book, dense=True)),)),
}
