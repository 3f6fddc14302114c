"""Whole numbers from a text file: one a line, a column of a table, a table of values and counts, or one row.

A file is read as what it is or refused in one sentence. Nothing in it is guessed: not which of several columns is
meant, nor whether 1,234 is one number or two.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray

from regrow.errors import DataError
from regrow.tails.given import LARGEST

LARGEST_FILE = 2**30  # bytes of text, unpacked
MOST_VALUES = 5 * 10**7  # of a table of counts, written out
PACKED: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
FOREIGN = {b"PK": "a zip archive, an Excel workbook or an .npz file", b"\x93NUMPY": "an array of numpy",
           b"\x28\xb5\x2f\xfd": "packed by zstd", b"\xd0\xcf\x11\xe0": "an Excel workbook", b"%PDF": "a PDF",
           b"PAR1": "a Parquet file", b"\x89HDF": "an HDF5 file", b"SQLite": "a database"}
ENCODINGS = {b"\xff\xfe\x00\x00": "utf-32", b"\x00\x00\xfe\xff": "utf-32", b"\xff\xfe": "utf-16",
             b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
COMMENT_LINES = ("#", "%", "//")
SEPARATORS = (";", "\t", "|", ",")  # the first that a file has outside quotes; else spaces
INTEGER = re.compile(r"\+?[0-9]+")
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
# A whole number in groups of digits, up to 2 ** 53: with a comma, point, space or apostrophe, also as in India.
GROUPS = re.compile(r"""[+-]?[0-9]{1,3}(?:([,.'_\u2019\u00a0\u202f\u2009 ])[0-9]{2,3}){0,6}
                        (?(1)\1|[,.'_\u2019\u00a0\u202f\u2009 ])[0-9]{3}""", re.VERBOSE)
CELL_ERROR = re.compile(r"[^#]*(#(?:N/A|DIV/0!|REF!|VALUE!|NAME\?|NUM!|NULL!))")  # of spreadsheets, no comments
MISSING = {"", "nan", "na", "n/a", "<na>", "null", "none", "nil", "missing", ".", "-", "--", "?"}
COUNTED = {"count", "counts", "n", "freq", "frequency", "frequencies", "number", "weight", "weights", "size"}


def read_numbers(path: Path, column: str | None = None, counts: bool = False) -> NDArray[np.int64]:
    """The whole numbers of a text file: one a line, or a single row of them.

    `column` names one of several columns, by its number from 1 or its name in the first line. With `counts` the file is
    a table: each value (in `column`, else the first) stands for as many as the next column says, or the only other one.
    Text is UTF-8, UTF-16 with a byte order mark or Latin-1, possibly packed by gzip, bzip2 or xz. Columns are separated
    by semicolons, tabs, |, commas or spaces; a first line without numbers names them. Blank lines, lines that begin
    with # % // and what follows a # are left out. Raises DataError for everything else.
    """
    lines = [line for line in enumerate(re.split("\r\n|\n|\r", _text(path)), 1) if line[1] and not line[1].isspace()]
    for number, line in lines:
        if "#" in line and (error := CELL_ERROR.match(line)):
            _refuse(error[1], number, path, "a missing value of a spreadsheet; leave such lines out")
    lines = [(number, line) for number, line in lines if not line.lstrip().startswith(COMMENT_LINES)]
    lines = [(number, line.partition("#")[0]) if "#" in line else (number, line) for number, line in lines]
    if not lines:
        raise DataError(f"{path} is empty; name a text file of whole numbers.")
    if column is None and not counts:
        words = [line for _, line in lines]
        if len(max(words, key=len)) < 17 and (whole := "".join(words)).isascii() and whole.isdigit():
            return _checked(np.array(list(map(int, words)), dtype=np.int64), lines, path)
    if lines[0][1].lstrip()[:1] in ("[", "{", "<"):
        raise DataError(f"{path} looks like JSON or a page of the web; write one whole number a line.")
    return _Table(lines, path).numbers(column, counts)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read ({why}); name a text file of whole numbers.") from None
    for begin, opened in PACKED.items():
        if content.startswith(begin):
            try:
                with opened(io.BytesIO(content)) as unpacked:
                    content = unpacked.read(LARGEST_FILE + 1)
            except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
                raise DataError(f"{path} cannot be unpacked ({error!s:.80}); it is damaged; pack it again.") from None
            break
    if len(content) > LARGEST_FILE:
        raise DataError(f"{path} holds more than {LARGEST_FILE >> 30} GB of text; name a smaller file of numbers.")
    for begin, what in FOREIGN.items():
        if content.startswith(begin):
            raise DataError(f"{path} is no text but {what}; write the numbers as text, one a line.")
    text = None
    for encoding in (*(name for begin, name in ENCODINGS.items() if content.startswith(begin)), "utf-8", "latin-1"):
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            if encoding.startswith("utf-16") or encoding.startswith("utf-32"):
                break
    if text is None or re.search("[\x00-\x08\x0e-\x1f\x7f]", text):
        raise DataError(f"{path} is no text; name a text file of whole numbers.")
    return text


class _Table:
    """Rows of cells, all of one length, with the names of columns if the first line has them."""

    def __init__(self, lines: list[tuple[int, str]], path: Path) -> None:
        self.path = path
        bare = [re.sub('"[^"]*"', "", line) if '"' in line else line for _, line in lines]
        self.separator = next((one for one in SEPARATORS if any(one in line for line in bare)), " ")
        self.lines = [number for number, _ in lines]
        self.texts = [line.strip(" \t") for _, line in lines]
        self.rows = [self._cells(number, line) for number, line in lines]
        self.names: list[str] = []
        # pandas leaves the index without a name, and may call the columns 0, 1, 2.
        unnamed = len(self.rows) > 1 and not self.rows[0][0] and self.rows[1][0]
        if unnamed and not _is_head(self.rows[0]) and self.rows[1][0] != "0":
            raise DataError(f"Line {lines[0][0]} of {path} begins with nothing where others do not; write a name for "
                            "each column, or leave the line out.")
        if unnamed or _is_head(self.rows[0]):
            self.names, self.lines, self.texts = self.rows[0], self.lines[1:], self.texts[1:]
            self.rows = self.rows[1:]
            if not self.rows:
                raise DataError(f"Line {lines[0][0]} of {path} holds {self.names[0]!r:.40}, which is no number, and "
                                "nothing follows; give one whole number a line.")
        self._square()

    def _cells(self, number: int, line: str) -> list[str]:
        if '"' not in line:
            cells = line.split() if self.separator == " " and line.isascii() else re.split(
                "[ \t]+", line.strip(" \t")) if self.separator == " " else line.split(self.separator)
            return [cell.strip(" \t") for cell in cells]
        if line.count('"') % 2:
            raise DataError(f"Line {number} of {self.path} has a quotation mark that is not closed; close it.")
        try:
            cells = next(csv.reader([line.strip(" \t")], delimiter=self.separator, skipinitialspace=True, strict=True))
        except csv.Error:
            raise DataError(f"Line {number} of {self.path} has quotation marks in a word; leave them out.") from None
        return [cell.strip(" \t") for cell in cells]

    def _square(self) -> None:
        """Make all rows as long as the first: separators at the ends of lines open no column."""
        widths = set(map(len, self.rows))
        if len(widths) == 1:
            while len(self.rows[0]) > 1 and not any(row[-1] for row in self.rows):
                self.rows = [row[:-1] for row in self.rows]
        else:
            for row in self.rows:
                while len(row) > 1 and not row[-1]:
                    row.pop()
        self.width = len(self.rows[0])
        for number, row in zip(self.lines, self.rows, strict=True):
            if len(row) != self.width:
                raise DataError(f"Line {number} of {self.path} holds {_columns(len(row))} and line "
                                f"{self.lines[0]} {self.width}; give one whole number a line, without groups of "
                                "digits, or a table.")
        if not self.names and len(self.rows) > 1 and any(
                _is_head([cell]) and NUMBER.fullmatch(below) for cell, below in zip(*self.rows[:2], strict=True)):
            raise DataError(f"Line {self.lines[0]} of {self.path} mixes names and numbers ({self.texts[0]!r:.40}); "
                            "write names only in the first line, or leave it out.")
        names = self.names
        while len(names) > 1 and not names[-1]:  # they may hide that groups of digits made a column more
            names = names[:-1]
        if self.width == 1 and len(names) > 1:
            names = [" ".join(names)]
        if names and len(names) != self.width:
            raise DataError(f"The first line of {self.path} names {_columns(len(names))}, but each line has "
                            f"{self.width}; write a name for each.")
        self.names = names
        if self.separator == "," and not names and self.width > 1 and len(self.rows) > 1:
            for number, row, text in zip(self.lines, self.rows, self.texts, strict=True):
                if '"' not in text and any(" " in cell or "\t" in cell for cell in row):
                    raise DataError(f"Line {number} of {self.path} mixes commas and spaces ({text!r:.40}); separate "
                                    "columns by tabs, or name them in a first line.")

    def numbers(self, column: str | None, counts: bool) -> NDArray[np.int64]:
        one_row = len(self.rows) == 1 and not self.names
        if column is None and not counts and self.width > 1:
            if one_row:
                return self._row()
            where = f", such as --column {self.names[-1]!r:.40}" if self.names and self.names[-1] else ""
            raise DataError(f"{self.path} has {self.width} columns ({self.texts[0]!r:.40}); choose one by --column N"
                            f"{where}, or pass --counts for a table of values and counts.")
        value = 0 if column is None else self._find(column)
        if not counts:
            return self._column(value)
        if self.width < 2:
            raise DataError(f"{self.path} has one column, but --counts needs one of values and one of counts; leave "
                            "--counts out.")
        if self.width > 2 and column is None:
            raise DataError(f"{self.path} has {self.width} columns; say which holds the values by --column, with their "
                            "counts in the next.")
        if column is None and self.names and self.names[0].lower() in COUNTED:
            raise DataError(f"The first column of {self.path} is called {self.names[0]!r:.40}; say which holds the "
                            "values by --column.")
        times = value + 1 if self.width > 2 else 1 - value
        if times == self.width:
            raise DataError(f"No column follows column {value + 1} of {self.path}, where the counts should be; name "
                            "the column before them by --column.")
        values, many = self._column(value), self._column(times)
        if many.sum(dtype=np.float64) > MOST_VALUES:
            raise DataError(f"The counts of {self.path} add up to more than {MOST_VALUES:,} values; are values and "
                            "counts exchanged? --column names that of the values.")
        return np.repeat(values, many)

    def _find(self, column: str) -> int:
        column = column.strip()
        if self.names.count(column) > 1 and not INTEGER.fullmatch(column):
            raise DataError(f"{self.path} has several columns {column!r:.40}; give its number.")
        if INTEGER.fullmatch(column):
            if 1 <= int(column[:9]) <= self.width:
                return int(column[:9]) - 1
        elif column in self.names:
            return self.names.index(column)
        among = f" named {', '.join(self.names)!s:.200}" if self.names else ""
        raise DataError(f"--column {column!r:.40} is not one of the {_columns(self.width)} of {self.path}{among}; give "
                        f"a number from 1 to {self.width} or a name in its first line.")

    def _row(self) -> NDArray[np.int64]:
        """Several numbers in one row."""
        whole = self.texts[0].rstrip(",; \t")
        words = [word.strip(",;") for word in re.split("[ \t]+", whole)]
        mixed = len(words) > 1 and any("," in word for word in words)
        if mixed or any(map(GROUPS.fullmatch, (*words, whole))) or re.fullmatch("[0-9]+,[0-9]+", whole):
            raise DataError(f"Line {self.lines[0]} of {self.path} may hold numbers with commas or groups of digits, "
                            "or more of them; write one number a line, as plain digits.")
        return self._parsed([(self.lines[0], cell) for cell in self.rows[0]])

    def _column(self, at: int) -> NDArray[np.int64]:
        for left in (at - 1, at):
            if self.separator in ", " and not self.names and 0 <= left < self.width - 1 and all(
                    GROUPS.fullmatch(f"{row[left]},{row[left + 1]}") for row in self.rows):
                raise DataError(f"{self.path} may hold numbers in groups of digits, such as {self.texts[0]!r:.40}, or "
                                "columns; write numbers without groups, or name the columns in a first line.")
        return self._parsed([(number, row[at]) for number, row in zip(self.lines, self.rows, strict=True)])

    def _parsed(self, cells: Sequence[tuple[int, str]]) -> NDArray[np.int64]:
        words = [word for _, word in cells]
        if all(words) and (whole := "".join(words)).isascii() and whole.isdigit() and len(max(words, key=len)) < 17:
            return _checked(np.array(list(map(int, words)), dtype=np.int64), cells, self.path)
        return np.array([_number(word, number, self.path) for number, word in cells], dtype=np.int64)


def _columns(n: int) -> str:
    return "1 column" if n == 1 else f"{n} columns"


def _is_head(cells: Sequence[str]) -> bool:
    """Whether a row names columns: words, none of them a number or the lack of one."""
    def is_name(cell: str) -> bool:
        return cell.lower() not in MISSING and bool(re.match(r"[^\W\d]", cell)) and not re.match(
            r"(?i)[+-]?inf(inity)?$", cell)

    return any(map(is_name, cells)) and all(not cell or is_name(cell) for cell in cells)


def _checked(values: NDArray[np.int64], cells: Sequence[tuple[int, str]], path: Path) -> NDArray[np.int64]:
    if values.max() > LARGEST:
        number, word = cells[int(values.argmax())]
        _refuse(word, number, path, "more than 2 ** 53; give whole numbers from 0 to 2 ** 53")
    return values


def _number(word: str, line: int, path: Path) -> int:
    """A cell as a whole number. Raises DataError for any other."""
    bare = word[1:-1].strip() if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word
    if bare.lower() in MISSING:
        _refuse(word, line, path, "a missing value (NaN); leave such lines out")
    if INTEGER.fullmatch(bare) and len(bare) < 17 and int(bare) <= LARGEST:
        return int(bare)
    if GROUPS.fullmatch(bare):
        _refuse(word, line, path, "which may be a number in groups of digits; write it without groups")
    if not NUMBER.fullmatch(bare):
        comma = re.fullmatch(r"[+-]?[0-9]+,[0-9]*", bare)
        _refuse(word, line, path, "a number with a decimal comma; write whole numbers" if comma else
                "which is no number; give one whole number a line")
    exact = Decimal(bare)
    if exact < 0:
        _refuse(word, line, path, "less than 0; give whole numbers from 0 to 2 ** 53")
    if exact > LARGEST:
        _refuse(word, line, path, "more than 2 ** 53; give whole numbers from 0 to 2 ** 53")
    if exact.adjusted() < -400 or exact != int(exact):
        if exact == 0:
            return 0
        _refuse(word, line, path, "no whole number; round or count first")
    return int(exact)


def _refuse(word: str, line: int, path: Path, what: str) -> NoReturn:
    shown = word if len(word) <= 40 else f"{word[:37]}..."
    raise DataError(f"Line {line} of {path} holds {shown!r}, {what}.")
