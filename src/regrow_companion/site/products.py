"""Figures and tables as the site shows them: who makes them, what is on disk, and their small pictures."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageChops

from regrow_companion.figures import FURTHEST, check_figure, check_table
from regrow_companion.runner.index import Entry

KINDS = {"figure": ("svg", "png", "csv", "json"), "table": ("csv", "md", "json")}
THUMBNAIL = (280, 200)  # pixels, twice what the index shows, for screens with more of them
# What a cell saves: save(fig, "fig05", ...), or a stem handed with its alt text to a function that saves.
SAVES = re.compile(r'\bsave(?:_figure|(?P<table>_table))?\(\s*\w+,\s*"(?P<stem>[\w.-]+)"'
                   r'|"(?P<handed>[\w.-]+)",\s*alt\b')
MAX_ROWS = 100  # of a table on its page; the csv has them all


@dataclass(frozen=True)
class Product:
    """A figure or a table, on disk or not: `files` are the kinds that are there, `problems` what is wrong with it,
    `place` is where the site has them."""

    stem: str
    kind: str
    owner: Entry
    folder: Path
    files: tuple[str, ...]
    problems: tuple[str, ...]
    about: Mapping[str, Any]
    place: str = "figures"

    @property
    def anchor(self) -> str:
        """On its notebook's page, where the full scale and the quick profile may both be shown."""
        return f"{self.stem}-quick" if self.is_quick else self.stem

    @property
    def is_quick(self) -> bool:
        return self.about.get("profile") == "quick" and not self.about.get("exact")

    @property
    def shown(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.about) and ("png" if self.kind == "figure" else "csv") in self.files

    @property
    def name(self) -> str:
        """Figure 5, Table 3, or what ours are called."""
        found = re.fullmatch(r"(?:fig|table)0?([A-Z]?\d+)(?:_(\w+))?", self.stem)
        word = self.kind.capitalize()
        if not found:
            return f"{word} “{self.stem.replace('_', ' ')}”"
        return f"{word} {found[1]}" + (f", {found[2]}" if found[2] else "")

    @property
    def ours(self) -> bool:
        """Whether the paper has no such figure or table."""
        return self.stem not in self.owner.products

    @property
    def caption(self) -> str:
        return str(self.about.get("caption", ""))

    @property
    def told(self) -> str:
        """The caption behind its scale and its number of runs."""
        if not self.about.get("n_runs"):
            return self.caption
        return f"{'The quick profile' if self.is_quick else 'Full scale'} ({self.counted}). {self.caption}"

    @property
    def alt(self) -> str:
        return str(self.about.get("alt", "")) or self.caption or self.name

    @property
    def drawn_from(self) -> str:
        """The profile and how many runs, in words."""
        return f"{self.about.get('profile', 'unknown')} profile, {self.counted}"

    @property
    def counted(self) -> str:
        """How many runs and seeds."""
        runs, seeds = self.about.get("n_runs") or 0, len(self.about.get("seeds") or [])
        return f"{runs} run{'s' * (runs != 1)}, {seeds} seed{'s' * (seeds != 1)}" if runs else "no training run"

    def address(self, kind: str) -> str:
        """Of one of its files, on the site."""
        return f"{self.place}/{self.stem}.{kind}"

    def path(self, kind: str) -> Path:
        return self.folder / f"{self.stem}.{kind}"


def saved_in(source: str) -> list[tuple[str, str]]:
    """(stem, kind) of everything that a cell saves."""
    return [(found["stem"] or found["handed"], "table" if found["table"] else "figure")
            for found in SAVES.finditer(source)]


def saved_by(entry: Entry) -> list[tuple[str, str]]:
    """(stem, kind) of everything that a notebook saves, in the order of its cells."""
    cells = json.loads(entry.path.read_text(encoding="utf-8"))["cells"]
    return [saved for cell in cells if cell["cell_type"] == "code" for saved in saved_in("".join(cell["source"]))]


def read(entries: Iterable[Entry], folder: Path, place: str = "figures") -> dict[str, Product]:
    """Every figure and table that the notebooks own or save, as found in `folder`: those of the paper in its order,
    then ours in the notebooks' order. `place` is where the site will have them."""
    found: dict[str, Product] = {}
    for entry in entries:
        kinds = dict.fromkeys(entry.figures, "figure") | dict.fromkeys(entry.tables, "table") | dict(saved_by(entry))
        for stem, kind in kinds.items():
            found.setdefault(stem, _product(stem, kind, entry, folder, place))
    return dict(sorted(found.items(), key=lambda item: (item[1].ours, "" if item[1].ours else item[0])))


