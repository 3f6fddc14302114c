"""Claims about how degrees evolve: hubs, spread, survival and dormancy (Sections 1, 5.3, 5.4, 7), and why hubs grow.

Every predicate reads the 15 topology runs, seed by seed. Claims about the mechanism need activations or single
connections followed over updates, which ordinary records do not hold. Watched runs do (notebook 18), but for two seeds
a rule, too few for an interval.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy import stats

from regrow import metrics
from regrow.record import Record
from regrow_companion import study
from regrow_companion.claims.judgement import (
    NOT_MEASURED,
    Claim,
    Effect,
    Evidence,
    Outcome,
    at,
    effect,
    judged,
    paired,
    undecidable,
)

FEW_UPDATES = 5
FAST = ("gradient", "momentum")
TOPOLOGY = ("topology",)


def largest_after_few(record: Record) -> float:
    return float(record.hidden_degrees()[FEW_UPDATES].max())


def spread(record: Record) -> np.ndarray:
    """Standard deviation of the hidden degrees at every update."""
    return record.hidden_degrees().std(axis=1)


def dormant(record: Record, limit: int = metrics.PAPER_LOW) -> np.ndarray:
    return metrics.dormant_counts(record.hidden_degrees(), limit) / record.hidden_degrees().shape[1]


def hubs_soon(evidence: Evidence) -> Outcome:
    random = evidence.per_seed("random", largest_after_few)
    return judged(*(effect(f"largest degree after {FEW_UPDATES} updates, {rule} / random",
                           evidence.per_seed(rule, largest_after_few) / random, 2.0, ratio=True) for rule in FAST))


def spread_jumps(evidence: Evidence) -> Outcome:
    def growth(record: Record) -> float:
        return float(spread(record)[FEW_UPDATES] / spread(record)[0])

    random = evidence.per_seed("random", growth)
    return judged(*(effect(f"growth of the std of degrees in {FEW_UPDATES} updates, {rule} / random",
                           evidence.per_seed(rule, growth) / random, 2.0, ratio=True) for rule in FAST))


def random_keeps_widening(evidence: Evidence) -> Outcome:
    def smallest_step(record: Record) -> float:
        moments = [spread(record)[at(record, part)] for part in (2 / 300, 0.25, 0.5, 0.75, 1.0)]
        return float(np.diff(moments).min())

    return judged(effect("smallest change in std between epochs 2, 75, 150, 225, 300, random",
                         evidence.per_seed("random", smallest_step)))


def fast_rise_and_fall(evidence: Evidence) -> Outcome:
    def fall(record: Record) -> float:
        widths = spread(record)
        return float((1 - widths / np.maximum.accumulate(widths)).max())

    return judged(*(effect(f"deepest fall of the std below an earlier maximum, {rule}", evidence.per_seed(rule, fall),
                           0.05) for rule in FAST))


def random_is_more_uniform(evidence: Evidence) -> Outcome:
    def coefficient(record: Record) -> float:
        last = record.hidden_degrees()[-1]
        return float(last.std() / last.mean())

    random = evidence.per_seed("random", coefficient)
    return judged(*(effect(f"coefficient of variation of hidden degrees at the end, {rule} - random",
                           paired(evidence.per_seed(rule, coefficient), random)) for rule in FAST))


def momentum_nearly_as_fast(evidence: Evidence) -> Outcome:
    ratio = evidence.per_seed("momentum", largest_after_few) / evidence.per_seed("gradient", largest_after_few)
    return judged(effect(f"largest degree after {FEW_UPDATES} updates, momentum / gradient", ratio, 0.8, ratio=True))


def momentum_is_steadier(evidence: Evidence) -> Outcome:
    def unrest(record: Record) -> float:
        degrees = record.hidden_degrees()[1:].astype(float)
        return float(np.abs(np.diff(degrees, axis=0)).mean() / degrees.mean())

    ratio = evidence.per_seed("momentum", unrest) / evidence.per_seed("gradient", unrest)
    return judged(effect("mean |change| of a degree per update, momentum / gradient", ratio, 1.0, above=False,
                         ratio=True))


def skewed(evidence: Evidence) -> Outcome:
    return judged(*(effect(f"skewness of hidden degrees at the end, {rule}", evidence.per_seed(
        rule, lambda record: stats.skew(record.hidden_degrees()[-1])), 1.0) for rule in study.STRATEGIES))


def degree_decides_survival(evidence: Evidence) -> Outcome:
    def auc(fraction: float, record: Record) -> float:
        """Chance that of a survivor and a dormant neuron the survivor had the higher degree earlier."""
        degrees = record.hidden_degrees()
        early, dead = degrees[at(record, fraction)], degrees[-1] <= metrics.PAPER_LOW
        if not 0 < dead.sum() < dead.size:
            return 0.5
        return float(stats.mannwhitneyu(early[~dead], early[dead]).statistic / (dead.sum() * (~dead).sum()))

    found: list[Effect] = []
    for rule in study.STRATEGIES:
        for fraction, words in ((2 / 300, "epoch 2"), (0.25, "epoch 75")):
            found.append(effect(f"AUC of the degree at {words} for survival to the end, {rule}",
                                evidence.per_seed(rule, partial(auc, fraction)), 0.5))
    return judged(*found)


def random_dies_late(evidence: Evidence) -> Outcome:
    def tenth(record: Record) -> float:
        """Fraction of training at which a tenth of the hidden neurons is dormant; 1 if never."""
        share = dormant(record)
        return float(record.steps[np.argmax(share >= 0.1)] / record.steps[-1]) if share.max() >= 0.1 else 1.0

    random = evidence.per_seed("random", tenth)
    return judged(*(effect(f"training until a tenth is dormant, random - {rule}",
                           paired(random, evidence.per_seed(rule, tenth)), 0.1) for rule in FAST))


def fast_kill_more(evidence: Evidence) -> Outcome:
    def share(fraction: float, record: Record) -> float:
        return float(dormant(record)[at(record, fraction)])

    return judged(*(effect(f"share of dormant neurons at {name}, {rule} - random", paired(
        evidence.per_seed(rule, partial(share, fraction)), evidence.per_seed("random", partial(share, fraction))))
        for rule in FAST for name, fraction in (("half of training", 0.5), ("the end", 1.0))))


def dormancy_settles(evidence: Evidence) -> Outcome:
    found = []
    for rule in study.STRATEGIES:
        for limit in (metrics.PAPER_LOW, metrics.PAPER_HIGH):
            def drift(record: Record, limit: int = limit) -> float:
                share = dormant(record, limit)
                return float(np.abs(share[at(record, 0.9):] - share[-1]).max())

            found.append(effect(f"largest departure from the final share of k <= {limit} in the last tenth, {rule}",
                                evidence.per_seed(rule, drift), 0.02, above=False))
    return judged(*found)


CLAIMS = (
    Claim("hubs-soon", "abstract, 5.3", "Gradient and momentum growth make hubs within a few updates.", TOPOLOGY,
          hubs_soon, f"after {FEW_UPDATES} updates the largest degree is at least twice that under random growth"),
    Claim("spread-jumps", "5.3", "Within a few updates the spread of degrees rises sharply under gradient and momentum "
          "growth, slowly under random growth.", TOPOLOGY, spread_jumps,
          f"in {FEW_UPDATES} updates it rises at least twice as much as under random growth"),
    Claim("random-widens", "5.3", "Under random growth the variance of degrees keeps rising during training.", TOPOLOGY,
          random_keeps_widening, "at each of Figure 5's moments it is above the one before"),
    Claim("rise-and-fall", "5.3", "Under gradient and momentum growth the variance rises and falls.", TOPOLOGY,
          fast_rise_and_fall, "at some time it lies at least 5 % below an earlier maximum"),
    Claim("random-uniform", "abstract, 1, 7", "Random growth spreads connections more evenly over neurons.", TOPOLOGY,
          random_is_more_uniform),
    Claim("momentum-fast", "1", "Momentum growth makes hubs almost as rapidly as gradient growth.", TOPOLOGY,
          momentum_nearly_as_fast, "almost: its largest degree is at least 80 % of that under gradient growth"),
    Claim("momentum-stable", "abstract, 1", "Momentum growth is slightly more stable than gradient growth.", TOPOLOGY,
          momentum_is_steadier, "stable: degrees change less from update to update"),
    Claim("skewed", "5.4", "Degrees end up highly skewed.", TOPOLOGY, skewed, "highly: skewness above 1"),
    Claim("survival", "1", "Whether a neuron survives is mostly determined by how many connections it has.", TOPOLOGY,
          degree_decides_survival, "its degree early in training tells survivors from dormant neurons (AUC above 0.5)"),
    Claim("random-late", "5.4", "With random growth dormant neurons come much later.", TOPOLOGY, random_dies_late,
          "much: a tenth of training or more"),
    Claim("fast-kill", "5.4", "Gradient and momentum growth make more neurons dormant.", TOPOLOGY, fast_kill_more,
          "k <= 10, at half time and at the end"),
    Claim("dormancy-settles", "5.4", "Whatever the growth rule, the number of dormant neurons settles.", TOPOLOGY,
          dormancy_settles, "in the last tenth of training it stays within 2 % of all hidden neurons"),
)


WATCHED = "Notebook 18 measures it on watched runs, two seeds a rule; this ledger gives verdicts from five."


def not_yet(remark: str = "") -> Callable[[Evidence], Outcome]:
    """A claim that no verdict can be given on; where we have a part of the answer, `remark` says which."""
    return lambda evidence: Outcome(NOT_MEASURED, (), remark)


MECHANISM = (
    Claim("rich-get-richer", "1, 2", "Neurons with more connections gain more connections.", (), not_yet(WATCHED),
          "the attachment kernel: chance of gaining or keeping a connection as a function of degree"),
    Claim("activation", "7", "Neurons with more connections are more active.", (), not_yet(WATCHED)),
    Claim("updates", "7", "Neurons with fewer connections receive smaller gradient updates.", (), not_yet(WATCHED)),
    Claim("core-survives", "5.4", "Connections among neurons of the core are more likely to be kept.", (), not_yet()),
    Claim("balance", "abstract", "Momentum growth balances speed and stability.", (), undecidable(
        "Balance is not defined; its two halves are the claims momentum-fast and momentum-stable.")),
    Claim("design", "1", "The findings help to design more efficient training.", (), undecidable(
        "No design is proposed that could be tested.")),
)
