"""Exercises of notebook 18: who gains, who loses, who is active."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow_companion import study
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import function, number, table
from regrow_companion.section8 import nb18_attachment as attachment
from regrow_companion.section8 import nb18_mechanism as mechanism
from regrow_companion.session import Session

PLACES, GROWN = 200, 8000


def at_first(book: Session, layer: str = "fc1", side: str = "in", until: float = 0.0) -> dict[str, float]:
    """Exponents of attachment by rule at the first update, or up to a part of the updates without the first."""
    every = mechanism.tables(book.profile, book.store.root, study.SHIPPED).exponents
    first = every["step"] == every["step"].min()
    when = ~first & (every["step"] <= until * every["step"].max()) if until else first
    of = every[when & (every["layer"] == layer) & (every["side"] == side)].dropna(subset="attachment")
    return {rule: float(np.average(rows["attachment"], weights=rows["attachment_information"]))
            for rule, rows in of.groupby("strategy") if rule in ("gradient", "momentum")}


def change(k: NDArray[np.float64]) -> NDArray[np.float64]:
    """What an update adds to degrees [n] in the mean: everybody gains alike, as many as all lose together."""
    lost = k * (1 - np.minimum(1, k / (2 * k.mean())))
    return np.asarray(lost.mean() - lost)


def _without_growth(k: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-k * (1 - np.minimum(1, k / (2 * k.mean()))))


def _growth_by_degree(k: NDArray[np.float64]) -> NDArray[np.float64]:
    lost = -_without_growth(k)
    return np.asarray(lost.sum() * k / k.sum() - lost)


def _layers() -> Iterator[tuple[str, tuple[Any, ...]]]:
    yield "three neurons", (np.array([80.0, 100.0, 120.0]),)
    yield "equal degrees", (np.full(5, 40.0),)
    yield "a neuron of more than twice the mean degree", (np.array([10.0, 10, 10, 90]),)
    yield "a neuron without connections", (np.array([0.0, 30, 60]),)


def with_and_without(book: Session) -> dict[str, float]:
    """Exponents fitted to gains by chance, with the free places as weights and without."""
    k = np.arange(1, PLACES)
    free = PLACES - k
    draw = np.random.default_rng(0).multivariate_hypergeometric(free, GROWN)
    return {name: attachment.exponent(draw, expected, k).value
            for name, expected in (("with", GROWN * free / free.sum()), ("without", np.ones(len(k))))}


EXERCISES = {
    "1": Exercise("a table of two exponents, in-degrees of hidden 1", at_first, table(number(rel=0.01)), (
        Slip("These are the early phase, which leaves the first update out.", partial(at_first, until=0.1)),
        Slip("These are the in-degrees of hidden 2.", partial(at_first, layer="fc2")),
        Slip("These are out-degrees.", partial(at_first, layer="fc2", side="out")))),
    "2": Exercise("a function of degrees [n] that returns their mean changes [n] in one update", lambda book: change,
                  function(_layers), (
        Slip("Here connections only get lost. As many grow, and every neuron gains alike.",
             lambda book: _without_growth),
        Slip("Here growth goes by degree. In this layer it is random.", lambda book: _growth_by_degree),
        Slip("Nothing survives with a probability above 1.",
             lambda book: lambda k: (lost := k * (1 - k / (2 * k.mean()))).mean() - lost))),
    "3": Exercise("a table of two exponents", with_and_without, table(number(rel=0, within=0.02)), (
        Slip("With and without are exchanged: by chance there is no preference.",
             lambda book: dict(zip(("without", "with"), with_and_without(book).values(), strict=True))),
        Slip("The weight is in neither of these: E_i is in proportion to the free places, 200 - k.",
             lambda book: dict.fromkeys(("with", "without"), with_and_without(book)["without"])))),
}
