"""Exercises of notebook 01: the question."""

from __future__ import annotations

import numpy as np

from regrow import RunConfig
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number, table
from regrow_companion.plots.nb04_initial_degrees import initial_wiring
from regrow_companion.session import Session

NEURONS, CONNECTIONS, RATE, UPDATES = 300, 3000, 0.3, 200


def negatives_gone(book: Session) -> dict[str, int]:
    """How many negative weights go at RATE, one in ten being negative and larger than all others."""
    weights = np.random.default_rng(0).random(1000)
    weights[::10] = -1 - weights[::10]
    smallest = np.argsort(np.abs(weights))[:round(RATE * len(weights))]
    return {"magnitude": int((weights[smallest] < 0).sum()), "set": round(RATE * int((weights < 0).sum()))}


def left_without(book: Session, bonus: int = 0, games: int = 10) -> float:
    """Neurons without connection after UPDATES, mean of `games`: connections go to neurons in proportion to their own
    number and a bonus. Only degrees are followed."""
    rng, dead = np.random.default_rng(0), []
    moved = round(RATE * CONNECTIONS)
    for _ in range(games):
        k = rng.multinomial(CONNECTIONS, np.full(NEURONS, 1 / NEURONS))
        for _ in range(UPDATES):
            k = k - rng.multivariate_hypergeometric(k, moved, method="marginals")
            k = k + rng.multinomial(moved, (k + bonus) / (k + bonus).sum())
        dead.append(int((k == 0).sum()))
    return float(np.mean(dead))


def complete(book: Session, others: int = 0) -> dict[str, float]:
    """Neurons of hidden 1 that could see every pixel, and what is left for each of the others."""
    shapes, counts = initial_wiring(RunConfig(dataset="cifar10"))
    neurons, pixels = shapes["fc1"]
    full = counts["fc1"] // pixels
    return {"complete": full, "others": (counts["fc1"] - full * pixels) / (others or neurons - full)}


EXERCISES = {
    "1": Exercise("a table of two numbers: how many negative weights go under either rule", negatives_gone,
                  table(number(rel=0)), (
        Slip("This would be so if the two signs had the same sizes. Here every negative weight is larger than all "
             "positive ones.", lambda book: {"magnitude": 30, "set": 30}),
        Slip("SET takes the same share of both signs, not the same number.",
             lambda book: {"magnitude": 0, "set": 150}))),
    "2": Exercise("a number of neurons; the chance of your draws may move it by some ten", left_without,
                  number(rel=0.15), (
        Slip("This is the game with the one more, in which nobody is lost for ever.",
             lambda book: left_without(book, bonus=1)),)),
    "3": Exercise("a table: how many neurons are complete, and how many connections each other one has on average",
                  complete, table(number(rel=0.005)), (
        Slip("The others are fewer than all neurons.", lambda book: complete(book, others=1024)),)),
}
