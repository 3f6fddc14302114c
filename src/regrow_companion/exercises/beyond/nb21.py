"""Exercises of notebook 21: schedules and batches."""

from __future__ import annotations

from functools import partial

from regrow import schedule
from regrow.cost import total_steps
from regrow_companion import study
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number, table
from regrow_companion.section8 import cases
from regrow_companion.section8 import nb21_noise as noise
from regrow_companion.session import Session

BATCH, IMAGES = 128, 45_000


def turnover(book: Session, decay: str = "constant") -> float:
    """How many times as much is rewired with another decay of the prune rate as with the cosine."""
    usual = study.runs("schedules", "paper")[0]
    total = total_steps(usual)
    cosine, other = (sum(schedule.prune_rate(config, step, total) for step in schedule.update_steps(config, total))
                     for config in (usual, usual.but(prune_schedule=decay)))
    return other / cosine


def averages(book: Session, halve: bool = False) -> dict[str, float]:
    """Images behind a running average at beta = 0.9, and the beta that looks at all; `halve` counts 1 / (1 - beta)."""
    if halve:
        return {"images": BATCH / (1 - 0.9), "beta": 1 - BATCH / IMAGES}
    return {"images": BATCH * 1.9 / 0.1, "beta": (IMAGES - BATCH) / (IMAGES + BATCH)}


def by_layer(book: Session, column: str = "with another", last: bool = True) -> dict[str, float]:
    """What two batches of 128 images have in common, in the first two layers, at the last or the first moment."""
    every = cases.tables(noise.EXPERIMENT, book.profile, book.store.root, study.SHIPPED)["agreement"]
    rows = every[(every["of"] == "batch") & (every["size"] == BATCH)]
    rows = rows[rows["epoch"] == (rows["epoch"].max() if last else rows["epoch"].min())]
    return {layer: float(rows[rows["layer"] == layer][column].mean()) for layer in ("fc1", "fc2")}


EXERCISES = {
    "1": Exercise("a number, V with a constant rate over V with the cosine", turnover, number(rel=0.05), (
        Slip("This is the linear decay.", partial(turnover, decay="linear")),
        Slip("It is the other way round.", lambda book: 1 / turnover(book)))),
    "2": Exercise("a table of two numbers: images at beta = 0.9, and beta for 45,000 images", averages,
                  table(number(rel=0.0005)), (
        Slip("1 / (1 - beta) is the sum of the weights. The variance takes the sum of their squares.",
             partial(averages, halve=True)),
        Slip("These are batches; a batch has 128 images.",
             lambda book: averages(book) | {"images": averages(book)["images"] / BATCH}))),
    "3": Exercise("a table by layer, shares between 0 and 1 at the last moment", by_layer,
                  table(number(rel=0.01, share=True)), (
        Slip("This is the first update.", partial(by_layer, last=False)),
        Slip("This is in common with all images.", partial(by_layer, column="with all")),
        Slip("This is what chance would give.", partial(by_layer, column="chance")))),
}
