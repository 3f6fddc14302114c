"""One-seed ablations: what the options that the paper leaves open do to the accuracy, beside the paper's number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from regrow import reported, study
from regrow.config import RunConfig
from regrow.record import Record

PLAIN = "as in Table 4"
OPTIONS: dict[str, dict[str, Any]] = {
    "no augmentation": {"augment": "none"},
    "flips without crops": {"augment": "flip"},
    "constants of SNFS's code": {"normalise": "snfs"},
    "constants .5 and .5": {"normalise": "half"},
    "momentum growth ranks SGD's buffer": {"growth_momentum": "sgd_buffer"},
    "SET pruning with the widespread bug": {"prune": "set_legacy"},
}
BLACK = "black border"
OLDER: dict[str, dict[str, Any]] = {
    "black border, update instead of a step": {"update_order": "instead_of_step"},
    "black border, regrown weights kept": {"regrown_weight": "keep"},
    "black border, momentum of regrown weights kept": {"grown_buffer": "keep"},
    "black border, SET pruning with the bug": {"prune": "set_legacy"},
}
COLUMNS = ("option", "rule", "test", "validation", "change", "test, best validation", "paper", "ours - paper")


def table(records: Sequence[Record]) -> pd.DataFrame:
    """A row per run of `study.runs("ablations", "paper")` that is there, and per seed-0 run of Table 4 beside it.

    Accuracies in percent after the last epoch, and at the epoch of best validation. `change` is the difference in test
    accuracy from the same rule and seed as in Table 4, or, for older runs, with the black border and nothing else
    changed; one seed has no spread, so a change below about one point means nothing.
    """
    found = {record.config: record for record in records}
    rows: list[dict[str, Any]] = []
    for plain in study.ablated():
        black = plain.but(**study.BLACK)
        rows += _rows(found, plain, {PLAIN: {}} | OPTIONS | {BLACK: study.BLACK})
        rows += _rows(found, black, OLDER)
    return pd.DataFrame(rows, columns=list(COLUMNS)).round(2)


def _rows(found: Mapping[RunConfig, Record], base: RunConfig,
          options: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `base` with each of these options, as far as they are there; changes are from `base` itself."""
    printed = {cell.method: cell.mean for cell in reported.load(4) if (cell.model, cell.dataset) == ("mlp", "cifar10")}
    rows, usual = [], found.get(base)
    for name, changes in options.items():
        record = found.get(base.but(**changes))
        if record is None:
            continue
        last, paper = record.accuracy("last"), printed[base.method]
        change = last.test - usual.accuracy("last").test if usual is not None and changes else float("nan")
        best = record.accuracy("best validation").test
        values = (name, base.method, last.test, last.validation, change, best, paper, last.test - paper)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def caption(frame: pd.DataFrame) -> str:
    """What a reader of the table has to know."""
    planned, there = len(study.runs("ablations", "paper")), int((frame["option"] != PLAIN).sum())
    return (f"Ablations of ours: the MLP on CIFAR-10 at 95 % sparsity with one option changed, seed 0 alone; {there} "
            f"of {planned} runs are there. Percent after the last epoch, and at the epoch of best validation accuracy; "
            "change: from the same rule and seed as in Table 4, of the last four options from the black border alone.")
