"""Exercises of notebook 24: the wiring of convolutional networks."""

from __future__ import annotations

from functools import partial
from math import prod, sqrt

from regrow.sparsity import connection_counts
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number, table
from regrow_companion.section8 import nb24_channels as channels
from regrow_companion.session import Session

SHAPE, CONNECTIONS = (128, 64, 3, 3), 2000
BLOCK, BLOCK_CONNECTIONS = (16, 16, 3, 3), 356
MLP = {"fc1": (1024, 3072), "fc2": (512, 1024), "fc3": (10, 512)}


def spreads(book: Session, power: int = 1, over_mean: bool = True) -> dict[str, float]:
    """sigma ** power by kind of nodes in a layer of random wiring, over the mean or not, from the exact law."""
    found, places = {}, prod(SHAPE)
    for nodes, own in channels.places(SHAPE).items():
        q = CONNECTIONS / places
        variance = own * q * (1 - q) * (places - own) / (places - 1)
        found[nodes] = sqrt(variance) ** power / (own * q if over_mean else 1)
    return found


def room(book: Session) -> dict[str, float]:
    """The largest possible degree over the mean, of units in a layer of ResNet-56 and of hidden neurons' inputs."""
    first = connection_counts(MLP, 0.05, "erk")["fc1"]
    return {"units": prod(BLOCK) / BLOCK_CONNECTIONS, "hidden neurons": prod(MLP["fc1"]) / first}


def most_unequal(book: Session, nodes: str = channels.OUT, chance: str = "chance_sd") -> dict[str, float]:
    """The largest ratio of spread to chance among ConvNet's layers at the end of its longest runs, mean over seeds, by
    rule."""
    end = channels.of(book).end
    rows = end[(end["model"] == end["model"].iloc[0]) & (end["nodes"] == nodes)]
    ratio = (rows["sd"] / rows[chance]).groupby([rows["strategy"], rows["layer"]]).mean()
    return {str(rule): float(value) for rule, value in ratio.groupby(level=0).max().items()}


EXERCISES = {
    "1": Exercise("a table by kind of nodes, sigma over mu", spreads, table(number(rel=0.02)), (
        Slip("This is the variance over the mean, which is near 1 for all of them.", partial(spreads, power=2)),
        Slip("This is sigma; divide by the mean degree.", partial(spreads, over_mean=False)))),
    "2": Exercise("a table of two numbers, the largest possible degree over the mean", room, table(number(rel=0.02)), (
        Slip("5 % is the density of the whole network. Layers differ.",
             lambda book: dict.fromkeys(("units", "hidden neurons"), 20.0)),
        Slip("A unit is a channel at one position of the kernel, with 16 places.",
             lambda book: room(book) | {"units": room(book)["units"] * 9}),
        Slip("These are the means over the largest.", lambda book: {name: 1 / of for name, of in room(book).items()}))),
    "3": Exercise("a table by rule, the ratio in ConvNet's most unequal layer", most_unequal,
                  table(number(rel=0.01)), (
        Slip("These are the channels that receive.", partial(most_unequal, nodes=channels.INTO)),
        Slip("This is the spread over the mean degree, not over what chance gives.",
             partial(most_unequal, chance="mean")))),
}
