"""The accuracies that the paper prints in Tables 3, 4, 7 and 8, to stand beside ours."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

# The tables' ResNet-50 is trained here as the CIFAR ResNet with 6n+2 layers, see study.py.
_MODELS = {"resnet50": "resnet50-cifar"}


@dataclass(frozen=True)
class Reported:
    """One cell. `model`, `method` and `dataset` are the words of RunConfig; mean and std (ddof 1) are in percent."""

    table: int
    model: str
    method: str
    sparsity: float
    dataset: str
    mean: float
    std: float
    reconstructed: bool  # put back in its place from a part of Table 4 that the scan has out of order

    @property
    def number(self) -> str:
        """As the paper prints it: '68.08 ± 0.07'."""
        return f"{self.mean:.2f} ± {self.std:.2f}"


@cache
def load(table: int) -> tuple[Reported, ...]:
    """All cells of one table, in the paper's order; () for a table without accuracies."""
    text = resources.files("regrow").joinpath("assets/reported_accuracy.csv").read_text(encoding="utf-8")
    return tuple(
        Reported(int(row["table"]), _MODELS.get(row["model"], row["model"]), row["method"], float(row["sparsity"]),
                 row["dataset"], float(row["mean"]), float(row["std"]), row["scan"] == "reconstructed")
        for row in csv.DictReader(text.splitlines()) if int(row["table"]) == table)
