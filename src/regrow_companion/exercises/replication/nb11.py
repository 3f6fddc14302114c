"""Exercises of notebook 11: which pixels a network looks at."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import stats

from regrow_companion import study
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import array, number, table
from regrow_companion.plots import nb11_heat_maps as heat_maps
from regrow_companion.session import Session

PAIRS = (("random", "gradient"), ("random", "momentum"), ("gradient", "momentum"))


def _maps(book: Session, moment: int = -1) -> dict[str, np.ndarray]:
    """Maps at a moment, [seeds, H, W], by strategy."""
    return {method: np.array([heat_maps.input_maps(record)[moment] for record in group], dtype=float)
            for method, group in study.by_method(book.records("fig08")).items()}


def of_mean_maps(book: Session) -> dict[str, list[float]]:
    """[concentration in the top tenth of the pixels, overlap with the mirror image] of the seeds' mean map."""
    return {method: _numbers(maps.mean(axis=0)) for method, maps in _maps(book).items()}


def of_single_maps(book: Session) -> dict[str, list[float]]:
    return {method: np.mean([_numbers(one) for one in maps], axis=0).tolist() for method, maps in _maps(book).items()}


def _numbers(one: np.ndarray) -> list[float]:
    richest = np.sort(one, axis=None)[::-1]
    mirrored = np.minimum(one, one[:, ::-1]).sum()
    return [float(richest[:round(0.1 * one.size)].sum() / one.sum()), float(mirrored / one.sum())]


def alike(book: Session, moment: int = -1) -> dict[str, float]:
    """Spearman's correlation of the mean maps, pair by pair."""
    mean = {method: stats.rankdata(maps.mean(axis=0)) for method, maps in _maps(book, moment).items()}
    return {f"{a} and {b}": float(np.corrcoef(mean[a], mean[b])[0, 1]) for a, b in PAIRS}


def outwards(book: Session, corner: bool = False) -> dict[str, float]:
    """Spearman's correlation of a pixel's degree with its distance from the centre, or a corner, mean over seeds."""
    def correlation(one: np.ndarray) -> float:
        origin = np.zeros(2) if corner else (np.array(one.shape) - 1) / 2
        y, x = np.indices(one.shape) - origin[:, None, None]
        return float(stats.spearmanr(np.hypot(y, x).ravel(), one.ravel())[0])

    return {method: float(np.mean([correlation(one) for one in maps])) for method, maps in _maps(book).items()}


EXERCISES = {
    "1": Exercise("a table by strategy, [concentration, overlap] of the mean map at the end", of_mean_maps,
                  table(array(rel=0.003)), (
        Slip("These are the means of single maps. Average the maps first.", of_single_maps),
        Slip("Overlap and concentration are exchanged.",
             lambda book: {method: pair[::-1] for method, pair in of_mean_maps(book).items()}))),
    "2": Exercise('a table of three correlations by pair, such as "random and gradient"', alike,
                  table(number(rel=0, within=0.01)), (
        Slip("These are the maps before training, which only share a seed.", partial(alike, moment=0)),)),
    "3": Exercise("a table by strategy, Spearman's correlation of degree and distance from the centre, mean over seeds",
                  outwards, table(number(rel=0, within=0.01)), (
        Slip("This is the distance from the first pixel, a corner.", partial(outwards, corner=True)),
        Slip("The sign is turned round: a pixel far out with few connections makes it smaller.",
             lambda book: {method: -found for method, found in outwards(book).items()}))),
}
