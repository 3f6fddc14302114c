"""Exercises of notebook 07: the set-up."""

from __future__ import annotations

from functools import partial
from math import ceil

import numpy as np

from regrow import RunConfig, cost, schedule
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number, table
from regrow_companion.session import Session

SMALL = RunConfig(hidden=(300, 100), epochs=6, update_interval=51, grow="random")


def epochs_between(book: Session) -> dict[int, float]:
    """Epochs between two updates by the size of the training set; the last batch of an epoch may be a smaller one."""
    return {images: 400 / ceil(images / 128) for images in (53_900, 54_000)}


def rewiring_left(book: Session, power: int = 1) -> dict[int, float]:
    """The share of all rewiring that comes after an epoch, or, with power 0, the share of all updates."""
    config = RunConfig(dataset="cifar10")
    total = cost.total_steps(config)
    updates = np.array(schedule.update_steps(config, total))
    rates = np.array([schedule.prune_rate(config, step, total) for step in updates.tolist()]) ** power
    return {epoch: float(rates[updates > total * epoch / config.epochs].sum() / rates.sum()) for epoch in (150, 225)}


def effect_of_drops(book: Session, what: str = "train_loss") -> dict[str, float]:
    """The training loss with drops of the learning rate minus that without, mean of two seeds: in the epoch after the
    first drop and in the last one."""
    ends = [np.mean([getattr(book.store.ensure(SMALL.but(lr_milestones=milestones, seed=seed)), what)
                     for seed in (0, 1)], axis=0) for milestones in ((0.5, 0.75), ())]
    return {"after the drop": float(ends[0][3] - ends[1][3]), "at the end": float(ends[0][-1] - ends[1][-1])}


EXERCISES = {
    "1": Exercise("a table of two numbers, epochs between two updates, to three digits", epochs_between,
                  table(number(rel=0.0007)), (
        Slip("There is one batch more: what is left over makes a smaller one.",
             lambda book: {images: 400 / (images // 128) for images in (53_900, 54_000)}),)),
    "2": Exercise("a table of two shares of all rewiring, the sum of p over updates", rewiring_left,
                  table(number(rel=0.02, share=True)), (
        Slip("This is the share of the updates. Late ones move few connections.", partial(rewiring_left, power=0)),)),
    "3": Exercise("a table of two differences of the training loss, with drops minus without", effect_of_drops,
                  table(number(rel=0, within=0.015)), (
        Slip("This is without minus with.", lambda book: {at: -by for at, by in effect_of_drops(book).items()}),
        Slip("These are points of validation accuracy.", partial(effect_of_drops, what="val_accuracy")))),
}
