"""Exercises of notebook 10: the hypothesis over training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from regrow.record import Record
from regrow.tails.fit import fit_tail
from regrow.tails.goodness import goodness_of_fit
from regrow_companion import study
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number, table
from regrow_companion.session import Session

N_SETS = 500


def _groups(book: Session) -> dict[str, list[Record]]:
    return study.by_method(book.records("fig07"))


def _combined(book: Session, how: Callable[[np.ndarray], float]) -> dict[str, float]:
    """The p of all seeds after the first update in one number, by strategy; 0 of N sets counts as 1 / (N + 1)."""
    def p(record: Record) -> float:
        k = record.hidden_degrees(1)
        return goodness_of_fit(k, fit_tail(k, record.thresholds.high), N_SETS).p

    return {strategy: float(how(np.maximum([p(record) for record in group], 1 / (N_SETS + 1))))
            for strategy, group in _groups(book).items()}


def fisher(book: Session) -> dict[str, float]:
    return _combined(book, lambda values: stats.combine_pvalues(values, "fisher").pvalue)


def in_degrees(book: Session) -> dict[str, float]:
    """D sqrt(n) of the hidden neurons' in-degrees at the end, mean over seeds."""
    return _distances(book, lambda r: np.concatenate([r.in_degree[name][-1] for name in r.layers[:-1]]).astype(int))


def _distances(book: Session, degrees: Callable[[Record], np.ndarray]) -> dict[str, float]:
    return {strategy: float(np.mean([_distance(degrees(record), record.thresholds.high) for record in group]))
            for strategy, group in _groups(book).items()}


def _distance(k: np.ndarray, x_min: int) -> float:
    fit = fit_tail(k, x_min)
    return float(fit.D * np.sqrt(fit.n_tail))


def pooled(book: Session) -> dict[str, float]:
    """D sqrt(n) after the first update, the degrees of all seeds in one tail."""
    return {strategy: _distance(np.concatenate([record.hidden_degrees(1) for record in group]), x_min)
            for strategy, group in _groups(book).items() for x_min in [group[0].thresholds.high]}


EXERCISES = {
    "1": Exercise("a table of Fisher's combined p by strategy", fisher, table(number(rel=0.05)), (
        Slip("This is the mean of the p-values, which is no p-value.", lambda book: _combined(book, np.mean)),
        Slip("This is the product of the p-values. What is the chance of so small a product?",
             lambda book: _combined(book, np.prod)),
        Slip("Each seed brings two degrees of freedom.",
             lambda book: _combined(book, lambda p: stats.chi2.sf(-2 * np.log(p).sum(), len(p)))))),
    "2": Exercise("a table of D sqrt(n) of the in-degrees at the end by strategy, mean over seeds", in_degrees,
                  table(), (
        Slip("This is D sqrt(n) of the total degrees.", lambda book: _distances(book, lambda r: r.hidden_degrees(-1))),
        Slip("These are out-degrees: the rows of a mask receive.", lambda book: _distances(
            book, lambda r: np.concatenate([r.out_degree[name][-1] for name in r.layers[1:]]).astype(int))))),
    "3": Exercise("a table of D sqrt(n) after the first update by strategy, all seeds in one tail", pooled, table(), (
        Slip("This is the mean over the seeds. Put their degrees into one array first.",
             lambda book: _distances(book, lambda record: record.hidden_degrees(1))),)),
}
