"""Exercises of notebook 15: Boltzmann machines."""

from __future__ import annotations

from functools import partial

import torch

from regrow import rbm
from regrow.record import Record
from regrow_companion import study
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import array, choice, number, table
from regrow_companion.session import Session


def _firsts(book: Session) -> dict[str, Record]:
    """The first small machine of every rule."""
    return {rule: group[0] for rule, group in study.by_method(book.records("fig16")).items()}


def dispersion(book: Session, moment: int = -1, root: bool = False) -> dict[str, list[float]]:
    """Variance over mean of the degrees at a moment, [visible, hidden]; with `root` the standard deviation over it."""
    found = {}
    for rule, record in _firsts(book).items():
        mask = record.masks(range(len(record.moments))[moment])["rbm"]
        sides = (mask.sum(axis=0), mask.sum(axis=1))
        found[rule] = [float((k.std() if root else k.var()) / k.mean()) for k in sides]
    return found


def where_chains_end(book: Session) -> dict[str, str]:
    """Whether the free energy of samples is lower or higher than that of images in black and white."""
    found = {}
    for rule, record in _firsts(book).items():
        machine, grey = rbm.of_record(record), rbm.examples_of(record)
        chance = torch.Generator().manual_seed(1)
        samples = torch.bernoulli(rbm.gibbs(machine, grey, [1000], chance)[0], generator=chance)
        images, sampled = (rbm.free_energy(machine, v).mean() for v in ((grey > 0.5).to(grey.dtype), samples))
        found[rule] = "lower" if sampled < images else "higher"
    return found


def hurried(book: Session, few: int = 10) -> float:
    """By how many nats few steps of annealing make log P of the first small machine too good, beside 1000."""
    machine = rbm.of_record(book.records("fig16")[0])
    short, long = (float(rbm.estimated_log_partition(machine, torch.Generator().manual_seed(0), steps=steps, chains=30))
                   for steps in (few, 1000))
    return long - short


def _other_way(book: Session) -> dict[str, str]:
    return {rule: "lower" if word == "higher" else "higher" for rule, word in where_chains_end(book).items()}


EXERCISES = {
    "1": Exercise("a table by rule, [visible, hidden]: variance over mean at the end, first machine of the rule",
                  dispersion, table(array(rel=0.01)), (
        Slip("These are the degrees before training.", partial(dispersion, moment=0)),
        Slip("This is the standard deviation over the mean; in a random graph it is the variance that equals the mean.",
             partial(dispersion, root=True)),
        Slip("The sides are exchanged: a row of the mask is a hidden unit.",
             lambda book: {rule: pair[::-1] for rule, pair in dispersion(book).items()}))),
    "2": Exercise("a table by rule, 'lower' or 'higher': the free energy of the samples beside that of the images",
                  where_chains_end, table(choice("lower", "higher")), (
        Slip("It is the other way round for every rule. Take the mean over nine images, of F and not of -F.",
             _other_way),)),
    "3": Exercise("a number of nats, log P with 10 steps minus log P with 1000", hurried, number(rel=0.02), (
        Slip("This is the difference of log Z, which has a minus sign in log P.", lambda book: -hurried(book)),
        Slip("This is with 100 steps.", partial(hurried, few=100)))),
}
