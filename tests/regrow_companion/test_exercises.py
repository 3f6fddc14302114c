"""Exercises: every truth is accepted, every slip is told by name, no answer raises, and nothing is given away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from regrow import RunConfig, Store
from regrow.record import Record
from regrow.store import require
from regrow_companion import exercises, session
from regrow_companion.exercises import Exercise, Slip, grading
from regrow_companion.runner.index import read_index
from regrow_companion.study import REPOSITORY

NOTEBOOKS = [entry.id for entry in read_index(REPOSITORY / "notebooks" / "index.yml")]
SLOW = {"00", "07", "13", "15", "17", "20"}  # their truths train, run Gibbs chains or evaluate the ledger
ODD: tuple[Any, ...] = ("text", float("nan"), np.inf, [], {}, [1, [2]], object(), lambda: None, pd.DataFrame(),
                        torch.zeros(7), {"a": float("nan")}, b"bytes", np.array([None]), int, 1j, {1: ...})


@pytest.fixture
def book(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> session.Session:
    """A session of a notebook at the paper's scale, on the records that ship; they are read once."""
    known: dict[tuple[str, ...], list[Record]] = {}

    def kept(store: Store, configs: Sequence[RunConfig], remedy: str) -> list[Record]:
        keys = tuple(config.key for config in configs)
        if keys not in known:
            known[keys] = require(store, configs, remedy)
        return known[keys]

    monkeypatch.setattr(session, "require", kept)
    return session.start(request.param, profile="replay", store=str(tmp_path))


@pytest.mark.parametrize("book", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n
                                  for n in NOTEBOOKS if exercises.of_notebook(n)], indirect=True, ids=str)
def test_the_truth_is_right_every_slip_is_told_by_name_and_nothing_raises(book: session.Session) -> None:
    for number, exercise in exercises.of_notebook(book.notebook).items():
        truth = exercise.truth(book)
        assert exercise.grade(truth, truth) == "" and exercise.slips
        kept = Exercise(exercise.expects, lambda _, truth=truth: truth, exercise.grade, exercise.slips)
        for slip in exercise.slips:
            wrong = slip.wrong(book)
            assert exercise.grade(truth, wrong) not in ("", slip.says), f"{number}, not wrong: {slip.says}"
            assert exercises.complaint(kept, book, wrong) == slip.says
        for answer in ODD:
            said = exercise.grade(truth, answer)
            assert said.endswith((".", "`?")) or "stops with" in said, (number, answer, said)


def example(truth: Any, grade: grading.Grader, *slips: Slip) -> Exercise:
    return Exercise("one number", lambda book: truth, grade, slips)


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Iterator[session.Session]:
    """A notebook with one exercise, whose truth is 40."""
    slip = Slip("This is the mean.", lambda book: 20)
    monkeypatch.setattr(exercises, "of_notebook", lambda notebook: {"1": example(40, grading.number(), slip)})
    yield session.start("05", profile="replay")


def test_check_says_right_or_what_is_off(one: session.Session) -> None:
    assert one.check(1, 40.1) and repr(one.check("1", 40)) == "Exercise 1: right."
    assert not one.check(1, 20) and repr(one.check(1, 20)) == "Exercise 1: This is the mean."
    assert repr(one.check(1, 50)) == "Exercise 1: Too large."
    assert repr(one.check(7, 50)) == "This notebook has no exercise 7; it has 1."


def test_without_an_answer_nothing_is_computed(monkeypatch: pytest.MonkeyPatch, one: session.Session) -> None:
    never = Exercise("one number", lambda book: pytest.fail("computed"), grading.number(), ())
    monkeypatch.setattr(exercises, "of_notebook", lambda notebook: {"1": never})
    for answer in (..., None):
        assert repr(one.check(1, answer)) == "Exercise 1: your turn. Expected: one number."


def test_without_records_check_says_so(tmp_path: Path) -> None:
    book = session.start("05", profile="paper", store=str(tmp_path))
    said = repr(book.check(2, 5))
    assert said.startswith("Exercise 2: it cannot be checked here.") and "regrow run --profile paper" in said


