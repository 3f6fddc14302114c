"""The gallery of widgets: what it says of them and of the shipped runs, and how long its lessons are."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np

from prose import measures as m
from prose.said import Said, passages
from regrow import cost, schedule
from regrow.config import RunConfig
from regrow_companion import widgets
from regrow_companion.plots.nb02_densities import NETWORKS
from regrow_companion.widgets import growing, one_update
from regrow_companion.widgets.layer_density import SPARSITIES

PAGE = "notebooks/widgets.ipynb"
EXCUSED: dict[str, str] = {}


def lessons() -> list[int]:
    """Minutes of every plan of a lesson, whose rows follow each other without a gap."""
    rows = [tuple(map(int, row)) for passage in passages(PAGE)
            for row in re.findall(r"^\| (\d+)-(\d+)[ ,]", passage.text, re.MULTILINE)]
    ends = [end for (_, end), (begin, _) in pairwise([*rows, (0, 0)]) if begin == 0]
    assert rows[0][0] == 0 and all(begin in (0, end) for (_, end), (begin, _) in pairwise(rows))
    return ends


def rewired_by_half() -> float:
    """Part of all that the paper's schedule rewires, by half of training."""
    config = RunConfig(dataset="cifar10")
    total = cost.total_steps(config)
    rates = np.array([schedule.prune_rate(config, step, total) for step in schedule.update_steps(config, total)])
    return float(rates[:len(rates) // 2].sum() / rates.sum())


def in_tail(start: int) -> float:
    """Share of the hidden neurons of the run with gradient growth that widget 4 shows first."""
    return float((m.topology("gradient")[0].hidden_degrees(-1) >= start).mean())


SAID = [
    Said("{} small experiments to do with a class", lambda: (len(widgets.ALL),)),
    Said("The list has the paper's {} networks", lambda: (len(NETWORKS),)),
    Said("in the MLP at {95} % sparsity, which layer", lambda: (0.95 in SPARSITIES,)),
    Said("Walk through the {} stages", lambda: (len(one_update.STAGES),)),
    Said("take at a fraction of {0.1}, and", lambda: (0.1 in one_update.RATES,)),
    Said("{} copies of a small network with the same wiring have just been trained, one with each growth rule. Their "
         "{} hidden neurons are numbered. Press play and watch who collects inputs; the {} neurons that lead",
         lambda: (len(m.STRATEGIES), growing.CONFIG.hidden[0], growing.LEADERS)),
    Said("half of all neurons lie in the tail from {30} on", lambda: (abs(in_tail(30) - 1 / 2) < 0.05,)),
    Said("do the {} seeds agree?", lambda: (m.seeds("random"),)),
    Said("A lesson of {} minutes", lambda: lessons()[:1]),
    Said("A network may keep one weight in {}.", lambda: (1 / (1 - RunConfig.sparsity),)),
    Said("so it is $1/2 + 1/\\pi$", lambda: (abs(rewired_by_half() - (1 / 2 + 1 / np.pi)) < 0.005,)),
    Said("{} sessions of {} minutes",
         lambda: (len(lessons()) - 1, lessons()[1], len(set(lessons()[1:])) == 1)),
]
