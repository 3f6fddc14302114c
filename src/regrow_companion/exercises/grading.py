"""How an answer is compared with the truth: each grader says what is off, in words that do not give the answer away.

A grader takes (truth, answer) and returns "" for a right answer, else a sentence. It takes any answer without raising.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

Grader = Callable[[Any, Any], str]


def number(*, rel: float = 0.01, within: float = 0.0, share: bool = False) -> Grader:
    """A number, right within the share `rel` of the truth or within the distance `within`.

    `share` is for parts of a whole between 0 and 1: a percentage and the share of the rest are told apart.
    """
    def close(value: float, truth: float) -> bool:
        return abs(value - truth) <= max(within, rel * abs(truth)) + 1e-12 * abs(truth)

    def grade(truth: Any, answer: Any) -> str:
        value = _number(answer)
        if value is None:
            return f"A number is expected here, and this is {_kind(answer)}."
        if not math.isfinite(value):
            return "This is not a finite number."
        truth = float(truth)
        if close(value, truth):
            return ""
        if share and close(value / 100, truth):
            return "This looks like a percentage; a share between 0 and 1 is asked for."
        if share and close(1 - value, truth):
            return "This is the share of all the others."
        if truth and close(-value, truth):
            return "The sign is wrong."
        factor = next((n for n in (10, 100, 1000) if truth and (close(value / n, truth) or close(value * n, truth))), 0)
        if factor:
            return f"Off by a factor of {factor:,}: look at the units."
        return "Too small." if value < truth else "Too large."

    return grade


def table(of: Grader | None = None) -> Grader:
    """Values by name, as a dict or a Series; each is compared by `of`, a number by default."""
    each = of or number()

    def grade(truth: Any, answer: Any) -> str:
        try:
            given = dict(answer.items())
        except (AttributeError, TypeError, ValueError):
            return f"A table is expected here, such as {{{next(iter(truth))!r}: ...}}, and this is {_kind(answer)}."
        missing, unknown = [name for name in truth if name not in given], [name for name in given if name not in truth]
        if missing:
            return f"There is no value for {_listed(missing)}."
        if unknown:
            return f"The table has {_listed(unknown)}, which nobody asked for; the names are {_listed(truth)}."
        complaints = {name: found for name, value in truth.items() if (found := each(value, given[name]))}
        if not complaints:
            return ""
        name, first = next(iter(complaints.items()))
        right = f"{len(truth) - len(complaints)} of {len(truth)} are right. " if len(truth) > 1 else ""
        return f"{right}{name}: {first[0].lower()}{first[1:]}"

    return grade


def array(*, rel: float = 0.0) -> Grader:
    """Numbers or booleans in any number of dimensions; `rel` as in `number`, for each entry."""
    def grade(truth: Any, answer: Any) -> str:
        truth = np.asarray(truth)
        values = _array(answer)
        if values is None:
            return f"An array of numbers is expected here, and this is {_kind(answer)}."
        if values.shape != truth.shape:
            return f"The shape is {values.shape}; it should be {truth.shape}."
        off = ~np.isclose(values.astype(float), truth.astype(float), rtol=rel, atol=1e-12)
        if not off.any():
            return ""
        first = tuple(int(i) for i in np.argwhere(off)[0])
        place = f"at {first[0] if len(first) == 1 else first}" if first else "there"
        if truth.dtype == bool and values.sum() != truth.sum():
            much = "many" if values.sum() > truth.sum() else "few"
            return f"{int(values.sum())} entries are true, which are too {much}; the first that is off is {place}."
        return f"{int(off.sum())} of {off.size} entries are off, the first one {place}."

    return grade


def choice(*words: str) -> Grader:
    """One of some words, in any case of letters."""
    def grade(truth: Any, answer: Any) -> str:
        word = answer.strip().lower() if isinstance(answer, str) else ""
        if word not in (each.lower() for each in words):
            return f"Choose one of {_listed(words)}, in quotation marks."
        return "" if word == str(truth).lower() else f"It is not {word!r}."

    return grade


def several(*words: str) -> Grader:
    """Any number of some words, as a list or a set; none is an empty list."""
    def grade(truth: Any, answer: Any) -> str:
        given = _words(answer)
        if given is None or not given <= set(words):
            return f"A list of words is expected here, any of {_listed(words)}."
        if given - set(truth):
            return "There is one in it that does not belong there."
        return "" if given == set(truth) else "What is there belongs there, but there are more."

    return grade


def ranking(*words: str) -> Grader:
    """The words in order, the first one first."""
    def grade(truth: Any, answer: Any) -> str:
        given = list(answer) if isinstance(answer, Sequence) and not isinstance(answer, str) else []
        if any(not isinstance(word, str) for word in given) or sorted(given) != sorted(words):
            return f"A list of {_listed(words)} in order is expected here, each of them once."
        wrong = [place for place, (a, b) in enumerate(zip(given, truth, strict=True), 1) if a != b]
        return f"Place {wrong[0]} is not right." if wrong else ""

    return grade


def function(cases: Callable[[], Iterable[tuple[str, tuple[Any, ...]]]], *, rel: float = 1e-6,
             seen: Callable[..., Any] | None = None) -> Grader:
    """A function, tried on cases (what kind of input it is, arguments) beside the true one.

    `seen` takes a value and the arguments and returns what of it is compared, where several values are right.
    """
    view = seen or (lambda value, *arguments: value)

    def grade(truth: Any, answer: Any) -> str:
        if not callable(answer):
            return f"A function is expected here, without brackets behind its name, and this is {_kind(answer)}."
        for label, arguments in cases():
            try:
                value = answer(*arguments)
                found = None if value is None else view(value, *arguments)
            except Exception as error:  # whatever a reader's function does, it is an answer
                return f"With {label} it stops with {type(error).__name__}: {error}"
            if value is None:
                return f"With {label} it returns nothing: is there a `return`?"
            complaint = array(rel=rel)(view(truth(*arguments), *arguments), found)
            if complaint:
                return f"With {label} it is off." + ("" if seen else f" {complaint}")
        return ""

    return grade


def _number(answer: Any) -> float | None:
    values = None if isinstance(answer, str | bytes | bool) else _array(answer)
    return float(values.reshape(-1)[0]) if values is not None and values.size == 1 else None


def _array(answer: Any) -> np.ndarray | None:
    """As an array of numbers; None if it is none."""
    try:
        values = np.asarray(answer)
    except (TypeError, ValueError, RuntimeError):  # ragged, or a tensor that is not on this machine
        return None
    return values if values.dtype.kind in "biuf" else None


def _words(answer: Any) -> set[str] | None:
    answer = [answer] if isinstance(answer, str) else answer
    if not isinstance(answer, list | tuple | set | frozenset) or not all(isinstance(word, str) for word in answer):
        return None
    return set(answer)


def _kind(answer: Any) -> str:
    name = {str: "text", bool: "True or False", dict: "a table", type(None): "nothing"}.get(type(answer))
    if name is None and callable(answer):
        name = "a function"
    return name or f"of type {type(answer).__name__}"


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names))
