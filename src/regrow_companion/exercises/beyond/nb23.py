"""Exercises of notebook 23: winning tickets and weighted degrees."""

from __future__ import annotations

from math import ceil, log

import numpy as np

from regrow_companion import study
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number, table
from regrow_companion.section8 import cases, strength
from regrow_companion.section8 import nb23_tickets as tickets
from regrow_companion.session import Session

PACES = (0.2, 0.4)
LEFT = 0.05


def trainings(book: Session, dense: int = 1) -> dict[float, int]:
    """Trainings until less than LEFT of the hidden layers' connections is there, by the share that goes a round."""
    return {pace: ceil(log(LEFT) / log(1 - pace)) + dense for pace in PACES}


def shuffled(book: Session, per_connection: bool = False) -> float:
    """Exponent of strength, or of the mean weight of a neuron, by degree, when weights are dealt out by chance."""
    chance = np.random.default_rng(1)
    k = np.repeat([5, 10, 20, 40, 80, 160], 200)
    s = np.array([chance.lognormal(0, 0.5, n).sum() for n in k])
    return strength.exponent(k, s / k if per_connection else s, draws=1).beta


def wasted(book: Session, neurons: bool = False, gone: bool = False) -> dict[str, float]:
    """Connections of hidden neurons that lack inputs or outputs, by kind of network; with `neurons` the neurons
    themselves, with `gone` those that lack both."""
    every = cases.tables(tickets.EXPERIMENT, book.profile, book.store.root, study.SHIPPED)["neurons"]
    ends = every[every["round"] == every["round"].max()]
    found = {}
    for kind, of in ends.groupby("kind"):
        k_in, k_out = of["in_degree"].to_numpy(), of["out_degree"].to_numpy()
        dead = (k_in == 0) & (k_out == 0) if gone else (k_in == 0) != (k_out == 0)
        found[str(kind)] = float(dead.sum() if neurons or gone else (k_in + k_out)[dead].sum())
    return found


EXERCISES = {
    "1": Exercise("a table of two whole numbers of trainings", trainings, table(number(rel=0)), (
        Slip("These are the rounds of pruning. The dense network is trained, too.",
             lambda book: trainings(book, dense=0)),
        Slip("A round takes its share of what is left, not of the whole.",
             lambda book: {pace: ceil((1 - LEFT) / pace) + 1 for pace in PACES}))),
    "2": Exercise("a number, the exponent", shuffled, number(rel=0, within=0.1), (
        Slip("This is the exponent of a neuron's mean weight. Strength is a sum over its connections.",
             lambda book: shuffled(book, per_connection=True)),)),
    "3": Exercise("a table by kind of network, connections of dead ends in all its networks together", wasted,
                  table(number(rel=0)), (
        Slip("These are neurons; how many connections do they have?", lambda book: wasted(book, neurons=True)),
        Slip("These neurons are gone on both sides, so they waste nothing.", lambda book: wasted(book, gone=True)))),
}
