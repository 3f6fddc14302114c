"""Claims about accuracy (Sections 5.1, 5.2, 6, 7, Appendices A and E): test accuracy in percent after the last epoch,
runs of one seed paired."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from regrow.config import RunConfig
from regrow_companion import study
from regrow_companion.claims.judgement import (
    MIXED,
    NOT_REPRODUCED,
    REPRODUCED,
    Claim,
    Evidence,
    Outcome,
    effect,
    judged,
    paired,
)
from regrow_companion.paper import DATASET_NAMES

SIMILAR = 1.0  # points that "similar" and "minor" leave room for
NAMED = tuple((dataset, DATASET_NAMES[dataset]) for dataset in study.DATASETS)


def random_best(dataset: str) -> Callable[[Evidence], Outcome]:
    """Random growth above both others, for the MLP on one data set."""

    def decide(evidence: Evidence) -> Outcome:
        random = evidence.accuracy(RunConfig(dataset=dataset, grow="random"))
        return judged(*(effect(f"accuracy, random - {rule}", paired(
            random, evidence.accuracy(RunConfig(dataset=dataset, grow=rule)))) for rule in ("gradient", "momentum")))

    return decide


def minor_differences(evidence: Evidence) -> Outcome:
    means = {rule: evidence.accuracy(RunConfig(dataset="cifar10", grow=rule)) for rule in study.STRATEGIES}
    widest = np.ptp(np.stack(list(means.values())), axis=0)
    return judged(effect("accuracy on CIFAR-10, best rule - worst rule", widest, SIMILAR, above=False))


def matches_dense(dataset: str) -> Callable[[Evidence], Outcome]:
    """The 95 % sparse MLP at most SIMILAR below the dense one, for every growth rule."""

    def decide(evidence: Evidence) -> Outcome:
        dense = evidence.accuracy(RunConfig(dataset=dataset, **study.DENSE))
        return judged(*(effect(f"accuracy, {rule} at 95 % - dense", paired(evidence.accuracy(
            RunConfig(dataset=dataset, grow=rule)), dense), -SIMILAR) for rule in study.STRATEGIES))

    return decide


def drop_helps(evidence: Evidence) -> Outcome:
    def gain(rule: str, fraction: float) -> np.ndarray:
        found = []
        for record in evidence.topology[rule]:
            drop = round(fraction * len(record.val_accuracy))
            found.append(record.val_accuracy[drop:drop + 5].max() - record.val_accuracy[drop - 5:drop].max())
        return np.array(found)

    return judged(*(effect(f"validation accuracy, five epochs after the drop at {fraction:.0%} - five before, {rule}",
                           gain(rule, fraction), 0.5) for rule in study.STRATEGIES for fraction in (0.5, 0.75)))


def unstable_convnet(evidence: Evidence) -> Outcome:
    spreads = [np.std(evidence.accuracy(RunConfig(model="convnet", dataset=dataset, grow="gradient")), ddof=1)
               for dataset in ("cifar10", "mnist", "fashion_mnist")]
    verdict = REPRODUCED if min(spreads) > 5 else NOT_REPRODUCED if max(spreads) < 5 else MIXED
    said = ", ".join(f"{DATASET_NAMES[dataset]} {spread:.1f}" for dataset, spread in
                     zip(("cifar10", "mnist", "fashion_mnist"), spreads, strict=True))
    return Outcome(verdict, (), f"Standard deviation over seeds in points: {said}.")


def switching(evidence: Evidence) -> Outcome:
    found = []
    for config in study.runs("table8", "paper"):
        if config.seed == 0:
            first, _ = config.grow_phases
            change = paired(evidence.accuracy(config), evidence.accuracy(config.but(grow=first)))
            found.append(effect(f"|accuracy, {config.grow} - {first}|, {config.model}, {DATASET_NAMES[config.dataset]}",
                                np.abs(change), SIMILAR, above=False))
    return judged(*found)


def magnitude_best(evidence: Evidence) -> Outcome:
    return _against("set", evidence, study.STRATEGIES)


def random_random_worst(evidence: Evidence) -> Outcome:
    found = []
    for model in study.MODELS:
        worst = evidence.accuracy(RunConfig(model=model, dataset="cifar10", prune="random", grow="random"))
        others = [evidence.accuracy(RunConfig(model=model, dataset="cifar10", prune=prune, grow=grow))
                  for prune in ("magnitude", "set", "random") for grow in study.STRATEGIES
                  if (prune, grow) != ("random", "random")]
        found.append(effect(f"accuracy, next worst - random with random, {model}",
                            paired(np.min(others, axis=0), worst)))
    return judged(*found)


def _against(prune: str, evidence: Evidence, rules: Sequence[str]) -> Outcome:
    found = []
    for model in study.MODELS:
        for grow in rules:
            magnitude, other = (evidence.accuracy(RunConfig(model=model, dataset="cifar10", prune=rule, grow=grow))
                                for rule in ("magnitude", prune))
            found.append(effect(f"accuracy, magnitude - {prune}, {model}, {grow}", paired(magnitude, other)))
    return judged(*found)


CLAIMS = (
    *(Claim(f"random-best-{dataset.replace('_', '-')}", "6, 7", f"Random growth is the most accurate: MLP on {name}.",
            ("table4",), random_best(dataset)) for dataset, name in NAMED),
    Claim("minor", "7", "Differences in accuracy between growth rules are minor.", ("table4",), minor_differences,
          f"at most {SIMILAR:g} point, the MLP on CIFAR-10"),
    *(Claim(f"sparse-dense-{dataset.replace('_', '-')}", "7", f"Sparse MLPs match or beat the dense one on {name}.",
            ("table3", "table4"), matches_dense(dataset), f"match: at most {SIMILAR:g} point below, for every rule")
      for dataset, name in NAMED),
    Claim("drops-help", "5.1", "Each drop of the learning rate raises accuracy.", ("topology",), drop_helps,
          "by at least half a point within five epochs, the MLPs of the topology runs"),
    Claim("convnet-unstable", "5.2, 8", "Gradient growth makes the ConvNet's training unstable.", ("table4",),
          unstable_convnet, "standard deviation over seeds above 5 points"),
    Claim("switching", "E", "Switching the growth rule at half time makes no significant difference.", ("table8",),
          switching, f"less than {SIMILAR:g} point from the rule it started with"),
    Claim("magnitude-best", "A", "Magnitude pruning beats SET pruning with each growth rule.", ("fig13",),
          magnitude_best),
    Claim("random-random", "A", "Random pruning with random growth is the worst combination.", ("fig13",),
          random_random_worst),
)
