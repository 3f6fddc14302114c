"""One-seed ablations: what the options that the paper leaves open do to the accuracy, beside the paper's number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from regrow import reported, study
from regrow.config import RunConfig
from regrow.cost import image_shape
from regrow.data import PAD
from regrow.graph import input_heat_map
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


def input_edges(records: Sequence[Record]) -> pd.DataFrame:
    """Where the input connections of the mirrored runs and of those beside them lie at the end of training.

    A row per border and growth rule with the percentage of connections on the four outermost pixels all round (43.75 %
    of the image), and in the four corners (6.25 %), mean over seeds. Black stripes and nothing else differ.
    """
    rows = []
    records = [record for record in records if len(record.input_degrees())]
    mirrored_seeds = {(record.config.method, record.config.seed) for record in records
                      if record.config.augment == "mirror_crop_flip"}
    for border, name in BORDERS.items():
        for rule in study.STRATEGIES:
            maps = [input_heat_map(record.input_degrees()[-1], image_shape(record.config)) for record in records
                    if record.config.but(seed=0) == RunConfig(dataset="cifar10", grow=rule, augment=border)
                    and (rule, record.config.seed) in mirrored_seeds]
            if maps:
                image = np.mean(maps, axis=0) / np.sum(np.mean(maps, axis=0))
                edge = 1 - image[PAD:-PAD, PAD:-PAD].sum()
                middle = image[PAD:-PAD].sum() + image[:, PAD:-PAD].sum() - image[PAD:-PAD, PAD:-PAD].sum()
                rows.append({"border": name, "rule": rule, "seeds": len(maps), "edge, %": round(100 * edge, 1),
                             "corners, %": round(100 * (1 - middle), 1)})
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
