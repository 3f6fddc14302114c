"""Exercises of notebook 00: the tour."""

from __future__ import annotations

from functools import partial

import numpy as np

from regrow import RunConfig, models, sparsity
from regrow.record import Record
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import choice, number, table
from regrow_companion.session import Session

BASE = RunConfig(hidden=(300, 100), epochs=3, update_interval=51)
FIXED = BASE.but(prune="none", grow="none")


def factors(book: Session) -> dict[str, float]:
    """How many times as many connections each layer has at 90 % sparsity as at 95 %."""
    shapes = models.weight_shapes(BASE, 10, (1, 28, 28))
    few, many = (sparsity.connection_counts(shapes, density, "erk") for density in (0.05, 0.1))
    return {layer: many[layer] / few[layer] for layer in shapes}


def nearest(book: Session) -> str:
    """Whose largest in-degree is nearer to that of momentum growth."""
    largest = {grow: int(_run(book, BASE.but(grow=grow)).in_degree["fc1"][-1].max())
               for grow in ("random", "gradient", "momentum")}
    return min(("random", "gradient"), key=lambda grow: abs(largest[grow] - largest["momentum"]))


def ahead(book: Session, what: str = "test_accuracy") -> dict[str, float]:
    """Points by which the fixed wiring and the dense network are ahead of random growth at the end."""
    start = getattr(_run(book, BASE.but(grow="random")), what)[-1]
    others = {"static": FIXED, "dense": FIXED.but(sparsity=0.0)}
    return {name: float(getattr(_run(book, config), what)[-1] - start) for name, config in others.items()}


def _run(book: Session, config: RunConfig) -> Record:
    return book.store.ensure(config)


EXERCISES = {
    "1": Exercise("a table of three numbers: how many times as many connections each layer has at 90 % sparsity",
                  factors, table(), (
        Slip("A layer cannot have more connections than places. What happens to its share?",
             lambda book: dict.fromkeys(("fc1", "fc2", "fc3"), 2.0)),
        Slip("These are densities at 90 % sparsity; divide by those at 95 %.", lambda book: sparsity.densities(
            models.weight_shapes(BASE, 10, (1, 28, 28)), 0.1, "erk")))),
    "2": Exercise('one of the words "random" and "gradient"', nearest, choice("random", "gradient"), (
        Slip("Averaging takes noise out of the gradient. Does it turn it into chance?", lambda book: "random"),)),
    "3": Exercise("a table of points by which each is ahead of random growth, less than 0 if it is behind", ahead,
                  table(number(rel=0, within=0.25)), (
        Slip("These are points behind: ahead is the other way round.",
             lambda book: {name: -points for name, points in ahead(book).items()}),
        Slip("This is the validation accuracy.", partial(ahead, what="val_accuracy")),
        Slip("These are shares of one, not points in percent.",
             lambda book: {name: np.float64(points / 100) for name, points in ahead(book).items()}))),
}
