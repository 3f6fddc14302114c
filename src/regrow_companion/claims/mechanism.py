"""Claims about why some neurons gain and others lose (abstract, Sections 1, 2, 5.4, 7).

They need single connections followed from update to update, and activations, which ordinary records do not hold.
Watched runs do (notebook 18). Exponents say how strongly what happens to a neuron's connections depends on how many it
has: they are averaged over all updates after the first, each weighted by its information.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from regrow_companion import study
from regrow_companion.claims.degrees import EACH_RULE, FAST
from regrow_companion.claims.effects import Effect, NotMeasured, effect, paired
from regrow_companion.claims.evidence import PAPER, Evidence
from regrow_companion.claims.judgement import Claim, Predicate
from regrow_companion.section8 import nb18_attachment as attachment

INCOMING = {"hidden 1": "fc1", "hidden 2": "fc2"}  # neurons and the layer of weights that leads to them
KINDS = {"grown": "attachment", "lasting": "lasting"}
EARLY = 0.1  # of the updates
MORE = 0.1  # an exponent: ten times the connections bring a quarter more


def exponents(evidence: Evidence, rule: str, kind: str, nodes: str, until: float = 1.0) -> pd.Series:
    """The mean exponent of a hidden layer's incoming connections by seed, weighted by information."""
    every = evidence.watched("exponents")
    of_rule = every[(every["strategy"] == rule) & (every["side"] == "in")]
    if of_rule.empty:
        raise NotMeasured("watched", PAPER[rule])
    found = {}
    for seed, run in of_rule[of_rule["layer"] == INCOMING[nodes]].groupby("seed"):
        late = run.sort_values("step").iloc[1:1 + round(until * (len(run) - 1))]
        known = late[np.isfinite(late[kind]) & (late[f"{kind}_information"] > 0)]
        found[seed] = float(np.average(known[kind], weights=known[f"{kind}_information"])) if len(known) else np.nan
    return pd.Series(found)


def correlations(evidence: Evidence, rule: str, column: str, when: float) -> Iterator[tuple[str, pd.Series]]:
    """By hidden layer: a rank correlation at the moment nearest to a part of training, by seed."""
    every = evidence.watched("moments")
    of_rule = every[every["strategy"] == rule]
    if of_rule.empty:
        raise NotMeasured("watched", PAPER[rule])
    epochs = np.unique(of_rule["epoch"])
    then = of_rule[of_rule["epoch"] == epochs[np.abs(epochs / epochs[-1] - when).argmin()]]
    for nodes, group in then.groupby("nodes"):
        yield f", {nodes}", group.set_index("seed")[column]


def connected_gain(evidence: Evidence, rule: str, what: str, nodes: str) -> Iterator[Effect]:
    values = exponents(evidence, rule, KINDS[what], nodes)
    yield effect(f"exponent of connections {what}, {rule}, {nodes}", values, MORE)


def linear_attachment(evidence: Evidence, rule: str) -> Iterator[Effect]:
    for nodes in INCOMING:
        values = exponents(evidence, rule, "attachment", nodes)
        yield effect(f"exponent of connections grown, {rule}, {nodes}", values, 0.5)
        yield effect(f"exponent of connections grown, {rule}, {nodes}", values, 1.5, above=False)


def attach_faster(evidence: Evidence, rule: str, nodes: str) -> Iterator[Effect]:
    ours, random = (exponents(evidence, name, "attachment", nodes, EARLY) for name in (rule, "random"))
    yield effect(f"exponent of connections grown in the first tenth of training, {rule} - random, {nodes}",
                 paired(ours, random))


def correlated(evidence: Evidence, rule: str, column: str, label: str) -> Iterator[Effect]:
    """A rank correlation above 0.5 at the end, more than before training."""
    for (layer, last), (_, first) in zip(correlations(evidence, rule, column, 1.0),
                                         correlations(evidence, rule, column, 0.0), strict=True):
        yield effect(f"rank correlation of degree and {label} at the end, {rule}{layer}", last, 0.5)
        yield effect(f"the same less that before training, {rule}{layer}", paired(last, first))


