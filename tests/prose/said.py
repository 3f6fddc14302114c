"""A sentence of a document, and expressions over the records for the numbers in it.

    Said("falls from {} % at epoch {200} to {} % at the end", lambda: (m.at_epoch(200), m.at_epoch(300)))

is a part of the text as it stands in the document, any white space for a blank. `{}` is a number, or the word for one,
which `values` gives; `{200}` stands there literally, and says which number `values` asks for. So the number itself is
written in one place only, the document. How it is rounded the document decides: a value is compared in as many digits
as are shown. True and False among the values belong to no mark: they are what else the sentence says.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
         "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty")
NUMBER = r"(?:(?<![\w.,)%])[-+−])?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:(?<=\d)\.\d+|(?<!\d)\.\d+|(?<=\d))"
TOKEN = re.compile(rf"(?<![\w])(?:{NUMBER})(?![\d])")
WORD = "|".join(WORDS)
MARK = re.compile(r"\{((?:\d[\d,]*)?(?:\.\d+)?)\}")


@dataclass(frozen=True)
class Rounded:
    """A value, to be rounded up or down to the digits shown, or to a multiple of `step`."""

    value: float
    how: Callable[[float], float] = round
    step: float | None = None


def up(value: float) -> Rounded:
    """For "at most", "less than": rounded up in the digits shown."""
    return Rounded(value, math.ceil)


def down(value: float, step: float | None = None) -> Rounded:
    """For "at least", "more than": rounded down in the digits shown, or to a multiple of `step`."""
    return Rounded(value, math.floor, step)


def about(value: float, step: float) -> Rounded:
    """For "some 1,700": a multiple of `step`."""
    return Rounded(value, round, step)


@dataclass(frozen=True)
class Said:
    """A part of a document's text with marks, and what the marks are."""

    sentence: str
    values: Callable[[], Iterable[Any]]

    @property
    def pattern(self) -> re.Pattern[str]:
        return _pattern(self.sentence)

    @property
    def asked(self) -> list[str]:
        """What stands in each mark of the sentence, "" for a value."""
        return [mark[1] for mark in MARK.finditer(self.sentence)]


@dataclass(frozen=True)
class Page:
    """What the module of a page has, for pages that share a module."""

    PAGE: str
    SAID: tuple[Said, ...] = ()
    EXCUSED: Mapping[str, str] = field(default_factory=dict)


@cache
def _pattern(sentence: str) -> re.Pattern[str]:
    parts, at = [], 0
    for mark in MARK.finditer(sentence):
        parts += [_spaced(sentence[at:mark.start()]),
                  f"({re.escape(mark[1])}(?![\\d]))" if mark[1] else f"({NUMBER}|\\b(?:{WORD})\\b)"]
        at = mark.end()
    return re.compile("".join([*parts, _spaced(sentence[at:])]), re.IGNORECASE)


def _spaced(text: str) -> str:
    """A pattern in which any white space stands for a blank."""
    return r"\s+".join(re.escape(word) for word in re.split(r"\s+", text))


def phrase(text: str) -> re.Pattern[str]:
    return re.compile(_spaced(text))


# -------------------------------------------------------------------------------------------------------- documents

@dataclass(frozen=True)
class Passage:
    """A piece of a document: the whole page, a cell of a notebook, or what its code says of a figure.

    `written` is what stands in the file as it is; what code or a figure's json says can be found, but not mended.
    """

    place: str
    text: str
    written: bool = True


@cache
def passages(page: str) -> tuple[Passage, ...]:
    """The prose of a page: a Markdown file; or a notebook's Markdown cells, the alt texts and captions in its code,
    where `…` stands for what the code computes, and the captions of the committed figures that it draws."""
    path = ROOT / page
    if path.suffix != ".ipynb":
        return (Passage(page, path.read_text(encoding="utf-8")),)
    found, stems = [], []
    for n, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            found.append(Passage(f"{page}, cell {n}", source))
        else:
            found += [Passage(f"{page}, code of cell {n}", text, written=False) for text in _texts(source)]
            stems += re.findall(r"\bbook\.save\([^\"]*\"(\w+)\"|\bshow\(.*?\"(fig\w+)\"", source)
    for stem in ("".join(names) for names in stems):
        if (about := ROOT / "figures" / f"{stem}.json").is_file():
            found.append(Passage(f"figures/{stem}.json", json.loads(about.read_text())["caption"], written=False))
    return tuple(found)


def _texts(source: str) -> list[str]:
    """What code calls `alt` and `caption`, assigned, added or handed over."""
    named = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named += [node.value for target in targets if isinstance(target, ast.Name)
                      and target.id in ("alt", "caption")]
        elif isinstance(node, ast.keyword) and node.arg in ("alt", "caption"):
            named.append(node.value)
        elif isinstance(node, ast.FunctionDef) and node.name == "described":
            named.append(node)
    return ["".join(_constants(node)) for node in named]


