"""Exercises of notebook 19: how much of the network is ever tried."""

from __future__ import annotations

from functools import partial
from math import ceil, log

import numpy as np

from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number, table
from regrow_companion.section8 import nb19_exploration as exploration
from regrow_companion.session import Session

RATE, DENSITY = 0.3, 0.05
CONNECTIONS, PLACES, UPDATES = 129_918, 1024 * 3072, 264  # of the paper's first layer


def updates_needed(book: Session, untried: float = 1 - DENSITY, free: float = 1 - DENSITY + RATE * DENSITY) -> int:
    """Updates of random growth after which a tenth of all places is untried; `untried` at first."""
    return ceil(log(0.1 / untried) / log(1 - RATE * DENSITY / free))


def left_untried(book: Session, often: int = 4) -> float:
    """The share of the first layer's places that random growth never tries, with so many times the updates."""
    updates = often * UPDATES
    rates = 0.25 * (1 + np.cos(np.pi * np.arange(1, updates + 1) / updates))
    return 1 - float(exploration.by_chance(CONNECTIONS, PLACES, rates)[-1])


def beside_chance(book: Session, part: float = 0.1, beginning: bool = False) -> dict[str, float]:
    """Explored over chance at a part of training, by rule; with what everyone begins with, if `beginning`."""
    every = exploration.explored(book.records("topology"))
    found = {}
    for rule, curve in every.groupby("strategy"):
        means = curve.groupby("epoch")[["percent", "chance"]].mean().to_numpy()
        start, then = means[0], means[round(part * (len(means) - 1))]
        percent, chance = then if beginning else then - start
        found[str(rule)] = float(percent / chance)
    return found


EXERCISES = {
    "1": Exercise("a whole number of updates", updates_needed, number(rel=0), (
        Slip("This begins with nothing tried. The first wiring counts, too.", partial(updates_needed, untried=1.0)),
        Slip("A new connection takes a free place, so divide by the free places and not by all.",
             partial(updates_needed, free=1.0)))),
    "2": Exercise("a share of places between 0 and 1", left_untried, number(rel=0.02), (
        Slip("This is a quarter of what is left untried now. Chances to stay untried multiply.",
             lambda book: left_untried(book, 1) / 4),
        Slip("This is what the paper's interval leaves.", partial(left_untried, often=1)),
        Slip("This is what is tried; what is left?", lambda book: 1 - left_untried(book)))),
    "3": Exercise("a table by rule, explored over chance at a tenth of training, both without the first wiring",
                  beside_chance, table(number(rel=0.01)), (
        Slip("Take off what everybody begins with.", partial(beside_chance, beginning=True)),
        Slip("This is at the end of training.", partial(beside_chance, part=1.0)),
        Slip("This is chance over explored.",
             lambda book: {rule: 1 / of for rule, of in beside_chance(book).items()}))),
}
