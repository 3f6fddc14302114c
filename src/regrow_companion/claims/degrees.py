"""Claims about how degrees evolve: hubs and their spread (abstract, Sections 1, 5.3, 5.4, 7).

Every predicate reads the topology runs (the paper's MLP on CIFAR-10, 95 % sparse), all hidden neurons together; the
other reading takes each layer by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from regrow.record import Record
from regrow_companion import study
from regrow_companion.claims.effects import Effect, compared, effect, paired
from regrow_companion.claims.evidence import LAYERS, PAPER, PROTOCOLS, Evidence, at
from regrow_companion.claims.judgement import Claim
from regrow_companion.paper import reported

FEW_UPDATES = 5
FAST = ("gradient", "momentum")
EACH_FAST, EACH_RULE = tuple((rule,) for rule in FAST), tuple((rule,) for rule in study.STRATEGIES)
TOPOLOGY = ("topology",)
MOMENTS = (2 / 300, 0.25, 0.5, 0.75, 1.0)  # of the paper's figures, as parts of training


def largest(degrees: np.ndarray, record: Record) -> float:
    """The largest degree after a few updates."""
    return float(degrees[FEW_UPDATES].max())


def new_hubs(degrees: np.ndarray, record: Record) -> float:
    """How many times as large as before training it is."""
    return float(degrees[FEW_UPDATES].max() / degrees[0].max())


def widening(degrees: np.ndarray, record: Record) -> float:
    """How many times as wide the degrees are spread after a few updates as before training."""
    return float(degrees[FEW_UPDATES].std() / degrees[0].std())


def hubs_soon(evidence: Evidence, rule: str) -> Iterator[Effect]:
    for layer, ours, random in evidence.beside_random(rule, largest):
        yield effect(f"largest degree after {FEW_UPDATES} updates, {rule} / random{layer}", compared(ours, random), 2.0,
                     kind="ratio")


def spread_jumps(evidence: Evidence, rule: str) -> Iterator[Effect]:
    for layer, ours, random in evidence.beside_random(rule, widening):
        yield effect(f"growth of the std of degrees in {FEW_UPDATES} updates, {rule} / random{layer}",
                     compared(ours, random), 2.0, kind="ratio")


def random_keeps_widening(evidence: Evidence) -> Iterator[Effect]:
    def smallest_step(degrees: np.ndarray, record: Record) -> float:
        return float(np.diff([degrees[at(record, part)].std() for part in MOMENTS]).min())

    for layer, steps in evidence.by_layer("random", smallest_step):
        yield effect(f"smallest change in std between epochs 2, 75, 150, 225, 300, random{layer}", steps)


def rise_and_fall(evidence: Evidence, rule: str) -> Iterator[Effect]:
    def fall(degrees: np.ndarray, record: Record) -> float:
        widths = degrees.std(axis=1)
        return float((1 - widths / np.maximum.accumulate(widths)).max())

    for layer, ours, random in evidence.beside_random(rule, fall):
        yield effect(f"deepest fall of the std below an earlier maximum, {rule} - random{layer}", paired(ours, random))


def random_is_more_uniform(evidence: Evidence, rule: str) -> Iterator[Effect]:
    def coefficient(degrees: np.ndarray, record: Record) -> float:
        return float(degrees[-1].std() / degrees[-1].mean())

    for layer, ours, random in evidence.beside_random(rule, coefficient, whole=False):
        yield effect(f"coefficient of variation of hidden degrees at the end, {rule} - random{layer}",
                     paired(ours, random))


def momentum_nearly_as_fast(evidence: Evidence) -> Iterator[Effect]:
    for (layer, ours), (_, theirs) in zip(*(evidence.by_layer(rule, largest) for rule in ("momentum", "gradient")),
                                          strict=True):
        yield effect(f"largest degree after {FEW_UPDATES} updates, momentum / gradient{layer}", compared(ours, theirs),
                     0.8, kind="ratio")
    for layer, ours in evidence.by_layer("momentum", new_hubs):
        yield effect(f"largest degree after {FEW_UPDATES} updates / before training, momentum{layer}", ours, 2.0,
                     kind="ratio")


def momentum_is_steadier(evidence: Evidence, what: str) -> Iterator[Effect]:
    def traffic(degrees: np.ndarray, record: Record) -> float:
        after = degrees[1:].astype(float)  # the first update finds what chance made, and does not count
        return float(np.abs(np.diff(after, axis=0)).mean() / after.mean())

    def unrest(course: np.ndarray) -> float:
        return float(np.abs(np.diff(course[:len(course) // 2])).mean())

    if what == "degrees":
        for (layer, ours), (_, theirs) in zip(*(evidence.by_layer(rule, traffic) for rule in ("momentum", "gradient")),
                                              strict=True):
            yield effect(f"mean |change| of a degree per update, momentum / gradient{layer}", compared(ours, theirs),
                         1.0, above=False, kind="ratio")
    else:
        ours, theirs = (evidence.from_courses(PAPER[rule], unrest) for rule in ("momentum", "gradient"))
        yield effect("mean |change| of validation accuracy per epoch until the rate drops, momentum / gradient",
                     compared(ours, theirs), 1.0, above=False, kind="ratio")


def skewed(evidence: Evidence, rule: str) -> Iterator[Effect]:
    def skewness(degrees: np.ndarray, record: Record) -> float:
        return float(stats.skew(degrees[-1]))

    for layer, values in evidence.by_layer(rule, skewness, whole=False):
        yield effect(f"skewness of hidden degrees at the end, {rule}{layer}", values, 1.0)


def distances(one: pd.Series, other: pd.Series) -> np.ndarray:
    """Kolmogorov-Smirnov distances of degrees [moments, n] by seed, [seeds, moments]."""
    return np.array([[stats.ks_2samp(a, b).statistic for a, b in zip(ours, theirs, strict=True)]
                     for ours, theirs in zip(one, other, strict=True)])


def rules_are_alike(evidence: Evidence) -> Iterator[Effect]:
    def then(degrees: np.ndarray, record: Record) -> np.ndarray:
        return degrees[[at(record, part) for part in MOMENTS]]

    by_rule = (evidence.by_layer(rule, then) for rule in ("gradient", "momentum", "random"))
    for (layer, gradient), (_, momentum), (_, random) in zip(*by_rule, strict=True):
        seeds = gradient.index.intersection(momentum.index).intersection(random.index)
        near = distances(gradient[seeds], momentum[seeds])
        far = np.minimum(distances(gradient[seeds], random[seeds]), distances(momentum[seeds], random[seeds]))
        yield effect(f"largest KS distance of degrees at Figure 5's epochs, gradient and momentum{layer}",
                     near.max(axis=1), 0.1, above=False)
        yield effect(f"smallest KS distance from random there, less that of gradient and momentum{layer}",
                     (far - near).min(axis=1), 0.05)


def weak_and_strong(evidence: Evidence, rule: str, who: str) -> Iterator[Effect]:
    def change(degrees: np.ndarray, record: Record) -> float:
        """Mean change to the end, over their mean degree, of the poorest or richest quarter of epoch 2."""
        early = degrees[at(record, MOMENTS[0])]
        order = np.argsort(early, kind="stable")
        quarter = order[:len(order) // 4] if who == "poorest" else order[-(len(order) // 4):]
        return float((degrees[-1, quarter].mean() - early[quarter].mean()) / early[quarter].mean())

    # Always by layer: the layers' means differ, and of both together the poor would be one layer, the rich the other.
    for layer, values in evidence.reading(LAYERS).by_layer(rule, change):
        yield effect(f"relative change of the {who} quarter's degree from epoch 2 to the end, {rule}{layer}", values,
                     above=who == "richest")


def poor_get_poorer(evidence: Evidence, rule: str) -> Iterator[Effect]:
    return weak_and_strong(evidence, rule, "poorest")


def rich_get_richer(evidence: Evidence, rule: str) -> Iterator[Effect]:
    return weak_and_strong(evidence, rule, "richest")


def printed_scatter() -> str:
    """The paper's standard deviations over seeds for the ConvNet on CIFAR-10."""
    cells = {one.method: one for one in reported(4) if (one.model, one.dataset) == ("convnet", "cifar10")}
    return (f"Of accuracy, over seeds, for the ConvNet on CIFAR-10: {cells['momentum'].number} with momentum growth, "
            f"{cells['gradient'].number} with gradient growth")


