"""Notebook 16, when the ranking settles, and what a switch still changes."""

from __future__ import annotations

from functools import cache
from math import comb

import numpy as np
import pandas as pd
from scipy import stats

from prose import measures as m
from prose.said import Said, about, down, up
from regrow.record import Record
from regrow_companion import paper, study
from regrow_companion.plots import nb16_rank as rank

PAGE = "notebooks/16_rank_correlation.ipynb"
EXCUSED = {
    "neuron 1 has this degree, neuron 2 that one": "names",
    "Neurons 1 and 2 are tied in $x$, neurons 2 and 3 in $y$; only neurons 4 and 5 change places": "names",
    "runs from $-1$ to $1$": "a definition",
    "the paper's scale runs from 0 to 1": "the paper's scale",
    "**The diagonal** is 1": "a definition",
    "at least 0.9 for good": "a level of ours",
    "A rule with a high value at 50 %": "a column of the cell above",
    "Agreement with the end stays at 0.9 or more": "a level of ours",
    "over $n = 5$ seeds": "the paper's number of seeds",
    "has mean 0 and variance": "a formula",
    "standard deviations above 0": "an exercise",
    "Of 100 neurons": "an exercise",
    "the other 98": "an exercise",
}


@cache
def frame() -> pd.DataFrame:
    """The data of Figure 20; a test holds some of them to the records."""
    return m.figure_data("fig20", m.of_need("fig20"))


@cache
def tau(grow: str, one: int, other: int) -> float:
    """Between two recorded times, mean over seeds, from the records."""
    return float(np.mean([stats.kendalltau(*record.hidden_degrees([one, other])).statistic
                          for record in m.topology(grow)]))


def settled(grow: str) -> float:
    return rank.settled_at(frame())[grow]


def in_figure(grow: str, one: int, other: int) -> float:
    return float(rank.matrix_of(frame(), grow)[1][one, other])


def alike(one: Record, other: Record) -> float:
    return float(stats.kendalltau(one.hidden_degrees(-1), other.hidden_degrees(-1)).statistic)


def switched(first: str, second: str, **changes: str) -> Record:
    (run,) = m.runs(f"{first}>{second}", **changes)
    return run


@cache
def mirrored() -> list[Record]:
    """The switched runs with the mirrored border."""
    return [run for switch in study.SWITCHES if m.trained(grow=switch) for run in m.runs(switch)]


def pure(run: Record, side: int) -> Record:
    """The run of a switched run's first (0) or second rule alone, same seed."""
    return m.topology(run.config.grow.split(">")[side])[run.config.seed]


def parted(first: str) -> float:
    """Two runs with the black border that begin with this rule and go on with the two others."""
    one, other = (switched(first, second, **m.BLACK) for second in m.STRATEGIES if second != first)
    return alike(one, other)


def hub(first: str, second: str) -> int:
    return int(switched(first, second, **m.BLACK).hidden_degrees(-1).max())


def points(side: int) -> list[float]:
    """How far the switched runs' accuracies are from those of their first (0) or second (1) rule alone, seed 0."""
    found = []
    for border in ({}, m.BLACK):
        for switch in study.SWITCHES:
            rules = switch.split(">")
            if not m.trained(grow=switch, **border) or (side == 1 and "random" not in rules):
                continue
            found.append(abs(m.accuracy(switch, seed=0, **border) - m.accuracy(rules[side], seed=0, **border)))
    return found


@cache
def tests() -> pd.DataFrame:
    """Welch's p of each switch in the paper's Table 8 against the rule it began (first) and ended with (second)."""
    rows = []
    for cell in paper.reported(8):
        for side, rule in zip(("first", "second"), cell.method.split(">"), strict=True):
            pure = m.printed(rule, cell.dataset, cell.model)
            p = stats.ttest_ind_from_stats(cell.mean, cell.std, 5, pure.mean, pure.std, 5, equal_var=False).pvalue
            rows.append((side, float(p), max(cell.std, pure.std) if cell.model == "convnet" else 0.0))
    table = pd.DataFrame(rows, columns=["side", "p", "sd"]).sort_values("p", ignore_index=True)
    return table.assign(holm=(table["p"] <= 0.05 / np.arange(len(table), 0, -1)).cumprod().astype(bool))


def against(side: str) -> pd.DataFrame:
    return tests()[tests()["side"] == side]


def beside_first_rule() -> float:
    """The largest difference of the ConvNet's switched runs to the pure run of their first rule."""
    return max(abs(m.convnet(switch) - m.convnet(switch.split(">")[0])) for switch in study.SWITCHES)


def after_gradient() -> list[float]:
    """The paper's means and standard deviations."""
    cells = (m.printed(switch, model="convnet", table=8) for switch in study.SWITCHES if switch.startswith("gradient"))
    return [number for cell in cells for number in (cell.mean, cell.std)]