def connected_are_active(evidence: Evidence, rule: str) -> Iterator[Effect]:
    return correlated(evidence, rule, "degree_score", "activation")


def connected_learn_more(evidence: Evidence, rule: str) -> Iterator[Effect]:
    return correlated(evidence, rule, "degree_update", "gradient of the connections")


def active_gain(evidence: Evidence, rule: str) -> Iterator[Effect]:
    for layer, values in correlations(evidence, rule, "grown_score", 0.5):
        yield effect(f"rank correlation of activation and connections grown at half time, {rule}{layer}", values)


def core_keeps(evidence: Evidence, rule: str) -> Iterator[Effect]:
    incoming = attachment.later_incoming(evidence.watched("shells"))
    of_rule = incoming[incoming["strategy"] == rule]
    if of_rule.empty:
        raise NotMeasured("watched", PAPER[rule])
    for nodes, layer in INCOMING.items():
        of_layer = of_rule[of_rule["layer"] == layer]
        core, below = (part.groupby("seed")[["kept", "degree"]].sum() for part in
                       (of_layer[of_layer["tenth"] == attachment.CORE], of_layer[of_layer["tenth"] < attachment.CORE]))
        yield effect(f"share of connections that an update leaves, core - below, {rule}, {nodes}",
                     paired(core["kept"] / core["degree"], below["kept"] / below["degree"]))


def newborns_die(evidence: Evidence, rule: str) -> Iterator[Effect]:
    for nodes in INCOMING:
        yield effect(f"exponent of connections pruned one update after they grew, {rule}, {nodes}",
                     exponents(evidence, rule, "infancy", nodes), above=False)


def watched(id: str, section: str, text: str, predicate: Predicate, keys: tuple[tuple[str, ...], ...], reading: str, *,
            main: bool = False) -> Claim:
    """A claim about watched runs."""
    return Claim(id, section, text, (), predicate, keys, reading, main=main,
                 command="python -m regrow beyond mechanism --profile paper")


SIGN = "an exponent of incoming connections, 0 where their number plays no part"
CLAIMS = (
    watched("rich-get-richer", "1, 2", "Neurons with more connections gain more connections.", connected_gain,
            tuple(product(study.STRATEGIES, KINDS, INCOMING)), f"{SIGN}, above {MORE:g}, where ten times the "
            "connections bring a quarter more: of connections grown, and of those among them that outlive the next "
            "pruning", main=True),
    watched("barabasi-albert", "1", "The mechanism is that of the Barabási-Albert model, whatever the growth rule.",
            linear_attachment, EACH_RULE, "there a neuron's chance of a new connection is proportional to its degree: "
            "an exponent of 1, here from 0.5 to 1.5"),
    watched("accelerate", "1, 7", "Gradient and momentum growth drive preferential attachment more strongly.",
            attach_faster, tuple(product(FAST, INCOMING)), "a larger exponent of connections grown, in the first tenth "
            "of training without the very first update"),
    watched("activation", "7", "Neurons with more connections are more active.", connected_are_active, EACH_RULE,
            "rank correlation above 0.5 at the end, larger than before training"),
    watched("updates", "7", "Neurons with fewer connections receive smaller gradient updates.", connected_learn_more,
            EACH_RULE, "rank correlation above 0.5 at the end, larger than before training"),
    watched("active-gain", "7", "Connections come back at the neurons that are more active.", active_gain, EACH_RULE,
            "rank correlation above 0 at half time"),
    watched("core-survives", "5.4", "Well connected neurons, those of the core, are more likely to keep connections.",
            core_keeps, EACH_RULE, "the share of incoming connections that an update leaves, of neurons in the "
            "network's highest shell less those below it; all updates after the first"),
    watched("newborns", "7", "Where neurons have few connections, newly grown ones do not outgrow the pruning "
            "threshold.", newborns_die, EACH_RULE, f"{SIGN}, below 0, of connections pruned one update after they "
            "grew"),
    Claim("balance", "abstract", "Momentum growth balances speed and stability.", why="Balance is not defined; its two "
          "halves are the claims momentum-fast and momentum-stable."),
    Claim("design", "1", "The findings help to design more efficient training.", why="No design is proposed that could "
          "be tested."),
)
