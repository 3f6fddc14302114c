"""Claims about neurons that lose their connections (Sections 1, 2, 5.4): the topology runs, both of the paper's
thresholds. "Dormant" is the paper's word for a degree at or below the threshold."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product

import numpy as np
from scipy import stats

from regrow import metrics
from regrow.record import Record
from regrow_companion import study
from regrow_companion.claims.degrees import ALL_WAYS, FAST, MOMENTS, TOPOLOGY
from regrow_companion.claims.effects import Effect, effect, paired
from regrow_companion.claims.evidence import LAYERS, PROTOCOLS, Evidence, at
from regrow_companion.claims.judgement import Claim

LIMITS = {"k <= 10": metrics.PAPER_LOW, "k <= 110": metrics.PAPER_HIGH}
EPOCHS = {"epoch 2": MOMENTS[0], "epoch 75": 0.25}
MOSTLY = 0.75  # AUC


def dormant(degrees: np.ndarray, limit: str) -> np.ndarray:
    """Share of neurons at or below a threshold, [updates + 1]."""
    return metrics.dormant_counts(degrees, LIMITS[limit]) / degrees.shape[1]


def degree_decides_survival(evidence: Evidence, rule: str, epoch: str) -> Iterator[Effect]:
    def auc(degrees: np.ndarray, record: Record) -> float:
        """Chance that of a survivor and a neuron that falls dormant later the survivor had the higher degree."""
        early = degrees[at(record, EPOCHS[epoch])]
        alive = early > metrics.PAPER_LOW
        falls = alive & (degrees[-1] <= metrics.PAPER_LOW)
        stays = alive & ~falls
        if not falls.any() or not stays.any():
            return 0.5
        return float(stats.mannwhitneyu(early[stays], early[falls]).statistic / (falls.sum() * stays.sum()))

    for layer, values in evidence.reading(LAYERS).by_layer(rule, auc):
        yield effect(f"AUC of the degree at {epoch} for survival to the end, {rule}{layer}", values, MOSTLY)


def numbers_grow(evidence: Evidence, rule: str, limit: str, by: float = 0.1) -> Iterator[Effect]:
    def rise(degrees: np.ndarray, record: Record) -> float:
        share = dormant(degrees, limit)
        return float(share[-1] - share[0])

    for layer, values in evidence.by_layer(rule, rise, whole=False):
        yield effect(f"share of neurons with {limit}, end - before training, {rule}{layer}", values, by)


def random_dies_late(evidence: Evidence, rule: str, limit: str) -> Iterator[Effect]:
    def tenth(degrees: np.ndarray, record: Record) -> float:
        """Part of training until a tenth of the neurons more than before it is dormant; 1 if never."""
        more = dormant(degrees, limit) - dormant(degrees, limit)[0] >= 0.1
        return float(record.steps[np.argmax(more)] / record.steps[-1]) if more.any() else 1.0

    for layer, ours, random in evidence.beside_random(rule, tenth):
        yield effect(f"training until a tenth more has {limit}, random - {rule}{layer}", paired(random, ours), 0.1)


def fast_kill_more(evidence: Evidence, rule: str, limit: str) -> Iterator[Effect]:
    def share(fraction: float, degrees: np.ndarray, record: Record) -> float:
        return float(dormant(degrees, limit)[at(record, fraction)])

    for name, fraction in (("half of training", 0.5), ("the end", 1.0)):
        for layer, ours, random in evidence.beside_random(rule, partial(share, fraction)):
            yield effect(f"share of neurons with {limit} at {name}, {rule} - random{layer}", paired(ours, random))


def dormancy_settles(evidence: Evidence, rule: str, limit: str) -> Iterator[Effect]:
    def drift(degrees: np.ndarray, record: Record) -> float:
        share = dormant(degrees, limit)
        return float(np.abs(share[at(record, 0.9):] - share[-1]).max())

    for layer, values in evidence.by_layer(rule, drift):
        yield effect(f"largest departure from the final share with {limit} in the last tenth, {rule}{layer}", values,
                     0.02, above=False)
    yield from numbers_grow(evidence, rule, limit, 0.02)


RULES = tuple(product(study.STRATEGIES, LIMITS))
CLAIMS = (
    Claim("survival", "1", "Whether a neuron survives is mostly determined by how many connections it has.", TOPOLOGY,
          degree_decides_survival, tuple(product(study.STRATEGIES, EPOCHS)),
          "among neurons of a layer that have more than 10 connections, the degree tells those that keep more than 10 "
          f"from the others: AUC above {MOSTLY:g}; survival is itself defined by degree", readings=PROTOCOLS,
          main=True),
    Claim("dormant-grow", "1, 2, 7", "The number of dormant neurons grows during training, whatever the growth rule.",
          TOPOLOGY, numbers_grow, RULES, "by at least a tenth of the hidden neurons", readings=ALL_WAYS),
    Claim("random-late", "5.4", "With random growth dormant neurons come much later.", TOPOLOGY, random_dies_late,
          tuple(product(FAST, LIMITS)), "much: a tenth of training or more", readings=ALL_WAYS, main=True),
    Claim("fast-kill", "5.4", "Gradient and momentum growth make more neurons dormant.", TOPOLOGY, fast_kill_more,
          tuple(product(FAST, LIMITS)), "at half time and at the end", readings=ALL_WAYS, main=True),
    Claim("dormancy-settles", "5.4", "Whatever the growth rule, the number of dormant neurons settles.", TOPOLOGY,
          dormancy_settles, RULES, "it grows by 2 % of all hidden neurons or more, and in the last tenth of training "
          "it stays within 2 %", readings=ALL_WAYS),
)
