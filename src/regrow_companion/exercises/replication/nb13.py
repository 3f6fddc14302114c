"""Exercises of notebook 13: which connections should go."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from regrow import RunConfig, data, schedule, train
from regrow.engines.dense import MaskedEngine
from regrow_companion import study
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number, table
from regrow_companion.session import Session

RATES = (0.5, 0.1, 0.01)
PAPER_STEPS, QUICK_STEPS = 105_600, 2_550


@cache
def weights() -> NDArray[np.float64]:
    """The active weights of the first layer that the notebook trains."""
    config = RunConfig(hidden=(300, 100), grow="random", epochs=3, update_interval=51)
    images = data.load(config.dataset, image_format=config.image_format)
    run = train.start(config, images)
    train.finish(run, images)
    assert isinstance(run.engine, MaskedEngine)
    layer = run.engine.topology
    return layer.weights["fc1"].detach()[layer.masks["fc1"]].numpy().astype(float)


def removed(rule: str, rate: float) -> NDArray[np.bool_]:
    """Which of them go, by ranks."""
    w = weights()
    gone = np.zeros(len(w), dtype=bool)
    if rule == "set_legacy":  # the k smallest positive ones, and all negative ones but the k - 1 largest
        k = int(np.ceil(np.ceil(rate * len(w)) / 2))
        up = np.argsort(w)
        gone[up[w[up] > 0][:k]] = gone[up[w[up] < 0][k - 1:]] = True
        return gone
    for side in {"magnitude": (w != 0,), "set": (w > 0, w < 0)}[rule]:
        gone[np.argsort(np.where(side, np.abs(w), np.inf), kind="stable")[:round(rate * int(side.sum()))]] = True
    return gone


def in_common(book: Session, other: str = "set", of_either: bool = True) -> dict[float, float]:
    """What magnitude and another rule both remove, as a share of what either or what magnitude removes, by rate."""
    found = {}
    for rate in RATES:
        one, two = removed("magnitude", rate), removed(other, rate)
        found[rate] = float((one & two).sum() / ((one | two) if of_either else one).sum())
    return found


def signal(book: Session, power: int = 2) -> dict[str, float]:
    """The part of the sum of |theta| ** power that a rule removes at p = 0.1."""
    size = np.abs(weights()) ** power
    return {rule: float(size[removed(rule, 0.1)].sum() / size.sum()) for rule in ("magnitude", "set", "set_legacy")}


def even_chance(book: Session) -> dict[str, float]:
    """From which part of training on a new connection is more likely than not to reach the end by chance."""
    found = {}
    for name, config, steps in (("paper", RunConfig(dataset="cifar10"), PAPER_STEPS),
                                ("quick", RunConfig(**study.QUICK_MLP), QUICK_STEPS)):
        updates = schedule.update_steps(config, steps)
        survival = 1.0
        for after, update in zip(updates[-2::-1], updates[:0:-1], strict=True):
            survival *= 1 - schedule.prune_rate(config, update, steps)
            if survival < 0.5:
                break
            found[name] = after / steps
    return found


EXERCISES = {
    "1": Exercise("a table of three shares, by prune rate", in_common, table(number(rel=0.01, share=True)), (
        Slip("This is the share of what magnitude removes; divide by the number that at least one rule removes.",
             partial(in_common, of_either=False)),
        Slip("This is the overlap with SET as it was copied, with the bug.", partial(in_common, other="set_legacy")))),
    "2": Exercise("a table of three shares of the sum of squared weights", signal,
                  table(number(rel=0.02, share=True)), (
        Slip("These are shares of the sum of |theta|: take squares.", partial(signal, power=1)),
        Slip("These are shares of the connections. The small ones carry less than their share.",
             partial(signal, power=0)))),
    "3": Exercise("a table of two moments, as parts of training between 0 and 1", even_chance,
                  table(number(rel=0, within=0.01, share=True)), (
        Slip("From here on a single update is survived with an even chance; all later ones must be survived, too.",
             lambda book: {"paper": 0.0, "quick": 0.0}),
        Slip("This counts back from the end.", lambda book: {name: 1 - at for name, at in even_chance(book).items()}))),
}
