"""Notebook 08, accuracy beside the paper's."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from prose import measures as m
from prose.said import Said, up
from regrow import datasets
from regrow_companion import study
from regrow_companion.claims.evidence import CONSTANTS
from regrow_companion.plots import nb08_grey
from regrow_companion.section8 import nb24_collapse

PAGE = "notebooks/08_accuracy.ipynb"
EXCUSED = {
    "at a learning rate of 0.1": "the paper's",
    "A reader imagines five runs spread between 15 and 50": "what the two printed numbers suggest, in round numbers",
    "over $n = 5$ seeds": "the paper's number of seeds",
    "put in $n = 5$": "the paper's number of seeds",
    "mean and standard deviation .5": "constants, `normalise=half`",
    "*Constants of .5*": "constants, `normalise=half`",
    "A test set of 2,000 images gives 86.5 per cent. What is the exact 95 %": "an exercise",
    "And with 10,000 images?": "an exercise",
    "with 80 % power (two-sided t test at the 5 % level), if the standard deviation over seeds is 0.3, 1, 5 or 18?":
        "an exercise",
}
CROPPED: dict[str, Any] = {"augment": "crop_flip"}
NOISY = CROPPED | {"evaluation": "as_training"}
SHORT = NOISY | {"epochs": 40}
DATA = ("cifar10", "mnist", "fashion_mnist")
DIGITS, FASHION = {"dataset": "mnist"}, {"dataset": "fashion_mnist"}
HALF = FASHION | CROPPED | {"normalise": "half"}


def collapsed() -> tuple[float, float]:
    """The two values behind a mean and standard deviation of five runs, if one run of them has a value of its own."""
    cell = m.printed("random", "cifar100", "convnet")
    gap = cell.std * 5**0.5
    return cell.mean + gap / 5, cell.mean + gap / 5 - gap


def gains() -> tuple[list[float], list[float]]:
    """What the epoch of best validation changes: means over seeds of Table 4's MLP on CIFAR-10, and single runs of
    Tables 3, 4, 7 and 8 that did not collapse, as sizes."""
    means = [abs(m.accuracy(rule, reading="best validation") - m.accuracy(rule)) for rule in m.STRATEGIES]
    runs = {record.key: record for need in ("table3", "table4", "table7", "table8") for record in m.of_need(need)}
    return means, [abs(run.accuracy("best validation").test - run.accuracy("last").test) for run in runs.values()
                   if not run.collapsed]


def best_epoch(rule: str) -> int:
    (run,) = m.runs(rule, **m.BLACK, prune="set_legacy")
    return run.accuracy("best validation").epoch


def losses_of_the_paper() -> list[float]:
    """Of its sparse MLPs beside its dense ones, on grey images."""
    return [m.printed("dense", images, table=3).mean - m.printed(rule, images).mean
            for rule in m.STRATEGIES for images in ("mnist", "fashion_mnist")]


def short(sparsity: float) -> tuple[float, float]:
    """The three rules on MNIST after 40 epochs."""
    return m.low_high(m.accuracy(rule, **DIGITS, **SHORT, sparsity=sparsity) for rule in m.STRATEGIES)


def papers(sparsity: float) -> tuple[float, float]:
    table = 4 if sparsity == 0.95 else 7
    return m.low_high(m.printed(rule, "mnist", table=table, sparsity=sparsity).mean for rule in m.STRATEGIES)


def too_low() -> list[float]:
    """By how much runs of 40 epochs on Fashion-MNIST stay below the paper."""
    return [m.printed(rule, "fashion_mnist", table=4 if sparsity == 0.95 else 7, sparsity=sparsity).mean
            - m.accuracy(rule, **FASHION, **SHORT, sparsity=sparsity)
            for rule in ("random", "momentum") for sparsity in (0.95, 0.9, 0.8)]


def way(images: dict[str, str]) -> float:
    """How far crops of test images go from ours to the paper's, as a fraction."""
    ours, theirs = m.accuracy("random", **images), m.printed("random", images["dataset"]).mean
    return (ours - m.accuracy("random", **images, **NOISY)) / (ours - theirs)


