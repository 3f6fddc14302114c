"""Exercises of notebook 06: fitting a power law."""

from __future__ import annotations

import numpy as np
from scipy import special

from regrow.record import Record
from regrow.tails.fit import TailFit, fit_tail
from regrow.tails.goodness import generator, sample
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number, table
from regrow_companion.session import Session

SIGMA, ALPHA, X_MIN = 0.01, 2.5, 10
ENDS = (400, 800, 1600, 3200, 6400, 12800)
TOO_LARGE = 0.08


def network(book: Session) -> Record:
    """The one whose degrees notebooks 06 and 06b look at."""
    return next(record for record in book.records("fig02") if record.config.grow == "gradient")


def _fit(book: Session) -> TailFit:
    return fit_tail(network(book).hidden_degrees(-1), network(book).thresholds.high)


def precision(book: Session, errors: float = np.sqrt(2)) -> dict[str, float]:
    """Values needed for SIGMA, from the exact curvature of the likelihood, and the difference of two such networks
    that is two standard errors: each of both networks has its error."""
    h = 1e-4
    low, at, high = np.log(special.zeta([ALPHA - h, ALPHA, ALPHA + h], X_MIN))
    return {"values": h**2 / ((high - 2 * at + low) * SIGMA**2), "difference": 2 * errors * _fit(book).sigma}


def nearest_start(book: Session) -> dict[str, float]:
    """The fit with the smallest D of all that begin at a degree that occurs."""
    k = network(book).hidden_degrees(-1)
    fits = [fit_tail(k, int(start)) for start in np.unique(k[k > 0])[:-1]]
    return _numbers(min(fits, key=lambda fit: fit.D))


def _numbers(fit: TailFit) -> dict[str, float]:
    return {"x_min": fit.xmin, "alpha": fit.alpha, "n_tail": fit.n_tail}


def forgotten(book: Session, too_large: float = TOO_LARGE) -> int:
    """The smallest end of a law with exponent 2.2 that a fit without an end misses by less than this."""
    fits = ((end, fit_tail(sample(2.2, 110, 20_000, generator("exercise 3", end), xmax=end), 110)) for end in ENDS)
    return next((end for end, fit in fits if fit.alpha - 2.2 < too_large), 0)


EXERCISES = {
    "1": Exercise("a table: how many values give sigma = 0.01, and which difference is two standard errors", precision,
                  table(number(rel=0.05)), (
        Slip("The number of values is right. But both networks have an error, and errors add up in squares.",
             lambda book: precision(book, errors=1.0)),
        Slip("The number of values is right. Errors add up in squares, not one to one.",
             lambda book: precision(book, errors=2.0)),
        Slip("Sigma falls with the root of the number of values, not with the number itself.",
             lambda book: precision(book) | {"values": (ALPHA - 1) / SIGMA}))),
    "2": Exercise("a table of x_min, alpha and n_tail of the fit with the smallest distance", nearest_start,
                  table(number(rel=0.002)), (
        Slip("This is the fit from the paper's start. Try every degree that occurs.",
             lambda book: _numbers(_fit(book))),
        Slip("This start gives the smallest sigma, for it keeps every value. Look at D.",
             lambda book: _numbers(fit_tail(network(book).hidden_degrees(-1), 1))))),
    "3": Exercise("one of the ends 400, 800, 1,600, 3,200, 6,400 and 12,800", forgotten, number(rel=0), (
        Slip("With this end the exponent is still a tenth too large.", lambda book: forgotten(book, 0.15)),
        Slip("This far away it hardly matters; a nearer end is enough.", lambda book: ENDS[-1]))),
}
