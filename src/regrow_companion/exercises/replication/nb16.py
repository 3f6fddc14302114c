"""Exercises of notebook 16: when the ranking settles."""

from __future__ import annotations

from functools import partial
from math import comb, sqrt

import numpy as np
from scipy import stats

from regrow.record import Record
from regrow_companion import study
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number, table
from regrow_companion.session import Session

NEURONS, HUBS = 100, 2


def _start_and_end(record: Record, layer: int | None) -> list[np.ndarray]:
    return [(record.hidden_degrees(update) if layer is None else record.hidden_layer_degrees(update)[layer])
            for update in (0, -1)]


def agreement(book: Session, layer: int | None = 0) -> dict[str, float]:
    """tau-b of the degrees before training and at the end, mean over seeds, in one hidden layer or all together."""
    return {rule: float(np.mean([stats.kendalltau(*_start_and_end(record, layer)).statistic for record in group]))
            for rule, group in study.by_method(book.records("fig20")).items()}


def distance(book: Session, root: bool = True) -> float:
    """How many standard deviations of chance tau-b of the first run lies above 0; variances without `root`."""
    start, end = _start_and_end(book.records("fig20")[0], None)
    n = len(start)
    variance = 2 * (2 * n + 5) / (9 * n * (n - 1))
    return float(stats.kendalltau(start, end).statistic / (sqrt(variance) if root else variance))


def kept_by_hubs(book: Session) -> float:
    """The mean of tau if the hubs keep their places and the others are shuffled: the share of pairs with a hub."""
    return 1 - comb(NEURONS - HUBS, 2) / comb(NEURONS, 2)


EXERCISES = {
    "1": Exercise("a table by rule, tau-b within hidden 1, mean over seeds", agreement,
                  table(number(rel=0.01, within=0.0005)), (
        Slip("This is for both layers together, as in the figure.", partial(agreement, layer=None)),
        Slip("This is within hidden 2.", partial(agreement, layer=1)))),
    "2": Exercise("a number of standard deviations", distance, number(rel=0.15), (
        Slip("This divides by the variance; take its root.", partial(distance, root=False)),
        Slip("This is tau itself. How far from 0 does chance take it?",
             lambda book: float(stats.kendalltau(*_start_and_end(book.records("fig20")[0], None)).statistic)))),
    "3": Exercise("a number, the mean of tau over all ways to shuffle", kept_by_hubs, number(rel=0.1), (
        Slip("Kendall counts pairs. In how many of them is at least one hub?", lambda book: HUBS / NEURONS),
        Slip("This is the share of pairs of two hubs. A hub is above everybody else, too.",
             lambda book: comb(HUBS, 2) / comb(NEURONS, 2)),
        Slip("This is what Pearson's coefficient comes near to. Which pairs can still change their order?",
             lambda book: 1.0))),
}
