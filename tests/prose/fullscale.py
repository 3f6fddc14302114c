"""docs/fullscale.md."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np

from prose import measures as m
from prose.said import Said, about, down, up
from prose.speed import minutes
from regrow_companion import study
from regrow_companion.plots.nb08_accuracy import HOURS

PAGE = "docs/fullscale.md"
PLAN = "measured once by the `plan` above it, for a machine of its time"
EXCUSED = {
    "measured in 135 seconds": PLAN,
    "| 1 | 12,953 h | 100 % | 12,953 h |": PLAN,
    "| 4 | 3,238 h | 100 % | 3,238 h |": PLAN,
    "| 16 | 810 h | 100 % | 810 h |": PLAN,
    "| 64 | 202 h | 100 % | 202 h |": PLAN,
    "began with 65,354 and, another day, with 45,025 hours": PLAN,
    "comes out for 1, 4, 16 and 64 of them": "the workers of the table",
    "(52 h here)": PLAN,
    "75 | 840 |": PLAN,
    "12,000 images of Fashion-MNIST": "the images that ship with the package",
}


@cache
def queue() -> Counter[int]:
    """How many runs of the MLP's queue belong to each row of the table."""
    grey, constants = set(study.runs("grey", "paper")), {"snfs", "half"}
    needs = {need: set(study.runs(need, "paper")) for need in ("fig13", "set_legacy", "table4", "table7", "table8",
                                                               "sec5.3")}
    rows: Counter[int] = Counter()
    for run in study.runs("mlp", "paper"):
        cell = run in needs["table7"] or run in needs["table8"] or run in needs["fig13"]
        if run in grey:
            row = 3
        elif run in needs["table4"]:
            row = 1 if run.dataset == "cifar10" else 4
        elif run.is_dense:
            row = 11 if run.seed else 8
        elif not run.is_dynamic:
            row = 2
        elif run in needs["sec5.3"]:
            row = 7
        elif run.normalise in constants:
            row = 9
        elif cell and run.seed:
            row = 10
        else:
            row = 6 if run in needs["table7"] else 5
        rows[row] += 1
    return rows


def row(number: int, what: str) -> Said:
    return Said(f"| {{{number}}} | {what} | {{}} |", lambda: (queue()[number],))


def table(name: str, need: str) -> Said:
    return Said(f"| {name} | {{}} | {{}} |", lambda: (m.planned(need), HOURS[need]))


def sizes(topology: bool) -> list[float]:
    """Bytes of the shipped records with and without wiring."""
    keys = {record.key for record in m.of_need("topology")}
    return [path.stat().st_size for path in (m.SHIPPED / "records").glob("*.npz") if (path.stem in keys) == topology]


def sweep(column: str, workers: int) -> float:
    rows = m.bench("sweep")
    return float(rows[rows["workers"] == workers][column].iloc[0])


def quick(kind: str) -> int:
    """Runs of the quick profile."""
    names = {"rbm": lambda run: run.is_rbm, "convnet": lambda run: run.model == "convnet"}
    runs = study.distinct(study.NEEDS, "quick")
    if kind in names:
        return sum(names[kind](run) for run in runs)
    return sum(not any(test(run) for test in names.values()) for run in runs)


SAID = [
    Said("trains {} runs of a 784-300-100-10 network, two or three seeds each, {} small Boltzmann machines and {} tiny "
         "ConvNets", lambda: (quick("mlp"), quick("rbm"), quick("convnet"))),
    Said("| {} runs; see [the costs]", lambda: (m.planned(),)),
    Said("{} minutes for all {} |",
         lambda: (m.bench("notebooks").set_index("profile")["seconds"]["replay"] / 60,
                  len(m.notebooks()))),
    Said("`mlp` lists {} runs", lambda: (m.planned("mlp"), sum(queue().values()) == m.planned("mlp"))),
    row(1, "Table 4 on CIFAR-10 (Sections 5.3 and 5.4, all their figures): three growth rules, five seeds"),
    row(2, "the same network never rewired, five seeds"),
    row(3, "other readings of the paper on grey images, see notebook 08"),
    row(4, "Table 4 on MNIST and Fashion-MNIST, five seeds"),
    row(5, "one seed of every cell of Figure 13 (SET and random pruning; SET with the widespread bug) and Table 8"),
    row(6, "one seed of every cell of Table 7, 90 and 80 %"),
    row(7, "Section 5.3's shorter interval, five seeds"),
    row(8, "dense networks, one seed on each data set"),
    row(9, "other constants of normalisation on CIFAR-10: those of SNFS's code, five seeds; {.5} and {.5}, one seed"),
    row(10, "more seeds: Figure 13 (three), Table 8 (three on CIFAR-10, two on Fashion-MNIST), Table 7 (CIFAR-10)"),
    row(11, "dense networks: three seeds on CIFAR-10, two on each grey set"),
    Said("the queue of the ConvNet, {} runs", lambda: (m.planned("convnet"),)),
    Said("from nothing, {} runs, by step times", lambda: (m.planned(),)),
    table("Table 3", "table3"), table("Table 4", "table4"), table("Table 7", "table7"), table("Table 8", "table8"),
    Said("| Figure 13 | {} besides Table 4's {} |",
         lambda: (m.planned("fig13", "table4") - m.planned("table4"),
                  m.planned("fig13") + m.planned("table4") - m.planned("fig13", "table4"))),
    Said("finishes {} times as many", lambda: (sweep("times_one_worker", 2),)),
    Said("{} runs of {} steps an hour instead of {}, an efficiency of {} %",
         lambda: (sweep("runs_per_hour", 2), 85 * study.QUICK_MLP["epochs"], sweep("runs_per_hour", 1),
                  100 * sweep("efficiency", 2))),
    Said("A dense MLP takes some {} minutes",
         lambda: (about(m.runs(**study.DENSE)[0].provenance["seconds"] / 60, 10),)),
    Said("takes {} to {} minutes on one core of a quiet AMD EPYC, {} to {} with momentum growth",
         lambda: (*m.low_high(minutes("random", "gradient")), down(min(minutes("momentum"))),
                  up(max(minutes("momentum"))))),
    Said("({} MB each), the second for all others ({} kB each)",
         lambda: (up(max(sizes(topology=True)) / 1e6), np.median(sizes(topology=False)) / 1e3)),
]