def _constants(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.FormattedValue):
        yield "…"
    else:
        for child in ast.iter_child_nodes(node):
            yield from _constants(child)


@dataclass(frozen=True)
class Match:
    """Where a sentence stands: its passage, and the marks in it."""

    passage: Passage
    found: re.Match[str]


def matches(said: Said, page: str) -> list[Match]:
    return [Match(passage, found) for passage in passages(page) for found in said.pattern.finditer(passage.text)]


# --------------------------------------------------------------------------------------------------------- numbers

def shown(value: Any, text: str) -> str:
    """A value as the text would have it: in as many digits, with a sign or as a word where the text has one."""
    rounded = value if isinstance(value, Rounded) else Rounded(value)
    if not math.isfinite(rounded.value):
        return str(rounded.value)
    if text.lower() in WORDS:
        whole = rounded.how(rounded.value)
        word = WORDS[whole] if 0 <= whole < len(WORDS) else str(whole)
        return word.capitalize() if text[0].isupper() else word
    digits = len(text.partition(".")[2])
    number = float(rounded.value)
    if rounded.step is not None:
        number = rounded.step * rounded.how(number / rounded.step)
    elif rounded.how is not round:
        number = rounded.how(round(number * 10**digits, 6)) / 10**digits
    comma = "," if "," in text or len(text.lstrip("+-−").partition(".")[0]) < 4 else ""
    made = f"{number:{'+' if text[0] == '+' else ''}{comma}.{digits}f}"
    if not made.strip("-0.,"):
        made = made.lstrip("-")
    if re.match(r"[-+−]?\.", text):
        made = made.replace("0.", ".", 1)
    return made.replace("-", "−") if "−" in text else made


@dataclass(frozen=True)
class Verdict:
    """What a sentence says and what it should say; `facts` are what else it says that is false, by place."""

    there: tuple[str, ...]
    right: tuple[str, ...]
    false_facts: tuple[int, ...] = ()

    @property
    def holds(self) -> bool:
        return self.there == self.right and not self.false_facts


def judge(said: Said, found: re.Match[str]) -> Verdict:
    """Compare the numbers of a sentence with their values. Raises ValueError if they are not as many as the marks."""
    given = list(said.values())
    facts = [value for value in given if isinstance(value, bool | np.bool_)]
    values = iter([value for value in given if not isinstance(value, bool | np.bool_)])
    there = found.groups()
    try:
        right = tuple(text if asked else shown(next(values), text)
                      for asked, text in zip(said.asked, there, strict=True))
    except StopIteration:
        raise ValueError(f"{said.sentence!r} has more marks than values.") from None
    if list(values):
        raise ValueError(f"{said.sentence!r} has fewer marks than values.")
    return Verdict(there, right, tuple(n for n, fact in enumerate(facts, start=1) if not fact))


def corrected(found: re.Match[str], right: Iterable[str]) -> str:
    """The sentence with other numbers."""
    text, begin = found.string, found.start()
    parts = []
    for number, new in enumerate(right, start=1):
        parts += [text[begin:found.start(number)], new]
        begin = found.end(number)
    return "".join([*parts, text[begin:found.end()]])


# -------------------------------------------------------------------------------------------------------- coverage

@dataclass(frozen=True)
class Excuse:
    """Numbers that come from no record: whatever the pattern matches, but for what `unless` matches, and why."""

    pattern: re.Pattern[str]
    reason: str
    unless: re.Pattern[str] | None = None

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [found.span() for found in self.pattern.finditer(text)
                if self.unless is None or not self.unless.fullmatch(found[0])]


def uncovered(page: str, said: Iterable[Said], excuses: Iterable[Excuse]) -> list[str]:
    """Every number of a page that is in no mark and has no excuse, with some of the text around it."""
    taken: dict[str, list[tuple[int, int]]] = {}
    for one in said:
        for match in matches(one, page):
            taken.setdefault(match.passage.place, []).extend(
                match.found.span(n) for n in range(1, len(one.asked) + 1))
    excused, left = list(excuses), []
    for passage in passages(page):
        spans = taken.get(passage.place, [])
        spans = spans + [span for excuse in excused for span in excuse.spans(passage.text)]
        for token in TOKEN.finditer(passage.text):
            if not any(begin <= token.start() + (token[0][0] in "+-−") and token.end() <= end
                       for begin, end in spans):
                around = passage.text[max(0, token.start() - 40):token.end() + 25]
                left.append(f"{passage.place}: {token[0]} in ...{' '.join(around.split())}...")
    return left
