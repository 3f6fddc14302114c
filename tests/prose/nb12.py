"""Notebook 12, neurons that lose their connections."""

from __future__ import annotations

from math import pi, sin

import numpy as np

from prose import measures as m
from prose.said import Said, down, up
from regrow_companion import study

PAGE = "notebooks/12_neuron_decay.ipynb"
EXCUSED = {
    "The paper uses $\\theta = 10$ and $\\theta = 110$": "the paper's thresholds",
    "$k \\le 10$ says exactly this": "the paper's threshold",
    "an in-degree of 0 or an out-degree of 0": "a definition",
}


def mean_dormant(grow: str, epoch: float = 300, threshold: int = 10) -> float:
    return float(np.mean(m.dormant(grow, epoch, threshold)))


def share(grow: str, threshold: int) -> float:
    return float(m.dormancy().loc[(threshold, grow), "at the end (%)"])


def flat(grow: str, threshold: int = 10) -> float:
    """The epoch from which the mean curve stays near its last value."""
    return float(m.dormancy().loc[(threshold, grow), "levels off at epoch"])


def rewired(epoch: float) -> float:
    """How much of all rewiring is done by an epoch, in per cent."""
    part = epoch / m.topology("random")[0].epochs_at[-1]
    return 100 * (part + sin(pi * part) / pi)


def after_update(update: int) -> float:
    return float(m.topology("random")[0].epochs_at[update])


SAID = [
    Said("({} short runs in `quick`, {} long ones in `paper`)",
         lambda: (len(study.runs("fig09", "quick")), len(study.runs("fig09", "paper")))),
    Said("; ".join(f"{rule}, k <= {{{k}}}: {{}} %" for rule in m.STRATEGIES for k in (10, 110)),
         lambda: [share(rule, k) for rule in m.STRATEGIES for k in (10, 110)]),
    Said("the paper's scale: {} runs of 300 epochs", lambda: (len(m.of_need("fig09")),)),
    Said("{} of {} neurons are dormant before training; after one update it is {} under gradient, {} under momentum "
         "and {} under random growth",
         lambda: (mean_dormant("random", 0, 110), m.hidden(),
                  *(mean_dormant(rule, after_update(1), 110) for rule in ("gradient", "momentum", "random")))),
    Said("gradient and momentum growth have their first dormant neurons after the second update, {} and {} by epoch "
         "{30}, and {} to {} and {} to {} at the end",
         lambda: (mean_dormant("gradient", 30), mean_dormant("momentum", 30), *m.low_high(m.dormant("gradient")),
                  *m.low_high(m.dormant("momentum")),
                  {epoch for rule in m.SCORES for epoch in m.first_dormant(rule)} == {after_update(2)})),
    Said("Random growth has its first one between epochs {} and {}, at most {} in any run at epoch {200}, {} at epoch "
         "{225}, {} at epoch {250} and {} to {} at the end. So gradient and momentum growth are faster, and they end "
         "higher by nearly two fifths",
         lambda: (down(min(m.first_dormant("random"))), up(max(m.first_dormant("random"))),
                  max(m.dormant("random", 200)), mean_dormant("random", 225), mean_dormant("random", 250),
                  *m.low_high(m.dormant("random")),
                  all(0.34 < mean_dormant(rule) / mean_dormant("random") - 1 < 0.4 for rule in m.SCORES))),
    Said("ended at {} to {} (random), {} to {} (gradient) and {} to {} (momentum)",
         lambda: [end for rule in m.STRATEGIES for end in m.wired("black", rule, "dormant")]),
    Said("In epoch {200} of random growth at full scale, {} neurons have {110} connections or fewer and on average {} "
         "has {10} or fewer; at the end it is {} and {}",
         lambda: (mean_dormant("random", 200, 110), mean_dormant("random", 200), mean_dormant("random", 300, 110),
                  mean_dormant("random"))),
    Said("but its {} epochs end before", lambda: (study.QUICK_MLP["epochs"],)),
    Said("gradient and momentum growth are flat from epochs {} and {} on, with {} and {} % of the rewiring done: a "
         "balance. Random growth is flat there only from epoch {} on",
         lambda: (flat("gradient"), flat("momentum"), rewired(flat("gradient")), rewired(flat("momentum")),
                  flat("random"), rewired(flat("random")) > 99.9)),
    Said("At the high threshold it holds for all, with {} to {} % done",
         lambda: m.low_high(rewired(flat(rule, 110)) for rule in m.STRATEGIES)),
]
