"""Claims about what the degrees make of the network: shells, input maps, the ranking of neurons (Sections 5.3, 5.4, 6,
Appendices G to I). Every predicate reads the 15 topology runs, seed by seed."""

from __future__ import annotations

import numpy as np
from scipy import stats

from regrow import metrics
from regrow.cost import image_shape
from regrow.metrics import kendall_matrix
from regrow.record import Record
from regrow_companion import study
from regrow_companion.claims.degrees import FAST, TOPOLOGY
from regrow_companion.claims.judgement import Claim, Evidence, Outcome, at, effect, judged, paired


def shells_start_alike(evidence: Evidence) -> Outcome:
    def differs(seed: int) -> float:
        first, *others = (evidence.topology[rule][seed] for rule in study.STRATEGIES)
        shells = [np.concatenate(evidence.shells(record, 0)) for record in (first, *others)]
        return float(sum(not np.array_equal(shells[0], other) for other in shells[1:]))

    return judged(effect("growth rules whose first shells differ", [differs(s) for s in range(len(study.SEEDS))], 0.5,
                         above=False))


def second_layer_floor(evidence: Evidence) -> Outcome:
    return judged(*(effect(f"|lowest shell in hidden layer 2 - 10| at the end, {rule}", evidence.per_seed(
        rule, lambda record: abs(int(evidence.shells(record, 5)[2].min()) - 10)), 0.5, above=False)
        for rule in study.STRATEGIES))


def core_accumulates(evidence: Evidence) -> Outcome:
    def heap(record: Record) -> float:
        """Hidden neurons in the highest shell over those in the busiest of the ten shells below it."""
        shells = np.concatenate(evidence.shells(record, 5)[1:-1])
        top = shells.max()
        return float((shells == top).sum() / max(1, max((shells == top - k).sum() for k in range(1, 11))))

    return judged(*(effect(f"hidden neurons in the core / in the busiest of ten shells below, {rule}",
                           evidence.per_seed(rule, heap), 1.0, ratio=True) for rule in study.STRATEGIES))


def denser_backbone(evidence: Evidence) -> Outcome:
    def core(record: Record) -> float:
        return float(max(shell.max() for shell in evidence.shells(record, 5)))

    random = evidence.per_seed("random", core)
    return judged(*(effect(f"k_max at the end, {rule} - random", paired(evidence.per_seed(rule, core), random))
                    for rule in FAST))


def isolated(evidence: Evidence) -> Outcome:
    return judged(*(effect(f"share of hidden layer 1 in shell 0 at the end, {rule}", evidence.per_seed(
        rule, lambda record: float((evidence.shells(record, 5)[1] == 0).mean())), 0.0) for rule in FAST))


def _map(record: Record) -> np.ndarray:
    """Connections of every pixel at the end, [H, W]."""
    return metrics.input_heat_map(record.input_degrees()[-1], image_shape(record.config)).astype(float)


def symmetry(evidence: Evidence) -> Outcome:
    def asymmetry(record: Record) -> float:
        image = _map(record)
        return float(np.abs(image - image[:, ::-1]).mean() / image.mean())

    random = evidence.per_seed("random", asymmetry)
    return judged(*(effect(f"left-right asymmetry of the input map at the end, {rule} - random",
                           paired(evidence.per_seed(rule, asymmetry), random)) for rule in FAST))


def attention_concentrates(evidence: Evidence) -> Outcome:
    def busiest(record: Record) -> float:
        pixels = np.sort(_map(record).ravel())[::-1]
        return float(pixels[:pixels.size // 10].sum() / pixels.sum())

    random = evidence.per_seed("random", busiest)
    return judged(*(effect(f"share of input connections at the busiest tenth of pixels, {rule} - random",
                           paired(evidence.per_seed(rule, busiest), random)) for rule in FAST))


def input_differs(evidence: Evidence) -> Outcome:
    def distance(record: Record) -> float:
        inputs, inner = record.input_degrees()[-1], record.hidden_degrees()[-1]
        return float(stats.ks_2samp(inputs / inputs.mean(), inner / inner.mean()).statistic)

    return judged(*(effect(f"KS distance of input and hidden degrees (each over its mean), {rule}",
                           evidence.per_seed(rule, distance), 0.1) for rule in study.STRATEGIES))


def _tau(record: Record, first: float, second: float) -> float:
    degrees = record.hidden_degrees()
    return float(kendall_matrix(degrees[[at(record, first), at(record, second)]])[0, 1])


def random_settles_late(evidence: Evidence) -> Outcome:
    late = evidence.per_seed("random", lambda record: _tau(record, 0.9, 1.0) - _tau(record, 0.4, 0.5))
    return judged(effect("tau over the last tenth of training - tau over the tenth before half time, random", late))


def fast_settle_sooner(evidence: Evidence) -> Outcome:
    random = evidence.per_seed("random", lambda record: _tau(record, 0.5, 1.0))
    return judged(*(effect(f"tau between half time and the end, {rule} - random", paired(evidence.per_seed(
        rule, lambda record: _tau(record, 0.5, 1.0)), random)) for rule in FAST))


CLAIMS = (
    Claim("shells-alike", "5.4", "Before training all growth rules have the same shells.", TOPOLOGY,
          shells_start_alike),
    Claim("shell-floor", "5.4", "In the second hidden layer the lowest shell is 10.", TOPOLOGY, second_layer_floor),
    Claim("core-heap", "5.4", "At the upper end of every shell distribution neurons pile up: the core.", TOPOLOGY,
          core_accumulates, "more hidden neurons in the highest shell than in any of the ten shells below it"),
    Claim("backbone", "5.4", "Gradient and momentum growth build a denser backbone.", TOPOLOGY, denser_backbone,
          "a higher k_max"),
    Claim("isolated", "5.4", "Gradient and momentum growth leave isolated neurons.", TOPOLOGY, isolated),
    Claim("symmetry", "5.3, 6", "Input maps under random growth are more symmetric.", TOPOLOGY, symmetry,
          "mean |left - right| over the mean; the paper defines no symmetry"),
    Claim("attention", "5.3, 6", "Gradient and momentum growth concentrate on a small part of the image.", TOPOLOGY,
          attention_concentrates, "share of connections at the busiest tenth of pixels"),
    Claim("input-differs", "6, G", "Input degrees are distributed unlike hidden degrees.", TOPOLOGY, input_differs,
          "Kolmogorov-Smirnov distance above 0.1 after dividing by the mean"),
    Claim("rank-random", "I", "Under random growth degrees correlate more near the end of training.", TOPOLOGY,
          random_settles_late),
    Claim("rank-fast", "I", "Under gradient and momentum growth the ranking of neurons settles sooner.", TOPOLOGY,
          fast_settle_sooner),
)
