"""Exercises of notebook 09: how the degree distribution evolves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from regrow.record import Record
from regrow_companion import study
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import array, number, table
from regrow_companion.plots import nb04_initial_degrees as initial_degrees
from regrow_companion.session import Session


def humps(book: Session) -> float:
    """How many times as high the right hump of Figure 4 is as the left one, from the exact law."""
    wiring = initial_degrees.initial_wiring(study.runs("fig05", "paper")[0])
    _, first, second, _ = initial_degrees.expected_pmfs(*wiring)
    mixed = np.zeros(max(len(first), len(second)))
    mixed[:len(first)] += 1024 * first
    mixed[:len(second)] += 512 * second
    between = int(first @ np.arange(len(first)) + second @ np.arange(len(second))) // 2
    return float(mixed[between:].max() / mixed[:between].max())


def _means(book: Session, of: Callable[[Record], float]) -> dict[str, float]:
    return {strategy: float(np.mean([of(record) for record in group]))
            for strategy, group in study.by_method(book.records("fig05")).items()}


def richest(book: Session, update: int = -1) -> dict[str, float]:
    """The share of all connection ends that the best connected tenth of the hidden neurons holds."""
    def share(record: Record) -> float:
        k = record.hidden_degrees(update)
        return float(np.partition(k, len(k) - _tenth(k))[len(k) - _tenth(k):].sum() / k.sum())

    return _means(book, share)


def _tenth(k: np.ndarray) -> int:
    return -(-len(k) // 10)


def spreads(book: Session, square: bool = False) -> dict[str, list[float]]:
    """Standard deviations at the end over those at the start, [in, out], of hidden 1."""
    found = {}
    for strategy, group in study.by_method(book.records("fig05")).items():
        below, above = group[0].layers[:2]
        sides = [np.array([[side[0].var(), side[-1].var()] for side in sides])
                 for sides in ([r.in_degree[below] for r in group], [r.out_degree[above] for r in group])]
        roots = [(side if square else np.sqrt(side)).mean(axis=0) for side in sides]
        found[strategy] = [float(end / start) for start, end in roots]
    return found


EXERCISES = {
    "1": Exercise("a number, the height of the right hump divided by that of the left one", humps, number(rel=0.02), (
        Slip("This compares the numbers of neurons. A bell's height also depends on its width.", lambda book: 2.0),
        Slip("It is the other way round: right divided by left.", lambda book: 1 / humps(book)),
        Slip("This compares the widths. How many neurons are in each hump?", lambda book: 2 / humps(book)))),
    "2": Exercise("a table by strategy, the share of the best connected tenth at the end, mean over seeds", richest,
                  table(number(rel=0.02, share=True)), (
        Slip("These are the shares before training.", lambda book: richest(book, 0)),
        Slip("This is the share of the single richest neuron.",
             lambda book: _means(book, lambda r: r.hidden_degrees(-1).max() / r.hidden_degrees(-1).sum())))),
    "3": Exercise("a table by strategy, [in, out]: how many times as large each standard deviation is at the end",
                  spreads, table(array(rel=0.02)), (
        Slip("In and out are exchanged: incoming connections are counted in the mask below.",
             lambda book: {name: pair[::-1] for name, pair in spreads(book).items()}),
        Slip("These are ratios of variances; take the roots first.", lambda book: spreads(book, square=True)))),
}