def _product(stem: str, kind: str, owner: Entry, folder: Path, place: str) -> Product:
    files = tuple(ext for ext in KINDS[kind] if (folder / f"{stem}.{ext}").is_file())
    problems = tuple((check_figure if kind == "figure" else check_table)(folder, stem)) if files else ()
    try:
        about = json.loads((folder / f"{stem}.json").read_bytes())
    except (OSError, ValueError):
        about = {}
    return Product(stem, kind, owner, folder, files, problems, about if isinstance(about, dict) else {},
                   place)


def shipped(drawn: Mapping[str, Product], entries: Iterable[Entry], committed: Path) -> dict[str, Product]:
    """What the repository has of full-scale runs of figures and tables that are not drawn the same just now."""
    found = {}
    for stem, product in read(entries, committed, "shipped").items():
        now = drawn.get(stem)
        if product.shown and not product.is_quick and not (now and now.shown and _alike(now, product)):
            found[stem] = product
    return found


def _alike(one: Product, other: Product) -> bool:
    if one.kind == "figure":
        return same_picture(one.path("png"), other.path("png"))
    return one.path("csv").read_bytes() == other.path("csv").read_bytes()


def thumbnail(png: Path) -> tuple[bytes, int, int]:
    """A small picture of a figure (PNG with few colours), and its width and height in pixels."""
    with Image.open(png) as picture:
        small = picture.convert("RGBA")
        white = Image.new("RGBA", small.size, "white")
        small = Image.alpha_composite(white, small).convert("RGB")
    small.thumbnail(THUMBNAIL, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return out.getvalue(), *small.size


def same_picture(one: Path, other: Path) -> bool:
    """Whether two png show the same, but for edges of lines and a palette: another processor draws these otherwise."""
    with Image.open(one) as first, Image.open(other) as second:
        if first.size != second.size:
            return False
        difference = np.asarray(ImageChops.difference(first.convert("RGB"), second.convert("RGB")))
    return bool(difference.max() <= FURTHEST)


@dataclass(frozen=True)
class Cell:
    """A cell of a table on its page; `rows` says how many rows it spans, `head` that it names them."""

    text: str
    number: bool = False
    head: bool = False
    rows: int = 1

    @property
    def nothing(self) -> bool:
        """Whether it says that there is no number: –, not trained yet, not in quick."""
        return self.text == "–" or self.text.startswith("not ")


Row = tuple[str, list[Cell]]


def table_cells(frame: pd.DataFrame) -> tuple[list[tuple[str, bool]], list[list[Row]]]:
    """(columns, groups) of a table of text: columns are (name, are these numbers?), a group is a list of rows (tone,
    cells).

    In tables with a column `number` (paper, ours, ...) the columns before it say what a group of rows is about: they
    span it, and the tone of a row is "paper" or "ours". Other tables are a single group.
    """
    shown = frame.head(MAX_ROWS)
    heads = list(shown.columns).index("number") if "number" in shown.columns else 0
    numeric = [n > heads if heads else _is_numeric(shown[name]) for n, name in enumerate(shown.columns)]
    groups: list[list[Row]] = []
    for _, group in groupby(shown.to_numpy().tolist(), key=lambda row: row[:heads]):
        members = list(group)
        groups.append([])
        for n, row in enumerate(members):
            spanning = [Cell(text, head=True, rows=len(members)) for text in row[:heads]] if n == 0 else []
            rest = [Cell(text, number) for text, number in zip(row[heads + 1:], numeric[heads + 1:], strict=True)]
            word = row[heads].partition(",")[0] if heads else ""  # "ours, last epoch" is ours
            tone = word if word in ("paper", "ours") else ""
            groups[-1].append((tone, [*spanning, Cell(row[heads], numeric[heads], head=True), *rest]))
    return list(zip(shown.columns, numeric, strict=True)), groups


def _is_numeric(column: pd.Series) -> bool:
    """Whether the cells that are not empty mostly begin with a number, as 68.08 ± 0.07 does."""
    filled = [text for text in column if text not in ("", "–")]
    return sum(bool(re.match(r"[-−]?\d[\d,.]*( |$)", text)) for text in filled) > len(filled) / 2
