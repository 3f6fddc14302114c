"""Exercises of notebook 05: k-shells."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from regrow import metrics
from regrow_companion import study
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import array, number, table
from regrow_companion.session import Session

SIZES = (3072, 1024, 512, 10)


def _dense() -> list[np.ndarray]:
    return [np.ones((after, before), dtype=bool) for before, after in pairwise(SIZES)]


def highest(book: Session, idle: Callable[[list[np.ndarray]], Any]) -> int:
    """The highest shell among the neurons of hidden 1 that `idle` names, over all networks; 0 if there is none."""
    networks = [list(record.masks(5).values()) for record in book.records("fig12")]
    return max(int(metrics.k_shells(masks)[1][idle(masks)].max(initial=0)) for masks in networks)


def core_density(book: Session) -> dict[str, float]:
    """Density of the second mask within the highest shell, mean over seeds, by method."""
    return _densities(book, lambda found: found.max())


def _densities(book: Session, least: Callable[[np.ndarray], int]) -> dict[str, float]:
    means = {}
    for method, group in study.by_method(book.records("fig12")).items():
        each = []
        for record in group:
            found = metrics.k_shells(record.masks(5).values())
            lowest = least(np.concatenate(found))
            rows, columns = found[2] >= lowest, found[1] >= lowest
            middle = list(record.masks(5).values())[1]
            each.append(middle[rows][:, columns].sum() / (rows.sum() * columns.sum()))
        means[method] = float(np.mean(each))
    return means


EXERCISES = {
    "1": Exercise("a list of four shells, of the inputs, hidden 1, hidden 2 and the outputs",
                  lambda book: [int(layer.max()) for layer in metrics.k_shells(_dense())], array(), (
        Slip("These are degrees. A shell counts only neighbours that are themselves as deep.",
             lambda book: [SIZES[1], SIZES[0] + SIZES[2], SIZES[1] + SIZES[3], SIZES[2]]),
        Slip("Hidden 2 is not held by the outputs: look at its neighbours in hidden 1, and at who they are held by.",
             lambda book: [1024, 1024, 512, 512]),
        Slip("A core may be wider than the narrowest layer: the outputs can leave, the others stay.",
             lambda book: [10, 10, 10, 10]))),
    "2": Exercise("a whole number, the highest shell of a neuron of hidden 1 without input, over all networks",
                  lambda book: highest(book, lambda masks: ~masks[0].any(axis=1)), number(rel=0), (
        Slip("This is the highest shell of all; take only the neurons whose row of the first mask is empty.",
             lambda book: highest(book, lambda masks: np.ones(len(masks[0]), dtype=bool))),
        Slip("These are neurons without output; the ones without input are asked for.",
             lambda book: highest(book, lambda masks: ~masks[1].any(axis=0))))),
    "3": Exercise("a table of the core's density by strategy, means over seeds", core_density,
                  table(number(rel=0.02, share=True)), (
        Slip("This is the density of the whole layer, which no strategy can change.",
             lambda book: _densities(book, lambda found: 0)),)),
}
