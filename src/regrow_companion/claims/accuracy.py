"""Claims about accuracy (Sections 5.1, 5.2, 6, 7, Appendices A and E): after the last epoch, runs of one seed paired.

On CIFAR-10, whose test images here are partly JPEG, validation accuracy decides; another reading takes the test images
there. A part is a network on a data set; the same predicates judge the paper's own tables (module printed).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, product

import numpy as np

from regrow.config import RunConfig
from regrow_companion import study
from regrow_companion.claims.effects import Effect, effect, paired, within
from regrow_companion.claims.evidence import CHECKPOINT, PROTOCOLS, TEST, Evidence
from regrow_companion.claims.judgement import Claim, named
from regrow_companion.paper import DATASET_NAMES

SIMILAR = 1.0  # points that "similar" and "minor" leave room for
UNSTABLE = 5.0  # points of standard deviation over seeds
MODELS = ("mlp", *(model for model in study.MODELS if model != "mlp"))  # the one that is trained here first
CELLS = tuple(product(MODELS, study.DATASETS))
OTHERS = {"SET's pruning": "set", "random pruning": "random"}  # than magnitude pruning
BETTER = tuple(f"{prune} with {grow}" for prune, grow in product(study.PRUNING, study.STRATEGIES)
               if (prune, grow) != ("random", "random"))  # pruning and growth
DROPS = {"first drop": 0.5, "second drop": 0.75}  # parts of training before which the learning rate falls


def sparse(model: str, dataset: str, grow: str) -> RunConfig:
    """A run of Table 4."""
    return RunConfig(model=model, dataset=dataset, grow=grow)


def difference(evidence: Evidence, what: str, one: RunConfig, other: RunConfig, threshold: float = 0.0) -> Effect:
    """The first run's accuracy less the second's, claimed above a threshold."""
    return effect(label(evidence, what, one), paired(evidence.accuracy(one), evidence.accuracy(other)), threshold)


def label(evidence: Evidence, what: str, run: RunConfig) -> str:
    """The images, what is measured on them, and the network and data set."""
    return f"{evidence.images(run.dataset)} accuracy, {what}, {named((run.model, run.dataset))}"


def random_is_best(evidence: Evidence, model: str, dataset: str) -> Iterator[Effect]:
    for rule in ("gradient", "momentum"):
        yield difference(evidence, f"random - {rule}", sparse(model, dataset, "random"),
                         sparse(model, dataset, rule))


def momentum_beats_gradient(evidence: Evidence, model: str, dataset: str) -> Iterator[Effect]:
    yield difference(evidence, "momentum - gradient", sparse(model, dataset, "momentum"),
                     sparse(model, dataset, "gradient"))


def minor_differences(evidence: Evidence, model: str, dataset: str) -> Iterator[Effect]:
    for one, other in combinations(study.STRATEGIES, 2):
        apart = paired(*(evidence.accuracy(sparse(model, dataset, rule)) for rule in (one, other)))
        yield from within(label(evidence, f"{one} - {other}", sparse(model, dataset, one)), apart, SIMILAR)


def sparse_matches_dense(evidence: Evidence, rule: str, dataset: str) -> Iterator[Effect]:
    yield difference(evidence, f"{rule} at 95 % - dense", sparse("mlp", dataset, rule),
                     RunConfig(dataset=dataset, **study.DENSE), -SIMILAR)


def drop_helps(evidence: Evidence, model: str, drop: str) -> Iterator[Effect]:
    def gain(course: np.ndarray) -> float:
        """Mean of the five epochs after the drop less that of the five before, in points."""
        at = round(DROPS[drop] * len(course))
        return float(course[at:at + 5].mean() - course[at - 5:at].mean())

    for rule in study.STRATEGIES:
        yield effect(f"validation accuracy, five epochs after the {drop} - five before, {named([model])}, {rule}",
                     evidence.from_courses(sparse(model, "cifar10", rule), gain), 0.5)


def unstable(evidence: Evidence, model: str, dataset: str) -> Iterator[Effect]:
    run = sparse(model, dataset, "gradient")
    yield effect(label(evidence, "standard deviation over seeds, gradient", run), evidence.accuracy(run), UNSTABLE,
                 kind="spread")


def switching(evidence: Evidence, model: str, dataset: str, switch: str) -> Iterator[Effect]:
    switched = sparse(model, dataset, switch)
    first, _ = switched.grow_phases
    change = paired(evidence.accuracy(switched), evidence.accuracy(switched.but(grow=first)))
    return iter(within(label(evidence, f"{switch} - {first}", switched), change, SIMILAR))


def magnitude_is_best(evidence: Evidence, model: str, grow: str, against: str) -> Iterator[Effect]:
    best = sparse(model, "cifar10", grow)
    yield difference(evidence, f"magnitude - {against}, {grow}", best, best.but(prune=OTHERS[against]))


def random_random_is_worst(evidence: Evidence, model: str, other: str) -> Iterator[Effect]:
    prune, grow = other.split(" with ")
    yield difference(evidence, f"{other} growth - random with random", sparse(model, "cifar10", grow).but(prune=prune),
                     sparse(model, "cifar10", "random").but(prune="random"))


def of_data_set(make: Callable[[str, str], Claim]) -> tuple[Claim, ...]:
    """A claim for each data set, from the end of its id and its name."""
    return tuple(make(dataset, DATASET_NAMES[dataset]) for dataset in study.DATASETS)


def _readings(dataset: str) -> tuple[str, ...]:
    return EVERY if dataset == "cifar10" else (CHECKPOINT,)


EVERY = (*PROTOCOLS, CHECKPOINT, TEST)
MATCH = f"match: at most {SIMILAR:g} point below"
CLAIMS = (
    Claim("random-best", "6, 7", "Random growth is the most accurate in most cases.", ("table4",), random_is_best,
          CELLS, "in more than half of those networks and data sets that are measured it beats both other rules",
          most=True, readings=EVERY, main=True),
    *of_data_set(lambda dataset, name: Claim(
        f"random-best-{dataset.replace('_', '-')}", "6, 7", f"Random growth is the most accurate on {name}.",
        ("table4",), random_is_best, tuple((model, dataset) for model in MODELS), readings=_readings(dataset))),
    Claim("minor", "7", "Differences in accuracy between growth rules are minor.", ("table4",), minor_differences,
          CELLS, f"any two rules within {SIMILAR:g} point", readings=EVERY, main=True),
    Claim("momentum-accuracy", "1", "Momentum growth, being steadier, helps accuracy more than gradient growth.",
          ("table4",), momentum_beats_gradient, CELLS, "in more than half of those networks and data sets that are "
          "measured it is the more accurate of the two", most=True, readings=EVERY),
    Claim("sparse-dense", "7", "Sparse MLPs match or beat the dense one on all data sets, whatever the growth rule.",
          ("table3", "table4"), sparse_matches_dense, tuple(product(study.STRATEGIES, study.DATASETS)), MATCH,
          readings=EVERY, main=True),
    *of_data_set(lambda dataset, name: Claim(
        f"sparse-dense-{dataset.replace('_', '-')}", "7", f"Sparse MLPs match or beat the dense one on {name}.",
        ("table3", "table4"), sparse_matches_dense, tuple((rule, dataset) for rule in study.STRATEGIES), MATCH,
        readings=_readings(dataset))),
    Claim("drops-help", "5.1", "Each drop of the learning rate raises accuracy.", ("table4",), drop_helps,
          tuple(product(MODELS, DROPS)), "by at least half a point, five epochs after it against five before, on "
          "CIFAR-10; the paper shows it for convolutional networks", readings=PROTOCOLS),
    Claim("convnet-unstable", "5.2, 8", "Gradient growth makes the ConvNet's training unstable.", ("table4",), unstable,
          tuple(("convnet", dataset) for dataset in study.DATASETS), f"standard deviation over seeds above "
          f"{UNSTABLE:g} points", readings=(CHECKPOINT,)),
    Claim("switching", "E", "Switching the growth rule at half time makes no significant difference.", ("table8",),
          switching, tuple(product([model for model in MODELS if model in study.SWITCH_MODELS],
                                   [dataset for dataset in study.DATASETS if dataset != "mnist"], study.SWITCHES)),
          f"less than {SIMILAR:g} point from the rule it started with", readings=EVERY),
    Claim("magnitude-best", "A", "Magnitude pruning is the best criterion with each growth rule.", ("fig13",),
          magnitude_is_best, tuple(product(MODELS, study.STRATEGIES, OTHERS)), "better than SET's and than random "
          "pruning on CIFAR-10", readings=(CHECKPOINT, TEST)),
    Claim("random-random", "A", "Random pruning with random growth is the worst combination.", ("fig13",),
          random_random_is_worst, tuple(product(MODELS, BETTER)), readings=(CHECKPOINT, TEST)),
)