ALL_WAYS = (*PROTOCOLS, LAYERS)
CLAIMS = (
    Claim("hubs-soon", "abstract, 5.3", "Gradient and momentum growth make hubs within a few updates.", TOPOLOGY,
          hubs_soon, EACH_FAST, f"after {FEW_UPDATES} updates the largest degree is at least twice that under random "
          "growth", readings=ALL_WAYS, main=True),
    Claim("spread-jumps", "5.3", "Within a few updates the spread of degrees rises sharply under gradient and momentum "
          "growth, slowly under random growth.", TOPOLOGY, spread_jumps, EACH_FAST,
          f"in {FEW_UPDATES} updates it rises at least twice as much as under random growth", readings=ALL_WAYS),
    Claim("random-widens", "5.3", "Under random growth the variance of degrees keeps rising during training.", TOPOLOGY,
          random_keeps_widening, reading="at each of Figure 5's moments it is above the one before", readings=ALL_WAYS),
    Claim("rise-and-fall", "5.3", "Under gradient and momentum growth the variance rises and falls.", TOPOLOGY,
          rise_and_fall, EACH_FAST, "it falls farther below an earlier maximum than it ever does under random growth, "
          "where it is said to rise only", readings=ALL_WAYS),
    Claim("random-uniform", "abstract, 1, 7", "Random growth spreads connections more evenly over neurons.", TOPOLOGY,
          random_is_more_uniform, EACH_FAST, readings=ALL_WAYS, main=True),
    Claim("momentum-fast", "1", "Momentum growth makes hubs almost as rapidly as gradient growth.", TOPOLOGY,
          momentum_nearly_as_fast, reading="almost: its largest degree is at least 80 % of that under gradient growth, "
          "and twice what it was before training", readings=ALL_WAYS),
    Claim("momentum-stable", "abstract, 1", "Momentum growth is slightly more stable than gradient growth.", TOPOLOGY,
          momentum_is_steadier, (("degrees",), ("accuracy",)),
          "stable: degrees change less from update to update; validation accuracy changes less from epoch to epoch",
          printed=printed_scatter(), readings=ALL_WAYS, main=True),
    Claim("rules-alike", "5.3", "Gradient and momentum growth have similar effects on the wiring throughout training.",
          TOPOLOGY, rules_are_alike, reading="at each of Figure 5's epochs the degrees lie at most 0.1 apart "
          "(Kolmogorov-Smirnov), and from random growth's at least 0.05 farther", readings=ALL_WAYS),
    Claim("skewed", "5.4", "Degrees end up highly skewed.", TOPOLOGY, skewed, EACH_RULE, "highly: skewness above 1",
          readings=ALL_WAYS),
    Claim("poor-poorer", "1, 2", "Poorly connected neurons lose connections: the poor get poorer.", TOPOLOGY,
          poor_get_poorer, EACH_RULE, "the quarter of each hidden layer with the fewest connections at epoch 2 has "
          "fewer at the end", readings=PROTOCOLS, main=True),
    Claim("rich-richer", "1, 2", "Well connected neurons end with still more connections: the rich get richer.",
          TOPOLOGY, rich_get_richer, EACH_RULE, "the quarter of each hidden layer with the most connections at epoch 2 "
          "has more at the end", readings=PROTOCOLS, main=True),
)
