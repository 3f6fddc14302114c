"""Pages with few numbers of their own: the small ones in docs, the indexes of bench and results, the changelog."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

import yaml
from torture import kills, victims
from torture.command import KINDS

from bench import sparsify as bench_sparsify
from bench import tails as bench_tails
from prose import measures as m
from prose import nb18
from prose.said import Page, Said, about
from regrow import cost
from regrow.config import RunConfig
from regrow_companion import study, widgets
from regrow_companion.section8 import nb18_mechanism
from regrow_companion.section8.cases import Performed

ADDRESS, TRIED = "an address or a port", "tried once; the page says when and on what"
SETTING, HISTORY = "a setting of the benchmark", "what the first version had"


def bench_minutes(*names: str) -> float:
    """How long the saved benchmarks took, or some of them."""
    found = {path.stem: json.loads(path.read_text())["seconds"]
             for path in (m.REPOSITORY / "bench" / "results").glob("*.json")}
    return sum(found[name] for name in names or found) / 60


def times_counted(part: str) -> int:
    """How often `bench store` counts a part of a run of 300 epochs."""
    return int(m.bench("store").set_index("part").loc[part, "times_a_run"])


def pairs(n: int) -> int:
    return n * (n - 1) // 2


def updates() -> int:
    return len(m.topology("random")[0].steps) - 1


def small_machines() -> list[int]:
    """Steps of each small Boltzmann machine of Appendix D."""
    return [cost.total_steps(run) for run in study.runs("fig16", "paper")]


def planned_trials(kinds: Iterable[str]) -> list[int]:
    return [KINDS[kind].planned for kind in kinds]


def trials(kind: str, name: str) -> Said:
    """A row of `torture`'s table: what was planned, all of it tried and nothing lost."""
    return Said(f"{name} {{}} {{}} {{0}} ", lambda: 2 * planned_trials([kind]))


def beyond_section_8() -> list[str]:
    return [entry.id for entry in m.notebooks() if entry.section == "8"]


def watched() -> dict[str, int]:
    """Watched runs in results/beyond, by growth rule."""
    return Counter(run.config.grow for run in nb18.seen().runs)


def same_end(run: Performed) -> bool:
    """Whether a watched run has the accuracies of the shipped record of the same key, in the digits it keeps."""
    record = next(record for record in m.seeds_of(run.config) if record.config == run.config)
    return all(run.provenance[f"{part} %"] == round(float(series[-1]), 2)
               for part, series in (("validation", record.val_accuracy), ("test", record.test_accuracy)))


RELIABILITY = Page("docs/reliability.md", (
    Said("*Kind `contention`: {} processes, {} configs", lambda: (kills.PROCESSES, len(victims.CONTENDED))),
    *(trials(kind, name) for kind, name in (
        ("contention", "contention"), ("collapse", "collapsed runs"), ("damage", "damaged files"),
        ("input", "bad input"), ("kills", "kills of sweeps"), ("commands", "kills of commands"))),
    Said("kills of notebooks {} {5} {0}", lambda: planned_trials(["notebooks"])),
    Said("models {} {} {0} {11} files {} {} {0} {17} rules {} {} {0}",
         lambda: planned_trials(["models", "models", "files", "files", "rules", "rules"])),
    Said("contention: processes {}, records {}, records asked for {}, trainings {}",
         lambda: [KINDS["contention"].planned * each for each in (
             kills.PROCESSES, len(victims.CONTENDED), kills.PROCESSES * len(victims.CONTENDED),
             len(victims.CONTENDED))]),
))

CLUSTER = Page("docs/cluster.md", (
    Said("Tables 3, 4, 7 and 8 and Figure 13 need about {} runs of {300} epochs",
         lambda: (about(m.planned("table3", "table4", "table7", "table8", "fig13"), 100),)),
    Said("with nine of the notebook's {} runs in the store already: {} small Boltzmann machines of {} steps were "
         "missing",
         lambda: (m.planned("fig15", "fig16"), len(small_machines()), small_machines()[0],
                  len(set(small_machines())) == 1)),
), {
    "whose address is 192.0.2.10": ADDRESS,
    "(6379, 10001, and": ADDRESS,
    "all of Ray's ports on 127.0.0.1": ADDRESS,
    "Ray 2.60, Python 3.11": "versions",
    "After 21 minutes": TRIED,
    "Ray waits 15 seconds": "of Ray, whose source says it",
})

COMPARISON = Page("docs/comparison.md", (
    Said("a layer of {} weights with {} connections, pruned by magnitude {} times",
         lambda: (m.places("fc2"), m.places("fc2") * (1 - RunConfig.sparsity), updates())),
))

SPARSIFY = Page("docs/sparsify.md", (
    Said("half of the connections", lambda: (RunConfig.prune_rate == 1 / 2,)),
), {
    "units are exactly 0": "a definition",
    "Every 100 steps": "of the code above it",
    "in its place: 1 - sparsity": "a definition",
    "is set to 0": "a definition",
})