def broken(**changes: Any) -> list[int]:
    """The epochs in which the seeds of a configuration broke."""
    return [epoch for run in m.runs(**changes) if (epoch := nb08_grey.breaking_epoch(run)) is not None]


def beside(column: str) -> list[float]:
    """How much higher the mirrored border is than the black one."""
    return [m.accuracy(rule, part=column) - m.accuracy(rule, part=column, **m.BLACK) for rule in m.STRATEGIES]


def printed(rule: str, dataset: str) -> tuple[float, float]:
    cell = m.printed(rule, dataset, "convnet")
    return cell.mean, cell.std


def as_seed_0_ended() -> list[bool]:
    """Whether the ConvNet's runs with seed 0 collapsed on grey images under score rules, and nowhere else."""
    of = {(rule, images): m.runs(rule, dataset=images, model="convnet")[0].collapsed
          for rule in m.STRATEGIES for images in ("mnist", "fashion_mnist", "cifar10")}
    return [is_broken == (images != "cifar10" and rule != "random") for (rule, images), is_broken in of.items()]


@cache
def collapse() -> dict[str, Any]:
    """Tables of the runs that broke on MNIST, seed 0."""
    tables = m.beyond(nb24_collapse.EXPERIMENT).tables
    runs = tables["second"].groupby(["dataset", "prune", "grow", "seed"]).ngroups
    digits = {name: table.query("dataset == 'mnist' and seed == 0") for name, table in tables.items()}
    assert digits["second"].groupby("grow").ngroups == 2 == runs - 1, "say more of the others here and in notebook 13"
    return digits


def survivors(when: str) -> set[str]:
    """What, changed there, keeps both networks from breaking."""
    rows = collapse()["second"].query("`from` == @when").groupby("changed")["collapsed"].sum()
    assert set(rows) == {0, 2}, "the two networks agree"
    return set(rows[rows == 0].index)


def without_inputs(when: str) -> list[int]:
    """Channels of the last convolution, of so many, in both networks."""
    return list(collapse()["channels"].query("layer == 'conv3' and when == @when")["without inputs"])


def a_fifth_smaller() -> bool:
    (_, theirs), (_, own) = (datasets.constants("cifar10", normalise) for normalise in ("snfs", "own"))
    return bool(0.15 < 1 - np.mean(np.divide(theirs, own)) < 0.25)


