"""Exercises of notebook 22: layers that trade connections, and networks that grow."""

from __future__ import annotations

from functools import partial
from math import sqrt

import numpy as np

from regrow_companion import study
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import array, number, table
from regrow_companion.section8 import cases
from regrow_companion.section8 import nb22_layers as layers
from regrow_companion.session import Session

CONNECTIONS, TURNOVER, FOUNDERS, NEURONS = 1e5, 2e3, 100, 200


def held_by_founders(book: Session, layer: str = "hidden 1") -> dict[str, float]:
    """The founders' share of the incoming connections: by the first-mover law, and under random growth in a layer."""
    ages = cases.tables(layers.EXPERIMENT, book.profile, book.store.root, study.SHIPPED)["ages"]
    ages = ages[(ages["kind"] == "growing") & (ages["strategy"] == "random") & (ages["nodes"] == layer)]
    k = ages["in_degree"]
    return {"by the law": sqrt(FOUNDERS / NEURONS), "measured": float(k[ages["birth"] == 0].sum() / k.sum())}


def simulated(book: Session, power: float = 1.5, over_mean: bool = True) -> list[float]:
    """Degrees over the mean of a founder and the 101st, 150th and 200th neuron, with gains by degree ** power."""
    k = np.full(FOUNDERS, CONNECTIONS / FOUNDERS)
    while len(k) < NEURONS:
        m = CONNECTIONS / (2 * (len(k) + 1))
        gains = (TURNOVER - m) * k**power / (k**power).sum()
        k = np.append(k - k * TURNOVER / CONNECTIONS + gains, m)
    chosen = k[[0, 100, 149, 199]]
    return [float(value) for value in (chosen / k.mean() if over_mean else chosen)]


EXERCISES = {
    "1": Exercise("a table of two shares between 0 and 1", held_by_founders, table(number(rel=0.01, share=True)), (
        Slip("This is their share of the neurons. A founder has more than the mean.",
             lambda book: held_by_founders(book) | {"by the law": FOUNDERS / NEURONS}),
        Slip("This is a founder's degree over the mean; how many of all neurons are founders?",
             lambda book: held_by_founders(book) | {"by the law": sqrt(NEURONS / FOUNDERS)}),
        Slip("This is hidden 2.", partial(held_by_founders, layer="hidden 2")))),
    "2": Exercise("a share between 0 and 1, of the weights of the layer with 1024 inputs",
                  lambda book: 0.5 * sqrt(1024 / 3072), number(rel=0.02, share=True), (
        Slip("The other way round: fewer inputs, larger weights.", lambda book: 0.5 * sqrt(3072 / 1024)),
        Slip("The width of the weights goes with the root of the number of inputs.",
             lambda book: 0.5 * 1024 / 3072))),
    "3": Exercise("a list of four numbers: founder, 101st, 150th, 200th neuron, each over the mean", simulated,
                  array(rel=0.01), (
        Slip("This is linear: its gains have the weight k.", partial(simulated, power=1.0)),
        Slip("Divide by the mean degree at the end.", partial(simulated, over_mean=False)))),
}
