"""Text files of numbers as people have them: columns, tables and rows in many spellings, made from known values.

Each must be read as exactly these values or be refused in one sentence. `run` tries `python -m regrow tails` on many.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torture.promises import Stage, Tally
from torture.said import command

ENDS = ("\n", "\r\n", "\r")
GROUPINGS = (",", ".", "'", "_", " ", "\u00a0", "\u202f", "’")
SPOILED = ("NA", "nan", "", "-", "null", "-4", "2.5", "twelve", "0x1f", "1e400", "inf", "1;2", "12abc", "#N/A",
           "#DIV/0!", "٣", str(2**53 + 1), "1/2", "3%", "1e-3", "TRUE")
WORDS = ("alice", "b7", "x-1", "Zoë", "node", "größer")
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1")
PACKERS: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    (".txt", bytes), (".txt", bytes), (".csv", bytes), (".gz", gzip.compress), (".bz2", bz2.compress),
    (".xz", lzma.compress))
FOREIGN: tuple[Callable[[bytes], bytes], ...] = (
    lambda content: gzip.compress(content)[:-9], lambda content: bz2.compress(content)[:-5],
    lambda content: lzma.compress(content)[:-8], lambda content: _zipped(content),
    lambda content: b"\x93NUMPY\x01\x00" + content, lambda content: content.decode("utf-8").encode("utf-16-le"),
    lambda content: content + b"\x00", lambda content: b"%PDF-1.4\n" + content, lambda content: b"\x1f\x8b" + content,
    lambda content: json.dumps([1, 2]).encode())


@dataclass(frozen=True)
class OddFile:
    """A file, the options it is read with, and the values that it then holds (None: it must be refused).

    `plain` says that it is written as the help text asks for, so that it must not be refused.
    """

    name: str
    content: bytes
    column: str | None
    counts: bool
    values: tuple[int, ...] | None
    plain: bool

    @property
    def options(self) -> list[str]:
        """As they are typed."""
        return [*(["--column", self.column] if self.column is not None else []), *(["--counts"] if self.counts else [])]


def odd_file(chance: random.Random) -> OddFile:
    """One of endlessly many."""
    values: list[int] | None = _values(chance)
    layout = chance.choice(("column", "column", "row", "table", "table", "counts"))
    spelling, spell = _spelling(chance)
    column, counts, head, named = None, layout == "counts", False, False
    plain = spelling == "plain"
    if layout == "row":
        separator = chance.choice([one for one in (",", ", ", " ", ";", "\t", "  ") if one.strip() != spelling])
        plain = False  # may look like groups of digits
        rows = [[spell(k) for k in values or ()]]
        if separator.strip() == "" and spelling in (" ", ","):
            separator = ";"
        if spelling == "decimal comma" and separator.strip() == ",":
            separator = "\t"  # or nobody could tell
        if len(rows[0]) == 1:
            layout = "column"
    elif layout == "column":
        separator, rows = chance.choice((",", ";", "\t", " ")), [[spell(k)] for k in values or ()]
        head = chance.random() < 0.4
        if spelling != "decimal comma" and chance.random() < 0.3:
            column = "1"
    else:
        separator, rows, head, named, column, values = _table(chance, values or [], spell, counts)
        plain = plain and (named or separator in ";\t|") and column is not None
    if chance.random() < 0.15:
        rows, values, plain = _spoil(chance, rows, column, counts, layout, head), None, False
    lines = [separator.join(row) for row in rows]
    if head and layout == "column":
        lines.insert(0, chance.choice(("degree", "k", '"degree"', "degree of node", "größe")))
    lines, untidy = _dressed(chance, lines, separator)
    text = chance.choice(ENDS).join(lines) + chance.choice(("", "\n", "\n\n"))
    return _packed(chance, text, column, counts, values, plain and not untidy)


def _values(chance: random.Random) -> list[int]:
    top = chance.choice((9, 99, 999, 12_345, 10**6, 2**53))
    return [min(int(top * chance.random() ** 2) + chance.randrange(2), 2**53)
            for _ in range(chance.choice((1, 2, 3, 5, 8, 20)))]


def _spelling(chance: random.Random) -> tuple[str, Callable[[int], str]]:
    """How numbers are written: a name (the separator of groups, if there are groups) and a function."""
    kind = chance.choice(("plain", "plain", "plain", "plain", "groups", "groups", "float", "quoted", "decimal comma",
                          "power", "plus", "padded"))
    if kind == "groups":
        mark = chance.choice(GROUPINGS)
        quote = chance.choice(("", "", '"'))
        return mark, lambda k: quote + f"{k:,}".replace(",", mark) + quote
    ways: dict[str, Callable[[int], str]] = {
        "plain": str, "float": lambda k: f"{k}.0", "quoted": lambda k: f'"{k}"', "decimal comma": lambda k: f"{k},0",
        "power": lambda k: f"{k // 1000}e3" if k and k % 1000 == 0 else str(k), "plus": lambda k: f"+{k}",
        "padded": lambda k: f"{k:05d}"}
    return kind, ways[kind]


def _table(chance: random.Random, values: list[int], spell: Callable[[int], str], counts: bool
           ) -> tuple[str, list[list[str]], bool, bool, str | None, list[int] | None]:
    """Separator, rows (names in the first, perhaps), whether there are names (twice), --column, the values meant."""
    values = values if len(values) > 1 else values * 2
    separators = (",", ";", "\t", " ", "|", ", ")
    separator = chance.choice(separators[1:5] if "," in spell(5) else separators)
    width = chance.choice((2, 2, 3, 4))
    at = chance.randrange(width - counts) if width > 2 or not counts else chance.randrange(2)
    times = at + 1 if width > 2 else 1 - at
    columns = [[spell(k) for k in values] if i == at else _other(chance, len(values)) for i in range(width)]
    meant: list[int] | None = values
    if counts:
        many = [chance.randrange(4) for _ in values]
        columns[times] = list(map(str, many))
        meant = [k for k, m in zip(values, many, strict=True) for _ in range(m)]
    rows = [list(row) for row in zip(*columns, strict=True)]
    names = [f"c{i}" if i != at else "degree" for i in range(width)]
    named = chance.random() < 0.5
    column: str | None = str(at + 1)
    if named and chance.random() < 0.5:
        column = "degree"
    elif counts and width == 2 and at == 0 and chance.random() < 0.5:
        column = None
    elif not counts and chance.random() < 0.2:
        column, meant = None, None  # nobody says which
    return separator, [names, *rows] if named else rows, named, named, column, meant


def _other(chance: random.Random, n: int) -> list[str]:
    return chance.choice((
        lambda: [str(chance.randrange(1000)) for _ in range(n)], lambda: [chance.choice(WORDS) for _ in range(n)],
        lambda: [f"{chance.random():.3f}" for _ in range(n)], lambda: list(map(str, range(n)))))()


def _spoil(chance: random.Random, rows: list[list[str]], column: str | None, counts: bool, layout: str, head: bool
           ) -> list[list[str]]:
    """One entry, of those that count, becomes none."""
    rows = [list(row) for row in rows]
    at = len(rows) - 1  # never the first line, which may hold names
    if layout == "row" or len(rows) < 2:
        at = 0
    place = chance.randrange(len(rows[at])) if layout == "row" else 0
    if column is not None and layout in ("table", "counts"):
        place = rows[0].index("degree") if column == "degree" else int(column) - 1
    word = chance.choice(SPOILED[:2] + SPOILED[5:11]) if layout == "row" or len(rows) < 2 else chance.choice(SPOILED)
    if layout == "column" and not word:
        word = "NA"
    if at == 0 and re.match("[A-Za-z]", word):
        word = "-4"
    rows[at][place] = word
    return rows


def _dressed(chance: random.Random, lines: list[str], separator: str) -> tuple[list[str], bool]:
    """With comments, blank lines, separators at the ends of lines; and whether the last were added."""
    untidy = False
    if chance.random() < 0.3:
        lines = [chance.choice(("# Grade über alle", "% sym unweighted", "// by hand", "# node\tdegree", "#")), *lines]
    if chance.random() < 0.2:
        at = chance.randrange(len(lines) + 1)
        lines = [*lines[:at], chance.choice(("", "  ", "\t", "# 7", "%")), *lines[at:]]
    if chance.random() < 0.15:
        lines, untidy = [line + chance.choice((separator, " ", "\t", separator * 2)) for line in lines], True
    if chance.random() < 0.1:
        lines, untidy = [" " + line for line in lines], True
    if chance.random() < 0.1:
        lines, untidy = [line + " # so" for line in lines], True
    return lines, untidy


def _packed(chance: random.Random, text: str, column: str | None, counts: bool, values: Sequence[int] | None,
            plain: bool) -> OddFile:
    ending, pack = chance.choice(PACKERS)
    if chance.random() < 0.05:
        foreign = chance.choice(FOREIGN)
        return OddFile(f"odd{ending}", foreign(text.encode()), column, counts, None, False)
    encoding = chance.choice(ENCODINGS)
    content = text.encode(encoding, errors="replace" if encoding == "latin-1" else "strict")
    if encoding == "latin-1" and "?" in content.decode("latin-1") and "?" not in text:
        values, plain = None, False  # a group separator that Latin-1 does not have
    return OddFile(f"odd{ending}", pack(content), column, counts, None if values is None else tuple(values), plain)


def _zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("numbers.txt", content)
    return buffer.getvalue()


def what_broke(made: OddFile, read: Sequence[int] | None, refusal: str) -> str:
    """Which promise was broken; `read` are the numbers that came out, None if there was the refusal instead."""
    if read is None:
        if not re.fullmatch(r"[^\n\r]+\.", refusal):
            return f"not one sentence: {refusal!r}"
        return f"refused: {refusal}" if made.plain and made.values else ""
    if made.values is None:
        return f"read as {list(read)[:9]}, but it must be refused"
    return "" if list(read) == list(made.values) else f"read as {list(read)[:9]} and not as {list(made.values)[:9]}"


def run(stage: Stage) -> Tally:
    """Give odd files to the command: what it says of their values (how many, zeros, the largest) or one sentence."""
    tally, chance = Tally("files", planned=stage.planned), random.Random(stage.seed)
    for number in range(stage.planned):
        if stage.over:
            break
        made = odd_file(chance)
        path = Path(stage.folder) / made.name
        path.write_bytes(made.content)
        said = command(["tails", str(path), *made.options, "--xmin", "1", "--sets", "1", "--json"], stage.folder)
        tally.tried += 1
        if trouble := _answer_broke(made, said.code, said.out, said.err, said.raised):
            tally.broken.append(f"file {number} of seed {stage.seed} ({made.content[:60]!r} {made.options}): {trouble}")
        tally.count("read" if said.code == 0 else "refused")
    return tally


def _answer_broke(made: OddFile, code: int, out: str, err: str, raised: str) -> str:
    if raised or code not in (0, 2):
        return f"exit code {code} {raised}"
    if code == 2:
        tail = [k for k in made.values or () if k >= 1]
        no_tail = len(set(tail)) < 2  # which the command refuses for another reason
        return what_broke(replace(made, plain=made.plain and not no_tail), None, err.strip())
    if made.values is None:
        return f"read as {out[:80]!r}, but it must be refused"
    answer: dict[str, Any] = json.loads(out)
    tail = [k for k in made.values if k >= 1]
    found = (answer["n"], answer["zeros"], answer["largest"], answer["fit"]["n_tail"])
    wanted = (len(made.values), made.values.count(0), max(made.values, default=0), len(tail))
    return "" if found == wanted else f"n, zeros, largest and tail are {found} and not {wanted}"