SAID = [
    Said("dense MLP has {} % on CIFAR-10, {} on MNIST and {} on Fashion-MNIST (one seed each): every sparse run of "
         "Table 4 is above it",
         lambda: (*(m.accuracy(dataset=data, **study.DENSE) for data in DATA),
                  all(m.above_dense(data) and m.seeds(dataset=data, **study.DENSE) == 1 for data in DATA))),
    Said("broke after the second topology update, in epoch {}",
         lambda: (collapse()["second"]["epoch"].iloc[0], set(collapse()["second"]["update"]) == {2})),
    Said("({} to {} % eight updates later)",
         lambda: (*m.low_high(collapse()["second"].query("not collapsed and `from` == 'before the update'")[
             "validation %"]), survivors("before the update") == {"random growth", "no rewiring",
                                                                  "a tenth of the learning rate"},
                  survivors("after the update") == {"a tenth of the learning rate"},
                  set(collapse()["second"]["updates"]) == {8})),
    Said("it leaves {} to {} of the {} channels of the last convolution without any input, where {} were before",
         lambda: (*m.low_high(without_inputs("after the update")),
                  collapse()["channels"].query("layer == 'conv3'")["channels"].max(),
                  max(without_inputs("before the update")), np.ptp(without_inputs("before the update")) == 0)),
    Said("On MNIST its run with random growth ends at {} % (the paper: {} ± {})",
         lambda: (m.convnet("random", dataset="mnist"), *printed("random", "mnist"))),
    Said("the same ever since: {} % (the paper: {} ± {} and {} ± {}",
         lambda: (m.convnet("gradient", dataset="mnist"), *printed("gradient", "mnist"), *printed("momentum", "mnist"),
                  m.convnet("momentum", dataset="mnist") == m.convnet("gradient", dataset="mnist"),
                  *as_seed_0_ended())),
    Said("On Fashion-MNIST they break as well, though with momentum growth the paper's never did ({} ± {})",
         lambda: (*printed("momentum", "fashion_mnist"), *as_seed_0_ended())),
    Said("On CIFAR-10 neither rule broke with seed 0: {} and {} % of validation images (the paper: {} ± {} and {} ± "
         "{})",
         lambda: (m.convnet("gradient", "validation"), m.convnet("momentum", "validation"),
                  *printed("gradient", "cifar10"), *printed("momentum", "cifar10"),
                  m.runs("gradient", model="convnet", prune="set")[0].collapsed)),
    Said("needs {} runs in `quick`; in `paper` {}, of which",
         lambda: (len(study.distinct(("table3", "table4", "baselines"), "quick")),
                  m.planned("table3", "table4", "baselines"))),
    Said("## {} ± {}", lambda: (m.printed("random", "cifar100", "convnet").mean,
                                m.printed("random", "cifar100", "convnet").std)),
    Said("four runs near {} per cent, and one at {} per cent", collapsed),
    Said("$c = {}$ and $a = {}$", lambda: collapsed()[::-1]),
    Said("What could moving find in {} epochs", lambda: (study.QUICK_MLP["epochs"],)),
    Said("change by at most {} points, a single run of ours in Tables 3, 4, 7 and 8 by less than {} on average and by "
         "{} at most", lambda: (max(gains()[0]), up(float(np.mean(gains()[1]))), max(gains()[1]))),
    Said("ends at {} % (random growth) and {} % (gradient), but its checkpoints of best validation, from epochs {} and "
         "{}, reach {} and {} %. So the bug costs {} and {} points under one reading, {} and {} under the other",
         lambda: (*(m.accuracy(rule, **m.BLACK, prune="set_legacy") for rule in ("random", "gradient")),
                  best_epoch("random"), best_epoch("gradient"),
                  *(m.accuracy(rule, reading="best validation", **m.BLACK, prune="set_legacy")
                    for rule in ("random", "gradient")),
                  *(m.bug(rule, reading) for reading in ("last", "best validation")
                    for rule in ("random", "gradient")))),
    Said("In Table 8 the MLP on Fashion-MNIST has {} ± {} for gradient → random",
         lambda: (m.printed("gradient>random", "fashion_mnist", table=8).mean,
                  m.printed("gradient>random", "fashion_mnist", table=8).std,
                  [m.printed("gradient>momentum", "fashion_mnist", table=8).mean,
                   m.printed("gradient>momentum", "fashion_mnist", table=8).std]
                  == [m.printed("gradient>random", "fashion_mnist", table=8).mean,
                      m.printed("gradient>random", "fashion_mnist", table=8).std])),
    Said("Table 4's {} ± {} for gradient growth alone", lambda: (m.printed("gradient", "fashion_mnist").mean,
                                                                 m.printed("gradient", "fashion_mnist").std)),
    Said("every one of them is *below* it, by {} to {} points", lambda: m.low_high(losses_of_the_paper())),
    Said("(random growth: {} % on lossless validation images, {} on test images)",
         lambda: (m.accuracy("random", part="validation"), m.accuracy("random"))),
    Said("random growth and seed 0 it has {} and {} %, where the paper reports {} ± {}",
         lambda: (m.accuracy("random", model="convnet", padding="none", seed=0, part="validation"),
                  m.accuracy("random", model="convnet", padding="none", seed=0),
                  m.printed("random", model="convnet").mean, m.printed("random", model="convnet").std)),
    Said("without any, the three rules lose {} points; with flips alone random and gradient growth lose {}",
         lambda: (-np.mean(m.ablated("no augmentation")), -np.mean(m.ablated("flips without crops")))),
    Said("Constants of {.5} gain {} to {} points; SNFS's standard deviations, a fifth smaller than the images', cost "
         "random growth {}, momentum {} and gradient growth {}",
         lambda: (*m.low_high(m.ablated("constants .5 and .5")), *m.costs_of_snfs_constants(), a_fifth_smaller())),
    Said("With SNFS's constants as well the rules lie at most {} points from the paper's ({} seeds each)",
         lambda: (up(max(map(abs, m.with_snfs(m.above_paper)))), *set(m.with_snfs(m.seeds)),
                  max(map(abs, m.with_snfs(m.above_paper))) < max(map(abs, m.each(m.above_paper))))),
    Said("of {} claims that can be asked the constants change {}",
         lambda: (len(m.read_with(CONSTANTS)),
                  sum(reading.changes for reading in m.read_with(CONSTANTS)))),
    Said("random and gradient growth change by {} to {} points (up to {} on validation images)",
         lambda: (*m.low_high(m.options()), max(
             value - black for option in m.UPDATES for value, black in
             zip(m.ablated(option, "validation"), m.ablated("black border", "validation"), strict=False)))),
    Said("the three rules lie {} to {} points above the paper's means, with the black one {} to {} below; on lossless "
         "validation images the two borders differ by {} to {} points",
         lambda: (*m.low_high(m.each(m.above_paper)),
                  *m.low_high(-m.above_paper(rule, **m.BLACK) for rule in m.STRATEGIES),
                  *m.low_high(beside("validation")))),
    Said("our runs lie *above* the paper's means, by {} to {} points",
         lambda: m.low_high(m.above_paper(rule, images) for rule in m.STRATEGIES
                            for images in ("mnist", "fashion_mnist"))),
    Said("with crops and flips ours reach {} % on MNIST and {} to {} % on Fashion-MNIST",
         lambda: (np.mean([m.accuracy(rule, **DIGITS, **CROPPED) for rule in m.STRATEGIES]),
                  *m.low_high(m.accuracy(rule, **FASHION, **CROPPED) for rule in m.STRATEGIES))),
    Said("{} ± {} looks like runs that broke", lambda: (m.printed("gradient", "fashion_mnist").mean,
                                                       m.printed("gradient", "fashion_mnist").std)),
    Said("bring random growth to {} % on MNIST and {} % on Fashion-MNIST: a quarter and a half of the way",
         lambda: (m.accuracy("random", **DIGITS, **NOISY), m.accuracy("random", **FASHION, **NOISY),
                  0.2 < way(DIGITS) < 0.3, 0.45 < way(FASHION) < 0.55)),
    Said("A border of {8} pixels comes close on MNIST ({}) and goes too far on Fashion-MNIST ({})",
         lambda: (m.accuracy("random", **DIGITS, **NOISY, crop_pad=8),
                  m.accuracy("random", **FASHION, **NOISY, crop_pad=8))),
    Said("with {40} epochs all three rules have {} to {} % on MNIST (paper {} to {}), at 90 per cent sparsity {} to {} "
         "(paper {}) and at {80} per cent {} to {} (paper {} to {})",
         lambda: (*short(0.95), *papers(0.95), *short(0.9), np.mean(papers(0.9)), *short(0.8), *papers(0.8))),
    Said("the same runs of random and momentum growth are {} to {} points too low. The paper says {}",
         lambda: (*m.low_high(too_low()), study.runs("table4", "paper")[0].epochs)),
    Said("in every one of {} seeds, in epochs {} to {}",
         lambda: (len(broken(grow="gradient", **HALF)), *m.low_high(broken(grow="gradient", **HALF)))),
    Said("The checkpoints of best validation have {} ± {} %, where the paper has {} ± {}",
         lambda: (m.accuracy("gradient", reading="best validation", **HALF),
                  m.sd("gradient", reading="best validation", **HALF), m.printed("gradient", "fashion_mnist").mean,
                  m.printed("gradient", "fashion_mnist").std)),
    Said("In the {40}-epoch runs momentum growth breaks, too (paper {} ± {})",
         lambda: (m.printed("momentum", "fashion_mnist").mean, m.printed("momentum", "fashion_mnist").std,
                  len(broken(grow="momentum", **FASHION, **SHORT, normalise="half")) == 1)),
]
