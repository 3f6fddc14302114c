"""Claims about what the degrees make of the network: shells, input maps, the ranking of neurons (Sections 5.3, 5.4, 6,
Appendices D and G to I). Predicates read the topology runs, and the Boltzmann machines of Appendix D."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from regrow import metrics
from regrow.config import RunConfig
from regrow.cost import image_shape
from regrow.metrics import kendall_matrix
from regrow.record import Record
from regrow_companion import study
from regrow_companion.claims.degrees import ALL_WAYS, EACH_FAST, EACH_RULE, FAST, TOPOLOGY
from regrow_companion.claims.effects import Effect, NotMeasured, effect, paired
from regrow_companion.claims.evidence import PAPER, PROTOCOLS, Evidence, at
from regrow_companion.claims.judgement import CONSTRUCTION, Claim

NODES = ("visible", "hidden 1", "hidden 2")
FLOOR = 10  # what the dense last layer leaves every neuron of hidden 2


# --------------------------------------------------------------------------------------------------------------- shells


def shells_start_alike(evidence: Evidence, rule: str) -> Iterator[Effect]:
    ours, random = (evidence.records(PAPER[name], whole=True) for name in (rule, "random"))
    differs = [not all(map(np.array_equal, evidence.shells(ours[seed], 0), evidence.shells(random[seed], 0)))
               for seed in ours.keys() & random.keys()]
    yield effect(f"whether the first shells differ, {rule} from random", differs, 0.5, above=False)


def second_layer_floor(evidence: Evidence, rule: str) -> Iterator[Effect]:
    yield effect(f"|lowest shell in hidden 2 - {FLOOR}| at the end, {rule}", evidence.per_seed(
        rule, lambda record: abs(int(evidence.shells(record, 5)[2].min()) - FLOOR)), 0.5, above=False)


def core_accumulates(evidence: Evidence, rule: str, nodes: str) -> Iterator[Effect]:
    layer = NODES.index(nodes)

    def highest(record: Record, moment: int) -> int:
        return max(int(shell.max()) for shell in evidence.shells(record, moment))

    def heap(record: Record) -> float:
        """Neurons in the network's highest shell less those in the busiest of ten below it, over the layer's size."""
        shells, top = evidence.shells(record, 5)[layer], highest(record, 5)
        return float(((shells == top).sum() - max((shells == top - k).sum() for k in range(1, 11))) / shells.size)

    def below(record: Record) -> float:
        """Share of the layer below the core, end - before training, when all hidden neurons are in it."""
        last, first = (float((evidence.shells(record, moment)[layer] < highest(record, moment)).mean())
                       for moment in (5, 0))
        return last - first

    yield effect(f"share of neurons in the core - in the busiest of ten shells below, {rule}, {nodes}",
                 evidence.per_seed(rule, heap))
    if nodes != "visible":
        yield effect(f"share of neurons below the core, end - before training, {rule}, {nodes}",
                     evidence.per_seed(rule, below), 0.1)


def denser_backbone(evidence: Evidence, rule: str) -> Iterator[Effect]:
    def core(record: Record) -> float:
        return float(max(shell.max() for shell in evidence.shells(record, 5)))

    yield effect(f"k_max at the end, {rule} - random", paired(evidence.per_seed(rule, core),
                                                              evidence.per_seed("random", core)))


def in_lowest_shell(evidence: Evidence, nodes: str) -> Callable[[Record], float]:
    """Share of a hidden layer in the shell that the paper calls isolated (0, in the second layer its floor), at the end
    less before training."""
    layer = NODES.index(nodes)

    def share(record: Record) -> float:
        last, first = ((evidence.shells(record, moment)[layer] <= (FLOOR if layer == 2 else 0)).mean()
                       for moment in (5, 0))
        return float(last - first)

    return share


def isolated(evidence: Evidence, rule: str, nodes: str) -> Iterator[Effect]:
    yield effect(f"share of {nodes} in the lowest shell, end - before training, {rule}",
                 evidence.per_seed(rule, in_lowest_shell(evidence, nodes)), 0.01)


def more_isolated(evidence: Evidence, rule: str, nodes: str) -> Iterator[Effect]:
    share = in_lowest_shell(evidence, nodes)
    yield effect(f"share of {nodes} in the lowest shell at the end, {rule} - random",
                 paired(evidence.per_seed(rule, share), evidence.per_seed("random", share)))


# ----------------------------------------------------------------------------------------------------------- input maps


def _map(record: Record) -> np.ndarray:
    """Connections of every pixel at the end, [H, W]."""
    return metrics.input_heat_map(record.input_degrees()[-1], image_shape(record.config)).astype(float)


def busiest_tenth(image: np.ndarray) -> float:
    """Share of a map that falls on its busiest tenth of pixels."""
    pixels = np.sort(image.ravel())[::-1]
    return float(pixels[:pixels.size // 10].sum() / pixels.sum())


def symmetry(evidence: Evidence, rule: str) -> Iterator[Effect]:
    def asymmetry(record: Record) -> float:
        image = _map(record)
        return float(np.abs(image - image[:, ::-1]).mean() / image.mean())

    ours, random = (evidence.per_seed(name, asymmetry, whole=False) for name in (rule, "random"))
    yield effect(f"left-right asymmetry of the input map at the end, {rule} - random", paired(ours, random))


def attention_concentrates(evidence: Evidence, rule: str) -> Iterator[Effect]:
    ours, random = (evidence.per_seed(name, lambda record: busiest_tenth(_map(record)), whole=False)
                    for name in (rule, "random"))
    yield effect(f"share of input connections at the busiest tenth of pixels, {rule} - random", paired(ours, random))


def attention_of_hidden_1(evidence: Evidence, rule: str) -> Iterator[Effect]:
    def share(record: Record) -> float:
        paths = record.input_paths()
        if not len(paths):
            raise NotMeasured(record.config)
        return busiest_tenth(metrics.input_heat_map(paths[-1], image_shape(record.config)).astype(float))

    ours, random = (evidence.per_seed(name, share) for name in (rule, "random"))
    yield effect(f"share of paths through hidden 1 at the busiest tenth of pixels, {rule} - random",
                 paired(ours, random))


def input_differs(evidence: Evidence, rule: str) -> Iterator[Effect]:
    def distance(record: Record, moment: int, update: int) -> float:
        inputs, inner = record.input_degrees()[moment], record.hidden_degrees()[update]
        return float(stats.ks_2samp(inputs / inputs.mean(), inner / inner.mean()).statistic)

    values = evidence.per_seed(rule, lambda record: distance(record, -1, -1) - distance(record, 0, 0))
    yield effect(f"KS distance of input and hidden degrees (each over its mean), end - before training, {rule}", values,
                 0.1)


def machines_differ(evidence: Evidence, rule: str) -> Iterator[Effect]:
    def share(record: Record) -> float:
        return busiest_tenth(_map(record))

    def of(grow: str) -> pd.Series:
        return pd.concat({size: pd.Series({seed: share(record) for seed, record in evidence.records(
            RunConfig(model=size, grow=grow, **study.RBM)).items()}) for size in ("rbm-big", "rbm-small")})

    yield effect(f"share of connections at the busiest tenth of pixels, {rule} - random, three seeds of both sizes",
                 paired(of(rule), of("random")))


# -------------------------------------------------------------------------------------------------------------- ranking


def _tau(first: float, second: float) -> Callable[[np.ndarray, Record], float]:
    """Kendall's tau of the degrees at two parts of training."""
    return lambda degrees, record: float(kendall_matrix(degrees[[at(record, first), at(record, second)]])[0, 1])