def test_a_notebook_without_exercises_has_none() -> None:
    assert exercises.of_notebook("nothing") == {} == exercises.of_notebook("99")


@pytest.mark.parametrize(("grade", "truth", "answer", "says"), [
    (grading.number(), 0.25, 0.2501, ""),
    (grading.number(), 0.25, np.array([0.25]), ""),
    (grading.number(), 0.25, torch.tensor(0.25), ""),
    (grading.number(), 0.25, "0.25", "A number is expected here, and this is text."),
    (grading.number(), 0.25, 25, "Off by a factor of 100: look at the units."),
    (grading.number(share=True), 0.25, 25, "This looks like a percentage; a share between 0 and 1 is asked for."),
    (grading.number(share=True), 0.25, 0.75, "This is the share of all the others."),
    (grading.number(), 3, -3, "The sign is wrong."),
    (grading.number(), 3, 2, "Too small."),
    (grading.number(rel=0), 3, 3.01, "Too large."),
    (grading.number(within=0.5), 0, 0.4, ""),
    (grading.table(), {"a": 1, "b": 2}, pd.Series({"b": 2, "a": 1}), ""),
    (grading.table(), {"a": 1, "b": 2}, {"a": 1, "b": 3}, "1 of 2 are right. b: too large."),
    (grading.table(), {"a": 1, "b": 2}, {"a": 1}, "There is no value for b."),
    (grading.table(), {"a": 1}, {"a": 1, "c": 1}, "The table has c, which nobody asked for; the names are a."),
    (grading.array(), [[1, 2], [3, 4]], [[1, 2], [0, 4]], "1 of 4 entries are off, the first one at (1, 0)."),
    (grading.array(), [1, 2], [1, 2, 3], "The shape is (3,); it should be (2,)."),
    (grading.array(), np.array([True, False]), [True, True],
     "2 entries are true, which are too many; the first that is off is at 1."),
    (grading.array(rel=0.1), [10.0, 20.0], torch.tensor([10.5, 19.0]), ""),
    (grading.choice("random", "gradient"), "random", " Random", ""),
    (grading.choice("random", "gradient"), "random", "gradient", "It is not 'gradient'."),
    (grading.choice("random", "gradient"), "random", 3, "Choose one of random, gradient, in quotation marks."),
    (grading.several("a", "b", "c"), {"a", "b"}, ["b", "a"], ""),
    (grading.several("a", "b", "c"), {"a", "b"}, "a", "What is there belongs there, but there are more."),
    (grading.several("a", "b", "c"), {"a", "b"}, {"a", "c"}, "There is one in it that does not belong there."),
    (grading.ranking("a", "b"), ["b", "a"], ["b", "a"], ""),
    (grading.ranking("a", "b"), ["b", "a"], ["a", "b"], "Place 1 is not right."),
    (grading.ranking("a", "b"), ["b", "a"], ["a"], "A list of a, b in order is expected here, each of them once."),
])
def test_what_graders_say(grade: grading.Grader, truth: Any, answer: Any, says: str) -> None:
    assert grade(truth, answer) == says


def test_a_function_is_tried_on_cases_it_does_not_see() -> None:
    grade = grading.function(lambda: [("an empty list", ([],)), ("two numbers", ([1.0, 3.0],))])

    def mean(x: list[float]) -> float:
        return sum(x) / len(x) if x else 0.0

    assert grade(mean, lambda x: np.mean(x) if x else 0) == ""
    assert grade(mean, lambda x: sum(x) / len(x)).startswith("With an empty list it stops with ZeroDivisionError")
    assert grade(mean, sum) == "With two numbers it is off. 1 of 1 entries are off, the first one there."
    assert grade(mean, lambda x: None) == "With an empty list it returns nothing: is there a `return`?"
    assert grade(mean, 3) == "A function is expected here, without brackets behind its name, and this is of type int."
