"""Notebook 21, how often, how much, on how many images."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from prose import measures as m
from prose.nb19 import behind
from prose.said import Said
from regrow.config import RunConfig
from regrow_companion import study
from regrow_companion.section8 import nb21_noise
from regrow_companion.section8 import nb21_schedules as schedules
from regrow_companion.session import Session

PAGE = "notebooks/21_beyond_schedules.ipynb"
EXCUSED = {
    "need not be better at 300": "the paper's epochs",
    "for $\\beta = 0.9$ and a batch of 128": "an exercise",
    "all 45,000 training images": "an exercise",
}


@cache
def series(need: str) -> schedules.Series:
    return schedules.of(Session("21", "replay", m.store(), m.NOWHERE), need)


def last(option: str, grow: str, column: str, need: str = "schedules") -> float:
    """Mean over seeds after the last update."""
    rows = series(need).last()
    return float(rows[(rows["option"] == option) & (rows["strategy"] == grow)][column].mean())


@cache
def hubs_after(update: int) -> pd.Series:
    """The share of the best connected hundredth, mean over seeds, by option and rule."""
    table = series("schedules").table
    return table[table.groupby("key").cumcount() == update].groupby(["option", "strategy"])["hubs"].mean()


def jumps() -> list[float]:
    """After the first update of gradient and momentum growth, whatever the interval and the decay."""
    hubs = hubs_after(1)
    return [float(value) for (option, rule), value in hubs.items() if rule in m.SCORES and "p_0" not in option]


def cost(option: str) -> list[float]:
    """Of an option in validation accuracy, by rule."""
    return [last("usual", rule, "validation %") - last(option, rule, "validation %") for rule in m.STRATEGIES]


def last_moment() -> float:
    """The epoch of the last moment at which rankings were compared."""
    return float(m.beyond(nb21_noise.EXPERIMENT)["agreement"]["epoch"].max())


SAID = [
    Said("{} short runs at full width ({} more runs of the small network in `quick`)",
         lambda: (m.planned("schedules", "batches"),
                  len({*study.distinct(("schedules", "batches"), "quick")} - {*study.runs("fig05", "quick")}))),
    Said("The paper rewires every {} steps, begins by pruning half of all connections ($p_0 = {}$)",
         lambda: (RunConfig().update_interval, RunConfig().prune_rate)),
    Said("of the same {} images. We change", lambda: (RunConfig().batch_size,)),
    Said("**{} epochs instead of {}**", lambda: (study.SHORT["epochs"], RunConfig().epochs)),
    Said("the neurons has {} % of all connection ends before training and {} to {} % after the first update",
         lambda: (hubs_after(0).mean(), *m.low_high(jumps()))),
    Said("to {} % with the usual schedule and to {} % with four times as many updates",
         lambda: (last("usual", "random", "hubs"), last("interval 100", "random", "hubs"))),
    Said("about two points with four times as many updates or $p_0 = {0.8}$, and random growth hardly any; *less* "
         "rewiring than in the paper costs neither",
         lambda: (all(1.5 < loss < 2.6 for option in ("interval 100", "$p_0$ = 0.8") for loss in cost(option)[1:]),
                  all(cost(option)[0] < 0.6 for option in ("interval 100", "$p_0$ = 0.8")),
                  all(loss < 0.1 for option in ("interval 1600", "$p_0$ = 0.2") for loss in cost(option)))),
    Said("about {} % at $p_0 = {0.2}$, {} to {} % at {0.8}",
         lambda: (np.mean([last("$p_0$ = 0.2", rule, "dormant low") for rule in m.STRATEGIES]),
                  *m.low_high(last("$p_0$ = 0.8", rule, "dormant low") for rule in m.STRATEGIES))),
    Said("have grown from another batch of {} images?", lambda: (RunConfig().batch_size,)),
    Said("{} % would have been grown by another batch of {128} images, and {} % at epoch {}",
         lambda: (m.shared_by_batches(), m.shared_by_batches(-1), last_moment())),
    Said("with {} images and a learning rate in proportion ({}), gradient growth collapses to chance in both seeds, "
         "and random growth does not",
         lambda: (study.BATCHES[1]["batch_size"], study.BATCHES[1]["lr"],
                  last("batch 512", "gradient", "validation %", "batches") < 15,
                  last("batch 512", "random", "validation %", "batches") > 50)),
    Said("is half a point behind it with the same black border, and {} points with the mirrored one",
         lambda: (behind({}), abs(behind(m.BLACK) - 0.5) < 0.2)),
    Said("Mind the limits: {} epochs and {} seeds",
         lambda: (study.SHORT["epochs"], series("schedules").last()["seed"].nunique())),
    Said("better at {} epochs", lambda: (study.SHORT["epochs"],)),
    Said("two batches of {} images have in common", lambda: (RunConfig().batch_size,)),
]
