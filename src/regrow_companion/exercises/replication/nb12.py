"""Exercises of notebook 12: neurons that lose their connections."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from regrow.record import Record
from regrow_companion import study
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import array, number, table
from regrow_companion.session import Session

Compare = Callable[[Any, Any], Any]


def _by_rule(book: Session, of: Callable[[list[Record]], Any]) -> dict[str, Any]:
    return {rule: of(group) for rule, group in study.by_method(book.records("fig09")).items()}


def dormant_by_layer(book: Session, below: Compare = operator.le) -> dict[str, list[float]]:
    """Dormant neurons of hidden 1 and hidden 2 at the low threshold at the end, mean over seeds."""
    def count(group: list[Record]) -> list[float]:
        low = group[0].thresholds.low
        return [float(np.mean([below(record.hidden_layer_degrees(-1)[layer], low).sum() for record in group]))
                for layer in (0, 1)]

    return _by_rule(book, count)


def stay_dormant(book: Session, backwards: bool = False) -> dict[str, float]:
    """Of the neurons that are dormant (high threshold) at a quarter of training, the share that is so at the end."""
    def share(group: list[Record]) -> float:
        quarter, high = len(group[0].steps) // 4, group[0].thresholds.high
        early, late = (np.concatenate([record.hidden_degrees(update) for record in group]) <= high
                       for update in (quarter, -1))
        return float((early & late).sum() / (late if backwards else early).sum())

    return _by_rule(book, share)


def cut_off(book: Session, either: Compare = operator.or_) -> dict[str, float]:
    """Neurons of hidden 1 without input or without output at the end, mean over seeds, from the masks themselves."""
    def count(group: list[Record]) -> float:
        found = []
        for record in group:
            first, second, *_ = record.masks(5).values()
            found.append(either(~first.any(axis=1), ~second.any(axis=0)).sum())
        return float(np.mean(found))

    return _by_rule(book, count)


def _dormant_anyhow(book: Session) -> dict[str, float]:
    return _by_rule(book, lambda group: float(np.mean(
        [(record.hidden_degrees(-1) <= group[0].thresholds.high).mean() for record in group])))


EXERCISES = {
    "1": Exercise("a table by rule, [hidden 1, hidden 2]: dormant neurons at the end, mean over seeds",
                  dormant_by_layer, table(array(rel=0.001)), (
        Slip("A neuron whose degree equals the threshold is dormant as well: k <= 10.",
             lambda book: dormant_by_layer(book, operator.lt)),
        Slip("The layers are exchanged.",
             lambda book: {rule: pair[::-1] for rule, pair in dormant_by_layer(book).items()}))),
    "2": Exercise("a table by rule of shares between 0 and 1", stay_dormant, table(number(rel=0.005, share=True)), (
        Slip("This is the question backwards: of the dormant at the end, how many were dormant before?",
             lambda book: stay_dormant(book, backwards=True)),
        Slip("This is the share of all neurons. Take only those that were dormant at a quarter of training.",
             _dormant_anyhow))),
    "3": Exercise("a table by rule, the number of cut off neurons of hidden 1 at the end, mean over seeds", cut_off,
                  table(number(rel=0.001)), (
        Slip("These are cut off on both sides; one is enough.", lambda book: cut_off(book, operator.and_)),
        Slip("These have no input. Without output a neuron is cut off as well.",
             lambda book: cut_off(book, lambda first, second: first)),
        Slip("These are the dormant neurons of hidden 1. Are all of them cut off?",
             lambda book: {rule: one for rule, (one, _) in dormant_by_layer(book).items()}))),
}
