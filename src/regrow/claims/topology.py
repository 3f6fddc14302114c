"""Claims about how the wiring evolves: hubs, spread, dormancy, shells, input and rank correlation (Sections 1, 5.3,
5.4, 6, 7, Appendices G to I). Every predicate reads the 15 topology runs, seed by seed."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import stats

from regrow import graph, study
from regrow.claims.evidence import Evidence, at, hidden
from regrow.claims.judgement import Claim, Effect, Outcome, effect, judged, paired
from regrow.cost import image_shape
from regrow.rank_correlation import kendall_matrix
from regrow.record import Record

FEW_UPDATES = 5
FAST = ("gradient", "momentum")
TOPOLOGY = ("fig05",)


def largest_after_few(record: Record) -> float:
    return float(hidden(record)[FEW_UPDATES].max())


def spread(record: Record) -> np.ndarray:
    """Standard deviation of the hidden degrees at every update."""
    return hidden(record).std(axis=1)


def dormant(record: Record, limit: int = study.PAPER_LOW) -> np.ndarray:
    return graph.dormant_counts(hidden(record), limit) / hidden(record).shape[1]


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
        last = hidden(record)[-1]
        return float(last.std() / last.mean())

    random = evidence.per_seed("random", coefficient)
    return judged(*(effect(f"coefficient of variation of hidden degrees at the end, {rule} - random",
                           paired(evidence.per_seed(rule, coefficient), random)) for rule in FAST))


def momentum_nearly_as_fast(evidence: Evidence) -> Outcome:
    ratio = evidence.per_seed("momentum", largest_after_few) / evidence.per_seed("gradient", largest_after_few)
    return judged(effect(f"largest degree after {FEW_UPDATES} updates, momentum / gradient", ratio, 0.8, ratio=True))


def momentum_is_steadier(evidence: Evidence) -> Outcome:
    def unrest(record: Record) -> float:
        degrees = hidden(record)[1:].astype(float)
        return float(np.abs(np.diff(degrees, axis=0)).mean() / degrees.mean())

    ratio = evidence.per_seed("momentum", unrest) / evidence.per_seed("gradient", unrest)
    return judged(effect("mean |change| of a degree per update, momentum / gradient", ratio, 1.0, above=False,
                         ratio=True))


def skewed(evidence: Evidence) -> Outcome:
    return judged(*(effect(f"skewness of hidden degrees at the end, {rule}", evidence.per_seed(
        rule, lambda record: stats.skew(hidden(record)[-1])), 1.0) for rule in study.STRATEGIES))


def degree_decides_survival(evidence: Evidence) -> Outcome:
    def auc(fraction: float, record: Record) -> float:
        """Chance that of a survivor and a dormant neuron the survivor had the higher degree earlier."""
        degrees = hidden(record)
        early, dead = degrees[at(record, fraction)], degrees[-1] <= study.PAPER_LOW
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
        for limit in (study.PAPER_LOW, study.PAPER_HIGH):
            def drift(record: Record, limit: int = limit) -> float:
                share = dormant(record, limit)
                return float(np.abs(share[at(record, 0.9):] - share[-1]).max())

            found.append(effect(f"largest departure from the final share of k <= {limit} in the last tenth, {rule}",
                                evidence.per_seed(rule, drift), 0.02, above=False))
    return judged(*found)


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
    return graph.input_heat_map(record.input_degrees()[-1], image_shape(record.config)).astype(float)


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
        inputs, inner = record.input_degrees()[-1], hidden(record)[-1]
        return float(stats.ks_2samp(inputs / inputs.mean(), inner / inner.mean()).statistic)

    return judged(*(effect(f"KS distance of input and hidden degrees (each over its mean), {rule}",
                           evidence.per_seed(rule, distance), 0.1) for rule in study.STRATEGIES))


def _tau(record: Record, first: float, second: float) -> float:
    degrees = hidden(record)
    return float(kendall_matrix(degrees[[at(record, first), at(record, second)]])[0, 1])


def random_settles_late(evidence: Evidence) -> Outcome:
    late = evidence.per_seed("random", lambda record: _tau(record, 0.9, 1.0) - _tau(record, 0.4, 0.5))
    return judged(effect("tau over the last tenth of training - tau over the tenth before half time, random", late))


def fast_settle_sooner(evidence: Evidence) -> Outcome:
    random = evidence.per_seed("random", lambda record: _tau(record, 0.5, 1.0))
    return judged(*(effect(f"tau between half time and the end, {rule} - random", paired(evidence.per_seed(
        rule, lambda record: _tau(record, 0.5, 1.0)), random)) for rule in FAST))


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