def random_settles_late(evidence: Evidence) -> Iterator[Effect]:
    late, early = (evidence.by_layer("random", _tau(*parts)) for parts in ((0.9, 1.0), (0.4, 0.5)))
    for (layer, last), (_, middle) in zip(late, early, strict=True):
        yield effect(f"tau over the last tenth of training - over the tenth before half time, random{layer}",
                     paired(last, middle))


def fast_settle_sooner(evidence: Evidence, rule: str) -> Iterator[Effect]:
    for layer, ours, random in evidence.beside_random(rule, _tau(0.5, 1.0)):
        yield effect(f"tau between half time and the end, {rule} - random{layer}", paired(ours, random))


def late_updates_idle(evidence: Evidence, rule: str) -> Iterator[Effect]:
    def moved(degrees: np.ndarray, record: Record) -> float:
        return float(np.abs(np.diff(degrees[at(record, 0.9):].astype(float), axis=0)).mean())

    for layer, values in evidence.by_layer(rule, moved):
        yield effect(f"mean |change| of a degree per update in the last tenth, {rule}{layer}", values)
    for layer, values in evidence.by_layer(rule, _tau(0.9, 1.0)):
        yield effect(f"tau over the last tenth of training, {rule}{layer}", values, 0.95)
    gains = evidence.from_courses(PAPER[rule], lambda course: float(course[-1] - course[9 * len(course) // 10 - 1]))
    yield effect(f"validation accuracy gained in the last tenth of training, {rule}", gains, 0.25, above=False)


HIDDEN = tuple(product(FAST, NODES[1:]))
CLAIMS = (
    Claim("shells-alike", "5.4", "Before training all growth rules have the same shells.", TOPOLOGY, shells_start_alike,
          EACH_FAST, mark=CONSTRUCTION, why="The first wiring depends on the seed alone."),
    Claim("shell-floor", "5.4", "In the second hidden layer the lowest shell is 10.", TOPOLOGY, second_layer_floor,
          EACH_RULE, mark=CONSTRUCTION, why="The last layer is dense, so every neuron below it keeps ten connections."),
    Claim("core-heap", "5.4", "At the upper end of every shell distribution neurons pile up: the core.", TOPOLOGY,
          core_accumulates, tuple(product(study.STRATEGIES, NODES)), "in each layer more neurons in the network's "
          "highest shell than in any of the ten below; of hidden layers, which are wholly in the core before training, "
          "at least a tenth has left it"),
    Claim("backbone", "5.4", "Gradient and momentum growth build a denser backbone.", TOPOLOGY, denser_backbone,
          EACH_FAST, "a higher k_max", main=True),
    Claim("isolated", "5.4", "Gradient and momentum growth leave isolated neurons.", TOPOLOGY, isolated, HIDDEN,
          "more than 1 % of a hidden layer moves to shell 0, in the second to its floor, 10"),
    Claim("isolated-more", "5.4", "It is their denser backbone that isolates neurons.", TOPOLOGY, more_isolated, HIDDEN,
          "then there are more than under random growth"),
    Claim("symmetry", "5.3, 6", "Input maps under random growth are more symmetric.", TOPOLOGY, symmetry, EACH_FAST,
          "mean |left - right| over the mean; the paper defines no symmetry", readings=PROTOCOLS),
    Claim("attention", "5.3, 6", "Gradient and momentum growth concentrate on a small part of the image.", TOPOLOGY,
          attention_concentrates, EACH_FAST, "share of connections at the busiest tenth of pixels", readings=PROTOCOLS,
          main=True),
    Claim("attention-paths", "5.3, H", "The first hidden layer behaves accordingly.", TOPOLOGY, attention_of_hidden_1,
          EACH_FAST, "the same share, of paths from a pixel through hidden 1"),
    Claim("input-differs", "6, G", "Input degrees are distributed unlike hidden degrees.", TOPOLOGY, input_differs,
          EACH_RULE, "Kolmogorov-Smirnov distance after dividing by the mean, 0.1 more than chance wiring has"),
    Claim("rbm-maps", "D", "In Boltzmann machines, too, the input map depends on the growth rule.", ("fig15", "fig16"),
          machines_differ, EACH_FAST, "share of connections at the busiest tenth of pixels larger than under random "
          "growth; the paper shows pictures without a scale"),
    Claim("rank-random", "I", "Under random growth degrees correlate more near the end of training.", TOPOLOGY,
          random_settles_late, mark=CONSTRUCTION, why="Updates move ever fewer connections, so it would hold for any "
          "rule.", readings=ALL_WAYS),
    Claim("rank-fast", "I", "Under gradient and momentum growth the ranking of neurons settles sooner.", TOPOLOGY,
          fast_settle_sooner, EACH_FAST, readings=ALL_WAYS),
    Claim("late-updates", "I", "Changes of the wiring near the end of training are inefficient.", TOPOLOGY,
          late_updates_idle, EACH_RULE, "in the last tenth connections still move, the ranking of neurons stays (tau "
          "above 0.95), and validation accuracy gains less than a quarter of a point; no run here stops its updates "
          "early"),
)