NOTEBOOKS = Page("docs/notebooks.md", (
    Said("in its order; {} to {} go beyond it, {} is for networks",
         lambda: (int(beyond_section_8()[0]), int(beyond_section_8()[-1]), int(m.notebooks()[-1].id))),
    Said("Teachers find {} widgets", lambda: (len(widgets.ALL),)),
    Said("the verdicts on {} claims", lambda: (m.claimed(),)),
), {"*Read* counts 200 words or 25 lines of code a minute": "a rule of ours, by which test_notebooks counts"})

BENCH = Page("bench/README.md", (
    Said("all of them: {} minutes on a quiet machine, most of it the notebooks",
         lambda: (about(bench_minutes(), 5), bench_minutes("notebooks") > bench_minutes() / 2)),
    Said("batch {}, at {} densities: batch (gather",
         lambda: (RunConfig.batch_size, m.bench("engines")["density"].nunique())),
    Said("at {} and {} also torch CSR, scipy.sparse, and the dense engine",
         lambda: sorted(m.bench("engines").query("engine in ('torch CSR', 'scipy')")["density"].unique())[::-1]),
    Said("the first topology update, p = {}, per", lambda: (RunConfig.prune_rate,)),
    Said("the {} steps before it", lambda: (RunConfig.update_interval,)),
    Said("{} training steps of each loop", lambda: m.bench("end_to_end")["steps"].unique()),
    Said("batches of {} alone", lambda: (RunConfig.batch_size,)),
    Said("one run and the {} of Section 5.3 in one batch", lambda: (m.bench("batched")["runs"].max(),)),
    Said("as it takes them, for {} networks", lambda: (m.bench("memory_format")["network"].nunique(),)),
    Said("at {} images of 3 x 32 x 32", lambda: (bench_sparsify.SIZES["full"]["batch"],)),
    Said("by hand; {} steps", lambda: (bench_sparsify.INTERVAL,)),
    Said("as often as {300} epochs need it | the time of {} training steps", lambda: (times_counted("training step"),)),
    Said("{} runs of the quick profile's network ({} steps each)",
         lambda: (m.bench("sweep")["runs"].max(), cost.total_steps(study.runs("fig05", "quick")[0]))),
    Said("the largest of {} million scores", lambda: m.bench("selection")["positions"].unique() / 1e6),
    Said("the {} x {} matrix of Kendall's tau", lambda: (updates(), updates())),
    Said("extrapolated from 100 of its {} pairs", lambda: (pairs(updates()),)),
    Said("a p-value of {} synthetic sets", lambda: (bench_tails.SIZES["full"]["sets"],)),
    Said("extrapolated from {} sets", lambda: (bench_tails.SIZES["full"]["some"],)),
    Said("says what share of {} steps that is", lambda: (RunConfig.update_interval,)),
    Said("momentum growth the last {} steps before an update. `gradient_percent` is their share of the same {} steps",
         lambda: (m.bench("update").set_index("growth").loc["momentum", "gradient_steps"],
                  RunConfig.update_interval)),
), {
    "ResNet-56 and VGG-16, batch 128, at several": SETTING,
    "images of 3 x 32 x 32": SETTING,
    "extrapolated from 100 of": SETTING,
    "well above 0, mean": "a definition",
    "ratio crosses 1,": "a definition",
    "takes 5 to 15 seconds of a processor for each precision": TRIED,
})

RESULTS = Page("results/README.md", (), {
    "as JPEG for 8,983 of 10,000 of the pictures these runs were tested on (quality 75)":
        "counted once in the data of these runs, whose checksum the records have",
})

BEYOND = Page("results/beyond/README.md", (
    Said("{} seeds of each growth rule, with the configurations of the shipped records",
         lambda: (max(watched().values()),
                  set(watched()) == set(m.STRATEGIES) and len(set(watched().values())) == 1)),
    Said("Those of random and gradient growth end with these records' accuracies to the last digit",
         lambda: (all(same_end(run) for run in nb18.seen().runs if run.config.grow != "momentum"),)),
    Said("and {} tables", lambda: (len(nb18_mechanism.TABLES),)),
), {"for notebooks 18 and 19": "their names"})

CHANGES = Page("CHANGELOG.md", (
    Said("one picture, {} findings", lambda: (len(yaml.safe_load(
        (m.REPOSITORY / "src/regrow_companion/assets/site/findings.yml").read_text())),)),
    Said("The ledger judges {} claims instead of 51", lambda: (m.claimed(),)),
), {
    "## 0.2.0": "a version",
    "## 0.1.0": "a version",
    "notebooks 01 and 03 show": "their names",
    "claims instead of 51": HISTORY,
    "four engines, 25 notebooks": HISTORY,
    "a ledger of 51 claims, 173 full-scale runs": HISTORY,
})

COMPLETE = (CLUSTER, SPARSIFY, NOTEBOOKS, BENCH, RESULTS, BEYOND, CHANGES,
            *(Page(f"docs/{name}.md") for name in ("data", "layout", "open", "rules", "runs")))
IN_PART = (RELIABILITY, COMPARISON)
