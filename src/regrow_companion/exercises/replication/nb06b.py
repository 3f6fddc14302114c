"""Exercises of notebook 06b: testing a power law."""

from __future__ import annotations

import numpy as np

from regrow.tails.fit import fit_tail, select_xmin
from regrow.tails.goodness import RULES, generator, goodness_of_fit
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number, table
from regrow_companion.exercises.replication.nb06 import network
from regrow_companion.session import Session

RUNS = 15  # three growth rules, five seeds
SIZES = (75, 150, 300, 600, 1200)


def passing(book: Session) -> dict[str, float]:
    """Networks that pass either rule on average if all are scale-free, and the chance that none passes the paper's."""
    return {name: RUNS * (1 - RULES[name]) for name in ("usual", "paper")} | {"none": RULES["paper"] ** RUNS}


def noticed(book: Session, share: float = 0.9) -> int:
    """The smallest size at which the usual rule rejects this share of rounded log-normal tails."""
    for n in SIZES:
        rng = generator("power", n)
        draws = (np.floor(rng.lognormal(3.5, 1.4, 20 * n)).astype(int) for _ in range(100))
        tails = [x[x >= 110][:n] for x in draws]
        p = [goodness_of_fit(x, fit_tail(x, 110), 100, key=i).p for i, x in enumerate(tails)]
        if np.mean(np.array(p) < RULES["usual"]) >= share:
            return n
    return 0


def chosen_start(book: Session) -> dict[str, float]:
    """p of the fit with the smallest D, with synthetic sets that keep its start and with such that choose theirs."""
    k = network(book).hidden_degrees(-1)
    fit, _ = select_xmin(k)
    return {null: goodness_of_fit(k, fit, 200, null=null).p for null in ("tail", "reselect")}


def paper_start(book: Session) -> dict[str, float]:
    """The same of the start of notebook 06, which cannot be reselected."""
    k = network(book).hidden_degrees(-1)
    p = goodness_of_fit(k, fit_tail(k, network(book).thresholds.high), 200).p
    return {"tail": p, "reselect": p}


EXERCISES = {
    "1": Exercise("a table: how many of 15 pass the usual rule and the paper's, and the chance that none passes the "
                  "paper's", passing, table(number(rel=0.01)), (
        Slip("These are the networks that the rules turn away.",
             lambda book: {name: RUNS - value for name, value in passing(book).items()} | {
                 "none": passing(book)["none"]}),
        Slip("Both numbers are right. That one network fails has the probability 0.95; now all 15 have to.",
             lambda book: passing(book) | {"none": 1 - (1 - RULES["paper"]) ** RUNS}))),
    "2": Exercise("one of the sizes 75, 150, 300, 600 and 1,200", noticed, number(rel=0), (
        Slip("With so many it does; a smaller number is enough.", lambda book: SIZES[-1]),
        Slip("So many are enough for every other tail; nine of ten are asked for.", lambda book: noticed(book, 0.5)))),
    "3": Exercise("a table of p for both ways", chosen_start, table(number(rel=0, within=0.08)), (
        Slip("This is p from the start of notebook 06. Let the data choose it first.", paper_start),
        Slip("Sets that choose for themselves lie closer to their fits: the two p differ.",
             lambda book: dict.fromkeys(("tail", "reselect"), chosen_start(book)["tail"])))),
}
