"""Exercises that one can do: what a notebook asks, and what `book.check` says to an answer, never the answer itself.

A notebook's exercises are the mapping EXERCISES of its module, by number; the truth is computed when an answer is
checked, from the records of the session at hand. `grading` says what is off in words.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from regrow.errors import RegrowError
from regrow_companion.exercises.grading import Grader

FIRST_BEYOND = 18  # notebooks from here on go beyond the paper


@dataclass(frozen=True)
class Slip:
    """A wrong answer that is often given: how it comes about, from the session, and what helps whoever gave it."""

    says: str
    wrong: Callable[[Any], Any]


@dataclass(frozen=True)
class Exercise:
    """One question. `expects` names the kind of answer, `truth` computes it from the session, `grade` compares."""

    expects: str
    truth: Callable[[Any], Any]
    grade: Grader
    slips: tuple[Slip, ...]


@dataclass(frozen=True, repr=False)
class Verdict:
    """What `check` says. It is true if the answer is right, and a notebook shows its sentence."""

    right: bool
    says: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return self.says


def of_notebook(notebook: str) -> Mapping[str, Exercise]:
    """The exercises of a notebook, such as "05", by number as text: "1", "2", "2b". Empty if it has none."""
    folder = "beyond" if notebook.isdecimal() and int(notebook) >= FIRST_BEYOND else "replication"
    name = f"{__name__}.{folder}.nb{notebook}"
    if not importlib.util.find_spec(name):
        return {}
    found: Mapping[str, Exercise] = importlib.import_module(name).EXERCISES  # above us: these know plots and records
    return found


def check(session: Any, number: int | str, answer: Any) -> Verdict:
    """Compare an answer with the truth in the session's profile. Never raises, whatever the answer is.

    `...` and None mean that there is no answer yet; the verdict then says which kind is expected.
    """
    exercises = of_notebook(session.notebook)
    exercise = exercises.get(str(number))
    if exercise is None:
        return Verdict(False, f"This notebook has no exercise {number}; it has {', '.join(exercises) or 'none'}.")
    if answer is ... or answer is None:
        return Verdict(False, f"Exercise {number}: your turn. Expected: {exercise.expects}.")
    try:
        found = complaint(exercise, session, answer)
    except RegrowError as error:  # the records that hold the truth are not there
        return Verdict(False, f"Exercise {number}: it cannot be checked here. {error}")
    return Verdict(not found, f"Exercise {number}: {found or 'right.'}")


def complaint(exercise: Exercise, session: Any, answer: Any) -> str:
    """What is off about an answer, in one or two sentences; "" if it is right."""
    found = exercise.grade(exercise.truth(session), answer)
    if not found:
        return ""
    return next((slip.says for slip in exercise.slips if not exercise.grade(slip.wrong(session), answer)), found)
