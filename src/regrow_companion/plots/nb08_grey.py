"""What the paper's grey runs can have been: the MLP on MNIST and Fashion-MNIST under other readings of the paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from regrow.config import RunConfig
from regrow.record import Record
from regrow_companion import paper, study
from regrow_companion.paper import DATASET_NAMES
from regrow_companion.plots.nb08_accuracy import mean_and_std

AS_TABLE_4 = "as in Table 4"


def table(records: Sequence[Record]) -> pd.DataFrame:
    """A row per reading of `study.runs("grey", "paper")`, and per cell of Table 4 beside it, that has records.

    Columns: data set, rule, sparsity, reading (what differs from the paper profile), seeds, broken (how many runs ended
    at chance or without a number, and after which epochs), test accuracy in percent after the last epoch and at the
    epoch of best validation accuracy (mean ± sample standard deviation over seeds), and the paper's number.
    """
    runs = (*study.runs("table4", "paper"), *study.runs("table7", "paper"), *study.runs("grey", "paper"))
    order = [run for run in dict.fromkeys(run.but(seed=0) for run in runs)
             if run.model == "mlp" and run.dataset in ("mnist", "fashion_mnist")]
    printed = {(cell.dataset, cell.method, cell.sparsity): cell.number
               for number in (4, 7) for cell in paper.reported(number) if cell.model == "mlp"}
    groups: dict[RunConfig, list[Record]] = {run: [] for run in order}
    for record in records:
        groups.get(record.config.but(seed=0), []).append(record)
    rows = [{"data set": DATASET_NAMES[run.dataset], "rule": run.method, "sparsity": f"{100 * run.sparsity:.0f} %",
             "reading": reading(run), "seeds": len(group), "broken": broken(group),
             "test, last": mean_and_std([record.accuracy("last").test for record in group]),
             "test, best validation": mean_and_std([record.accuracy("best validation").test for record in group]),
             "the paper": printed[run.dataset, run.method, run.sparsity]} for run, group in groups.items() if group]
    return pd.DataFrame(rows).sort_values(["data set", "rule", "sparsity"], kind="stable", ignore_index=True)


def reading(run: RunConfig) -> str:
    """What a run does otherwise than Table 4's: 'crops and flips, constants .5 and .5'."""
    parts = {
        "crops and flips": run.augment == "crop_flip",
        f"from a border of {run.crop_pad}": run.crop_pad != RunConfig.crop_pad,
        "of test images, too": run.evaluation == "as_training",
        "constants .5 and .5": run.normalise == "half",
        "constants of CIFAR-10": run.normalise == "cifar10",
        f"{run.epochs} epochs": run.epochs != 300,
    }
    return ", ".join(part for part, said in parts.items() if said) or AS_TABLE_4


def breaking_epoch(record: Record) -> int | None:
    """The epoch, from 1, in which the loss stopped being a number, or from which accuracy stays at chance; None: never.

    Chance is up to half as much again as one in the number of classes.
    """
    if not record.collapsed:
        return None
    lost = np.flatnonzero(~np.isfinite(record.train_loss))
    chance = 150.0 / list(record.shapes.values())[-1][0]
    learned = np.flatnonzero(record.val_accuracy > chance)
    at_chance = int(learned[-1]) + 1 if len(learned) else 0
    return min(int(lost[0]) if len(lost) else len(record.train_loss), at_chance) + 1


def broken(group: Sequence[Record]) -> str:
    """'2 (in epochs 6 and 9)', or '0'."""
    epochs = [str(epoch) for record in group if (epoch := breaking_epoch(record)) is not None]
    if not epochs:
        return "0"
    listed = epochs[0] if len(epochs) == 1 else f"{', '.join(epochs[:-1])} and {epochs[-1]}"
    return f"{len(epochs)} (in epoch{'s' * (len(epochs) > 1)} {listed})"
