"""What a benchmark returns: rows, the few numbers that follow from them, and where it all comes from."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Any

import torch

from regrow import files, provenance

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("regrow", "torch", "torchvision", "numpy", "numba", "scipy", "networkx", "igraph", "pillow")


@dataclass(frozen=True)
class Table:
    """`facts` are the conclusions, name -> number or text; `notes` say what a reader must know to trust the rows."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if set(row) != set(self.columns):
                raise ValueError(f"A row of {self.name} has {sorted(row)} instead of {sorted(self.columns)}.")

    def text(self) -> str:
        """For people: aligned columns, numbers to the right, then facts and notes."""
        cells = [list(self.columns), *([_shown(row[column]) for column in self.columns] for row in self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(self.columns))]
        words = [any(isinstance(row[column], str) for row in self.rows) for column in self.columns]
        lines = [f"{self.name}: {self.title}", ""]
        for line in cells:
            lines.append("  ".join(cell.ljust(width) if word else cell.rjust(width)
                                   for cell, width, word in zip(line, widths, words, strict=True)).rstrip())
        lines += ["", *(f"{name}: {_shown(value)}" for name, value in self.facts.items()), *self.notes]
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"name": self.name, "title": self.title, "columns": list(self.columns),
                "rows": [dict(row) for row in self.rows], "facts": dict(self.facts), "notes": list(self.notes)}

    def save(self, made: Mapping[str, Any], folder: Path = RESULTS) -> Path:
        """Write folder/NAME.csv with the rows and NAME.json with the rest and `made`; return the path of the csv."""
        folder.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
                         for row in self.rows)
        path = folder / f"{self.name}.csv"
        files.write(path, text.getvalue().encode())
        about = {key: value for key, value in self.to_dict().items() if key not in ("rows", "columns")} | dict(made)
        files.write(path.with_suffix(".json"), (json.dumps(about, indent=2, ensure_ascii=False) + "\n").encode())
        return path


def made_on() -> dict[str, Any]:
    """Hardware, threads, versions, commit, and how busy the machine already was: processes that wanted a core."""
    versions: dict[str, str | None] = {"python": python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {"hardware": provenance.hardware("cpu"), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
            "load_before": load, "versions": versions, **provenance.commit()}


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
