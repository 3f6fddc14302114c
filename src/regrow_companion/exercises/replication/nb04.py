"""Exercises of notebook 04: degree distributions before training."""

from __future__ import annotations

import numpy as np
from scipy import special, stats

from regrow import RunConfig
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number, table
from regrow_companion.plots import nb04_initial_degrees as initial_degrees
from regrow_companion.plots.nb05_shells import initial_masks
from regrow_companion.session import Session

CONFIG = RunConfig(dataset="cifar10")
LAYERS = ("input", "hidden 1", "hidden 2", "output")
ALPHA = 2.5


def output_degrees(book: Session) -> dict[str, int]:
    """The smallest and the largest degree of the ten outputs; training cannot move a connection of a full layer."""
    last = initial_masks(CONFIG)[-1].sum(axis=1)
    return {"smallest": int(last.min()), "largest": int(last.max())}


def mean_degrees(init: str, outgoing: bool = True) -> dict[str, float]:
    """Mean total degree of each layer of neurons, or the mean in-degree, from nothing but the counts."""
    shapes, counts = initial_degrees.initial_wiring(CONFIG.but(init=init))
    received = [0.0, *(counts[name] / n_out for name, (n_out, _) in shapes.items())]
    sent = [*(counts[name] / n_in for name, (_, n_in) in shapes.items()), 0.0]
    return {layer: k_in + k_out * outgoing for layer, k_in, k_out in zip(LAYERS, received, sent, strict=True)}


def twice_the_mean(book: Session) -> dict[str, float]:
    """How likely a neuron of hidden 1 is to have at least twice its mean degree under either law."""
    mean = mean_degrees("erk")["hidden 1"]
    starts = np.arange(2, 200)
    means = special.zeta(ALPHA - 1, starts) / special.zeta(ALPHA, starts)
    return _from(int(starts[np.abs(means - mean).argmin()]))


def _from(start: int) -> dict[str, float]:
    mean = mean_degrees("erk")["hidden 1"]
    least = int(np.ceil(2 * mean))
    return {"Poisson": float(stats.poisson.sf(least - 1, mean)),
            "power law": float(special.zeta(ALPHA, least) / special.zeta(ALPHA, start))}


EXERCISES = {
    "1": Exercise("a table with the smallest and the largest degree of the ten outputs after training", output_degrees,
                  table(), (
        Slip("This is what 5 % of the places below would give. How many of them does ERK give to the last layer?",
             lambda book: dict.fromkeys(("smallest", "largest"), 0.05 * 512)),
        Slip("The last layer has 512 senders; ten is the number of receivers.",
             lambda book: dict.fromkeys(("smallest", "largest"), 10)))),
    "2": Exercise("a table of the mean total degree of each layer of neurons, in and out together",
                  lambda book: mean_degrees("uniform"), table(number(rel=0.002)), (
        Slip("These are the means with ERK.", lambda book: mean_degrees("erk")),
        Slip("These are in-degrees; connections that leave a neuron count as well.",
             lambda book: mean_degrees("uniform", outgoing=False)))),
    "3": Exercise("a table of two probabilities, of a degree of at least twice the mean", twice_the_mean,
                  table(number(rel=0.05)), (
        Slip("This power law has a far smaller mean. It should begin where its mean is that of hidden 1.",
             lambda book: _from(4)),)),
}