def jpeg() -> float:
    """What test images cost the ConvNet in points, mean over rules."""
    return float(np.mean([m.convnet(rule, "validation") - m.convnet(rule) for rule in m.STRATEGIES]))


SAID = [
    Said("**Our ConvNet** (one seed of each switch) never breaks, and ends within {} points of its first rule's run "
         "with the same seed: at {} and {} % after random growth, {} and {} after gradient growth, {} and {} after "
         "momentum growth. The paper has {} ± {} and {} ± {} after gradient growth",
         lambda: (up(beside_first_rule()), *map(m.convnet, study.SWITCHES), *after_gradient(),
                  all(m.seeds(grow, model="convnet", padding="none") == 1 for grow in study.SWITCHES))),
    Said("which costs this network some four points", lambda: (3.4 < jpeg() < 4.4,)),
    Said("({} short runs in `quick`; in `paper` {} for the figure and {} for the table",
         lambda: (len(study.distinct(("fig20", "table8"), "quick")), m.planned("fig20"), m.planned("table8"))),
    Said("at the paper's scale needs {} times and {} neurons, that is {} million pairs",
         lambda: (len(m.topology("random")[0].steps), m.hidden(), comb(m.hidden(), 2) / 1e6)),
    Said("lowest value {}. Agreement with the end stays at {0.9} or more from epoch {} (random), {} (gradient), {} "
         "(momentum)", lambda: (rank.means(frame()).min(), *m.each(settled))),
    Said("full scale: {} runs of 300 epochs", lambda: (len(m.of_need("fig20")),)),
    Said("agreement with the end stays at {0.9} or more from epoch {} under random growth, from {} and {} under "
         "gradient and momentum growth", lambda: m.each(settled)),
    Said("$\\tau_b$ is {} after it under random growth, {} and {} under the others. At the end it is {}, {} and {}",
         lambda: (*(tau(rule, 0, 1) for rule in m.STRATEGIES), *(tau(rule, 0, -1) for rule in m.STRATEGIES),
                  all(abs(tau(rule, 0, when) - in_figure(rule, 0, when)) < 1e-3
                      for rule in m.STRATEGIES for when in (1, -1)))),
    Said("trains the {} runs or goes on with them", lambda: (m.planned("table8"),)),
    Said("compare the smallest with ${0.05}/{}$, the next with ${0.05}/{}$", lambda: (len(tests()), len(tests()) - 1)),
    Said("{} tests in all. {} of those would come out below {5} % by chance",
         lambda: (len(tests()), round(0.05 * len(tests())))),
    Said("{} of {} tests fall below {5} % where chance alone would give {}, and none survives",
         lambda: ((against("first")["p"] < 0.05).sum(), len(against("first")), 0.05 * len(against("first")),
                  not against("first")["holm"].any())),
    Said("{} tests do and {} survive the correction",
         lambda: ((against("second")["p"] < 0.05).sum(), against("second")["holm"].sum())),
    Said("whose standard deviations reach {} points", lambda: (tests()["sd"].max(),)),
    Said("the {} switched runs with the mirrored border ({} switches, seed 0; {} of them with seed 1 as well) keep the "
         "ranking of their first rule: $\\tau_b$ is {} to {} with it and {} to {} with that of the second rule, where",
         lambda: (len(mirrored()), *(sum(run.config.seed == seed for run in mirrored()) for seed in (0, 1)),
                  *m.low_high(alike(run, pure(run, 0)) for run in mirrored()),
                  *m.low_high(alike(run, pure(run, 1)) for run in mirrored() if "random" in run.config.grow))),
    Said("runs that part at half time agree with {} (random first), {} (gradient) and {} (momentum); two *seeds* of "
         "gradient growth agree with {}",
         lambda: (*m.each(parted), alike(*m.topology("gradient", "black")[:2]))),
    Said("the others still make hubs of some {} connections, where random growth alone ends at {}; where random growth "
         "takes over, the largest hub has {} or {} connections instead of more than {}",
         lambda: (about(np.mean([hub("random", rule) for rule in m.SCORES]), 100),
                  m.largest("random", border="black")[0], hub("gradient", "random"), hub("momentum", "random"),
                  down(min(m.largest(rule, border="black")[0] for rule in m.SCORES), 100))),
    Said("within about a point of the first rule's and, where one of the two rules is random, {} to {} points from the "
         "second's", lambda: (*m.low_high(points(1)), max(points(0)) < 1.5)),
    Said("({} and {} in the paper's MLP)",
         lambda: [float(layer.mean()) for layer in m.topology("random")[0].hidden_layer_degrees(0)]),
]
