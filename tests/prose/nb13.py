"""Notebook 13, which connections should go."""

from __future__ import annotations

import numpy as np
import pandas as pd

from prose import measures as m
from prose.said import Said, up
from regrow.config import RunConfig
from regrow.record import READINGS, Accuracy, Record
from regrow_companion import study
from regrow_companion.paper import MODEL_NAMES
from regrow_companion.section8 import nb24_collapse

PAGE = "notebooks/13_pruning_criteria.ipynb"
EXCUSED = {
    "a layer has 1,000 connections": "an example",
    "go at p = 0.01": "a prune rate to try",
}
def cells() -> list[RunConfig]:
    """Those of Figure 13, and the bug's, that have a run; its first one."""
    runs = (*study.runs("fig13", "replay"), *study.runs("set_legacy", "replay"))
    there = [run for run in runs if (m.SHIPPED / "records" / f"{run.key}.npz").is_file()]
    return list({run.but(seed=0): run for run in reversed(there)}.values())[::-1]


def drawn(cell: RunConfig) -> list[float]:
    """The mean after the last epoch, and at best validation."""
    return [float(np.mean([run.accuracy(reading).test for run in m.seeds_of(cell)])) for reading in READINGS]


def behind(prune: str, grow: str, **changes: str) -> float:
    """How much less than magnitude pruning, with the same border."""
    return m.accuracy(grow, **changes) - m.accuracy(grow, prune=prune, **changes)


def costs(reading: str) -> list[float]:
    """Of the bug by rule, seed 0."""
    return [m.loss(rule, seed=0, reading=reading, prune="set_legacy") for rule in m.STRATEGIES]


def buggy(rule: str) -> Record:
    """Seed 0 with the bug."""
    return m.runs(rule, prune="set_legacy")[0]


def best_epoch(rule: str) -> int:
    return buggy(rule).accuracy("best validation").epoch


def at_epoch(epoch: int) -> float:
    """Test accuracy under random growth and the bug after an epoch."""
    return float(buggy("random").test_accuracy[epoch - 1])


def broken(table: str) -> pd.DataFrame:
    """Of the ConvNet that broke under SET pruning and gradient growth."""
    return m.beyond(nb24_collapse.EXPERIMENT)[table].query("prune == 'set' and grow == 'gradient'")


def best_of(prune: str, grow: str) -> Accuracy:
    """The ConvNet's accuracies at the epoch of best validation, seed 0."""
    return m.runs(grow, model="convnet", prune=prune)[0].accuracy("best validation")


def survivors() -> set[str]:
    """What, changed before the update at which its loss leaves, keeps it from breaking."""
    return set(broken("second").query("`from` == 'before the update' and not collapsed")["changed"])


SAID = [
    Said("{} seeds of magnitude pruning): with SET pruning random growth ends at {} % and momentum growth at {}, with "
         "magnitude pruning at {} and {}. Gradient growth broke",
         lambda: (*{m.seeds(rule, model="convnet") for rule in m.STRATEGIES},
                  *(m.accuracy(rule, model="convnet", **prune) for prune in ({"prune": "set"}, {})
                    for rule in ("random", "momentum")), m.seeds("gradient", model="convnet", prune="set") == 1,
                  [run.collapsed for prune in ("set", "magnitude")
                   for run in m.runs("gradient", model="convnet", prune=prune)] == [True, False, False])),
    Said("pruning, whose best epoch, the ninth, has {} %. Gradient growth's best epoch, the third, has {} %",
         lambda: (best_of("random", "random").test, best_of("set", "gradient").test,
                  best_of("random", "random").epoch == 9 and best_of("set", "gradient").epoch == 3,
                  m.runs("random", model="convnet", prune="random")[0].collapsed)),
    Said("one after the other, {} of {} in the last convolution, and from epoch {} on it guesses",
         lambda: (*broken("channels").query("layer == 'conv3' and when == 'before the update'")[
             ["without inputs", "channels"]].iloc[0], broken("second")["epoch"].iloc[0],
                  survivors() == {"no rewiring", "a tenth of the learning rate"})),
    Said("needs {} short runs in `quick`; in `paper` {}, of which",
         lambda: (len(study.distinct(("fig13", "set_legacy"), "quick")), m.planned("fig13"))),
    Said("; ".join(f"{MODEL_NAMES[cell.model]}, {cell.prune} pruning, {cell.grow} growth {{}} ({{}})"
                   for cell in cells()) + ".](",
         lambda: [value for cell in cells() for value in drawn(cell)]),
    Said("the MLP on CIFAR-10, {} of its {} runs, {} of the ConvNet's, and {} with the bug",
         lambda: (sum(run.config.model == "mlp" for run in m.of_need("fig13")),
                  sum(run.model == "mlp" for run in study.runs("fig13", "paper")),
                  sum(run.config.model == "convnet" for run in m.of_need("fig13")), len(m.of_need("set_legacy")))),
    Said("their {} runs, and may be stopped", lambda: (m.planned("fig13"),)),
    Said("SET pruning ({} seeds) ends within {} points of magnitude pruning under all three growth rules",
         lambda: (m.seeds("random", prune="set"), up(max(abs(behind("set", rule)) for rule in m.STRATEGIES)),
                  len({m.seeds(rule, prune="set") for rule in m.STRATEGIES}) == 1)),
    Said("With the black border its {} seed ends {} below, {} above and, under momentum growth, {} above the mean of "
         "{} of magnitude pruning",
         lambda: (m.seeds("random", prune="set", **m.BLACK), behind("set", "random", **m.BLACK),
                  -behind("set", "gradient", **m.BLACK), -behind("set", "momentum", **m.BLACK),
                  m.seeds("random", **m.BLACK))),
    Said("Random pruning ({} seeds) has {} % with random growth, {} points less than magnitude pruning",
         lambda: (m.seeds("random", prune="random"), m.accuracy("random", prune="random"),
                  behind("random", "random"))),
    Said("With gradient and momentum growth it has {} and {} %, {} points less",
         lambda: (*(m.accuracy(rule, prune="random") for rule in m.SCORES),
                  np.mean([behind("random", rule) for rule in m.SCORES]))),
    Said("After the last epoch random growth has {} %, gradient growth {} % and momentum growth {} %, {}, {} and {} "
         "points below magnitude pruning; a network that is never rewired has {} %. The checkpoints of best "
         "validation, from epochs {}, {} and {}, have {}, {} and {} %, only {}, {} and {} points below",
         lambda: (*(m.accuracy(rule, prune="set_legacy", seed=0) for rule in m.STRATEGIES), *costs("last"),
                  m.accuracy(prune="none", grow="none"), *m.each(best_epoch),
                  *(m.accuracy(rule, prune="set_legacy", seed=0, reading="best validation") for rule in m.STRATEGIES),
                  *costs("best validation"))),
    Said("(With the black border random and gradient growth lose {} and {} points, or {} and {}.)",
         lambda: [m.bug(rule, reading) for reading in READINGS for rule in ("random", "gradient")]),
    Said("random growth falls from {} % at epoch {200} to {} % at the end",
         lambda: (at_epoch(200), m.accuracy("random", prune="set_legacy", seed=0))),
    Said("in the paper's schedule ({} steps) and in quick's ({})",
         lambda: (m.topology("random")[0].steps_per_epoch * 300, 85 * study.QUICK_MLP["epochs"])),
]
