"""One-seed ablations: what the options that the paper leaves open do to the accuracy, beside the paper's number."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from regrow import reported, study
from regrow.config import RunConfig
from regrow.plots.accuracy import DATASETS, mean_and_std
from regrow.record import Record

OPTIONS: dict[str, dict[str, object]] = {
    "as in Table 4": {},
    "no augmentation": {"augment": "none"},
    "flips without crops": {"augment": "flip"},
    "crops and flips": {"augment": "crop_flip"},
    "crops with a mirrored border": {"augment": "mirror_crop_flip"},
    "update instead of a step": {"update_order": "instead_of_step"},
    "regrown weights kept": {"regrown_weight": "keep"},
    "momentum of regrown weights kept": {"grown_buffer": "keep"},
    "momentum growth ranks SGD's buffer": {"growth_momentum": "sgd_buffer"},
    "SET pruning with the widespread bug": {"prune": "set_legacy"},
}
BORDERS = {"crop_flip": "black border (ours)", "mirror_crop_flip": "mirrored border (ours)"}
COLUMNS = ("data set", "option", "rule", "test", "validation", "change", "paper", "ours - paper")


def table(records: Sequence[Record]) -> pd.DataFrame:
    """A row per run of `study.runs("ablations", "paper")` that is there, and per seed-0 run of Table 4 beside it.

    Accuracies in percent after the last epoch. `change` is the difference in test accuracy from the same rule and seed
    with the options of Table 4; one seed has no spread, so a change below about one point means nothing.
    """
    found = {record.config: record for record in records}
    printed = {(cell.dataset, cell.method): cell.mean for cell in reported.load(4) if cell.model == "mlp"}
    rows = []
    for plain in study.ablated():
        for name, changes in OPTIONS.items():
            record = found.get(plain.but(**changes))
            if record is None or (changes and record.config == plain):
                continue
            test, paper = float(record.test_accuracy[-1]), printed[plain.dataset, plain.method]
            base = found.get(plain)
            change = test - float(base.test_accuracy[-1]) if base is not None and changes else float("nan")
            rows.append((DATASETS[plain.dataset], name, plain.method, test, float(record.val_accuracy[-1]), change,
                         paper, test - paper))
    return pd.DataFrame(rows, columns=list(COLUMNS)).round(2)


def mirrored(records: Sequence[Record]) -> pd.DataFrame:
    """Table 4's MLP on CIFAR-10 with both borders of the random crop: a row per growth rule that has mirrored runs."""
    printed = {cell.method: cell for cell in reported.load(4) if (cell.model, cell.dataset) == ("mlp", "cifar10")}
    rows = []
    for rule in study.STRATEGIES:
        groups = {border: [record for record in records if record.config.but(seed=0) == RunConfig(
            dataset="cifar10", grow=rule, augment=border)] for border in BORDERS}
        if groups["mirror_crop_flip"]:
            row = {"rule": rule} | {name: _test(groups[border]) for border, name in BORDERS.items()}
            rows.append(row | {"the paper": f"{printed[rule].mean:.2f} ± {printed[rule].std:.2f}"})
    return pd.DataFrame(rows)


def _test(records: Sequence[Record]) -> str:
    """'65.69 ± 0.29 (5 seeds)', test accuracy in percent."""
    values = [float(record.test_accuracy[-1]) for record in records]
    if not values:
        return "not trained yet"
    return mean_and_std(values) + (f" ({len(values)} seeds)" if len(values) > 1 else "")


def caption(frame: pd.DataFrame) -> str:
    """What a reader of the table has to know."""
    planned, there = len(study.runs("ablations", "paper")), int((frame["option"] != "as in Table 4").sum())
    return (f"Ablations of ours: the MLP at 95 % sparsity with one option changed, seed 0 alone; {there} of {planned} "
            "runs are there. Percent after the last epoch; change: from the same rule and seed as in Table 4.")
