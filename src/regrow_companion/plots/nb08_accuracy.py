"""Tables 3, 4, 7 and 8: the paper's accuracies beside ours (Section 5.2, Appendices C and E); one-seed ablations.

A number of ours stands in a cell of the paper only if it was trained with exactly the paper's setting; everything else
gets rows of its own. Networks that nobody has trained here have no rows of ours: one sentence of the caption names
them. The ablations say what the options that the paper leaves open do to the accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from regrow.config import RunConfig
from regrow.record import READINGS, Record
from regrow_companion import paper, study
from regrow_companion.paper import DATASET_NAMES, MODEL_NAMES, Reported
from regrow_companion.style import style_of

RECONSTRUCTED = "†"
NOTHING = "–"
OWN = "ours, not in the paper"
# What a row of ours is called under each reading of a record, and the row of its differences from the paper.
ROWS = {"last": ("ours, last epoch", "last epoch - paper"),
        "best validation": ("ours, best validation", "best validation - paper")}
# A whole table on one CPU core, in hours; docs/fullscale.md says how and where this was measured.
HOURS = {"table3": 2_000, "table4": 1_800, "table7": 6_200, "table8": 2_100}
NOT_HAD = "cifar100"

Cells = dict[str, str]  # data set -> what its column says


def mean_and_std(values: Sequence[float]) -> str:
    """'86.40 ± 0.20', mean and sample standard deviation (ddof 1) as the paper prints them; one value has no spread."""
    if len(values) == 1:
        return f"{values[0]:.2f} (one seed)"
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"


def table(need: str, profile: str, records: Sequence[Record]) -> pd.DataFrame:
    """Rows model x method x number, a column per data set; `need` is 'table3', 'table4', 'table7' or 'table8'.

    For each cell of the paper its number. A method of a network that has runs gets rows of ours too: test accuracies in
    percent under both readings of a record (`record.READINGS`), their differences from the paper, the number of seeds
    and of collapsed ones (test accuracy at chance), and the median where a seed collapsed; – in data sets without runs.
    `untrained` says which networks have none. A record counts for a cell if its config is one of
    `study.runs(need, "paper")` and the paper prints that cell; all others (the quick network, static baselines) follow
    in rows of their own, in the column of their own data set, without a number of the paper. A column says the sparsity
    where it is not the same for all. A switch of strategies reads 'random → gradient'; data sets that the paper's table
    leaves out have no column.
    """
    printed: dict[tuple[str, float, str], dict[str, Reported]] = {}
    for cell in _cells(need):
        printed.setdefault((cell.model, cell.sparsity, cell.method), {})[cell.dataset] = cell
    ours: dict[tuple[str, float, str], dict[str, list[Record]]] = {}
    own: dict[RunConfig, list[Record]] = {}
    grid = set(study.runs(need, "paper"))
    for record in records:
        config = record.config
        row = config.model, config.sparsity, config.method
        if config in grid and config.dataset in printed.get(row, ()):
            ours.setdefault(row, {}).setdefault(config.dataset, []).append(record)
        else:
            own.setdefault(config.but(seed=0), []).append(record)
    used = {cell.dataset for cell in _cells(need)} | {config.dataset for config in own}
    datasets = [name for name in DATASET_NAMES if name in used]

    rows: list[dict[str, str]] = []
    for (model, sparsity, method), papers in printed.items():
        numbers = {"paper": {name: p.number + f" {RECONSTRUCTED}" * p.reconstructed
                             for name, p in papers.items()}}
        numbers |= _numbers(ours.get((model, sparsity, method), {}), papers)
        rows += _rows(MODEL_NAMES[model], method, sparsity, numbers, datasets)
    for config, group in own.items():
        numbers = _numbers({config.dataset: group}, {})
        numbers = {OWN: numbers.pop(ROWS["last"][0])} | numbers
        rows += _rows(network_name(group[0]), config.method, config.sparsity, numbers, datasets)
    frame = pd.DataFrame(rows)
    return frame.drop(columns="sparsity") if frame["sparsity"].nunique() == 1 else frame


def styled(frame: pd.DataFrame, caption: str) -> Styler:
    """The table as HTML for a notebook, with its caption, and no line breaks within a number."""
    words = [column for column in frame.columns if column in ("model", "sparsity", "method", "number")]
    numbers = [column for column in frame.columns if column not in words]
    style = frame.style.hide().set_caption(caption).set_table_attributes('style="font-size: 0.85em"')
    style = style.set_properties(subset=numbers, **{"white-space": "nowrap"})
    return style.set_properties(subset=words, **{"text-align": "left"})


def caption(need: str, profile: str, records: Sequence[Record]) -> str:
    """What a reader of `table(need, profile, records)` has to know, the command that fills it included."""
    parts = [f"{study.NEEDS[need].title}: test accuracy in percent, the paper's (5 seeds) and ours where there is one, "
             f"{' and '.join(READINGS.values())}; mean ± sample standard deviation over seeds."]
    if any(cell.reconstructed for cell in _cells(need)):
        parts.append(f"{RECONSTRUCTED} put back in its place from a part of the scan that is out of order.")
    if profile == "quick":
        parts.append("The last rows are the quick profile's small network on fewer images and for fewer epochs: they "
                     "cannot be compared with any number of the paper.")
    parts += [untrained(need, profile, records), images_missing(need, records)]
    return " ".join(part for part in parts if part)


def untrained(need: str, profile: str, records: Sequence[Record]) -> str:
    """One sentence: which of the table's networks have no run or not all, the command for them, and what it takes.

    "" if every run is there.
    """
    grid = study.runs(need, "paper")
    there = {record.config for record in records}
    done = {MODEL_NAMES[model]: [config in there for config in grid if config.model == model]
            for model in dict.fromkeys(config.model for config in grid)}
    if all(all(runs) for runs in done.values()):
        return ""
    none = [name for name, runs in done.items() if not any(runs)]
    parts = [f"{', '.join(none)}: not trained {'in quick' if profile == 'quick' else 'here'}"] if none else []
    parts += [f"{name}: {sum(runs)} of {len(runs)} runs are there" for name, runs in done.items()
              if any(runs) and not all(runs)]
    missing = sum(runs.count(False) for runs in done.values())
    return (f"{'; '.join(parts)}. `{command(need)}` trains the {missing} of {len(grid)} runs that are missing; the "
            f"whole table takes about {HOURS[need]:,} hours on one CPU core (docs/fullscale.md).")


def images_missing(need: str, records: Sequence[Record]) -> str:
    """A sentence for the data set whose images could not be had where the shipped runs were made; else ""."""
    grid = set(study.runs(need, "paper"))
    trained = {record.config.dataset for record in records if record.config in grid}
    if not trained or NOT_HAD in trained or NOT_HAD not in {config.dataset for config in grid}:
        return ""
    return (f"{DATASET_NAMES[NOT_HAD]}: its images were not to be had where these runs were trained; the same command "
            "trains them where they are.")


def command(need: str) -> str:
    """Trains every run of a table at the paper's scale, or goes on with it."""
    return f"python -m regrow run --profile paper --only {need}"


def _cells(need: str) -> tuple[Reported, ...]:
    return paper.reported(int(need.removeprefix("table")))


def _numbers(ours: Mapping[str, Sequence[Record]], papers: Mapping[str, Reported]) -> dict[str, Cells]:
    """What the rows below the paper's say, by data set; none without runs."""
    numbers: dict[str, Cells] = {}
    differences: dict[str, Cells] = {}
    for reading, (row, difference) in ROWS.items():
        tests = {name: [record.accuracy(reading).test for record in group] for name, group in ours.items()}
        numbers[row] = {name: mean_and_std(values) for name, values in tests.items()}
        differences[difference] = {name: f"{np.mean(values) - papers[name].mean:+.2f}"
                                   for name, values in tests.items() if name in papers}
    collapsed = {name: sum(record.collapsed for record in group) for name, group in ours.items()}
    numbers |= differences
    numbers["seeds"] = {name: str(len(group)) for name, group in ours.items()}
    numbers["collapsed"] = {name: str(count) for name, count in collapsed.items()}
    numbers["median, last epoch"] = {
        name: f"{np.median([record.accuracy().test for record in ours[name]]):.2f}"
        for name, count in collapsed.items() if count}
    return numbers


def _rows(model: str, method: str, sparsity: float, numbers: dict[str, Cells],
          datasets: Sequence[str]) -> list[dict[str, str]]:
    """One row per kind of number that has at least one cell."""
    head = {"model": model, "sparsity": f"{100 * sparsity:.0f} %", "method": style_of(method).label}
    return [head | {"number": number} | {DATASET_NAMES.get(name, name): texts.get(name, NOTHING) for name in datasets}
            for number, texts in numbers.items() if texts]


def network_name(record: Record) -> str:
    """A network that is not one of the paper's by its sizes, 'MLP 784-300-100-10, 30 epochs'; others by their name."""
    config = record.config
    name = MODEL_NAMES.get(config.model, config.model)
    if not config.is_small:
        return name
    shapes = list(record.shapes.values())
    sizes = "-".join(str(size) for size in (shapes[0][1], *(shape[0] for shape in shapes)))
    return f"{name} {sizes}, {config.epochs} epochs"


PLAIN = "as in Table 4"
OPTIONS: dict[str, dict[str, Any]] = {
    "no augmentation": {"augment": "none"},
    "flips without crops": {"augment": "flip"},
    "constants of SNFS's code": study.SNFS,
    "constants .5 and .5": {"normalise": "half"},
    "momentum growth ranks SGD's buffer": {"growth_momentum": "sgd_buffer"},
    "SET pruning with the widespread bug": {"prune": "set_legacy"},
}
BLACK = "black border"
OLDER: dict[str, dict[str, Any]] = {
    "black border, update instead of a step": {"update_order": "instead_of_step"},
    "black border, regrown weights kept": {"regrown_weight": "keep"},
    "black border, momentum of regrown weights kept": {"grown_buffer": "keep"},
    "black border, SET pruning with the bug": {"prune": "set_legacy"},
}
COLUMNS = ("option", "rule", "test", "validation", "change", "test, best validation", "paper", "ours - paper")


def ablation_table(records: Sequence[Record]) -> pd.DataFrame:
    """A row per run of `study.runs("ablations", "paper")` that is there, and per seed-0 run of Table 4 beside it.

    Accuracies in percent after the last epoch, and at the epoch of best validation. `change` is the difference in test
    accuracy from the same rule and seed as in Table 4, or, for older runs, with the black border and nothing else
    changed; one seed has no spread, so a change below about one point means nothing.
    """
    found = {record.config: record for record in records}
    rows: list[dict[str, Any]] = []
    for plain in study.ablated():
        black = plain.but(**study.BLACK)
        rows += _ablation_rows(found, plain, {PLAIN: {}} | OPTIONS | {BLACK: study.BLACK})
        rows += _ablation_rows(found, black, OLDER)
    return pd.DataFrame(rows, columns=list(COLUMNS)).round(2)


def _ablation_rows(found: Mapping[RunConfig, Record], base: RunConfig,
          options: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of `base` with each of these options, as far as they are there; changes are from `base` itself."""
    printed = {cell.method: cell.mean for cell in paper.reported(4) if (cell.model, cell.dataset) == ("mlp", "cifar10")}
    rows, usual = [], found.get(base)
    for name, changes in options.items():
        record = found.get(base.but(**changes))
        if record is None:
            continue
        last, theirs = record.accuracy("last"), printed[base.method]
        change = last.test - usual.accuracy("last").test if usual is not None and changes else float("nan")
        best = record.accuracy("best validation").test
        values = (name, base.method, last.test, last.validation, change, best, theirs, last.test - theirs)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def ablation_caption(frame: pd.DataFrame) -> str:
    """What a reader of the table has to know."""
    planned, there = len(study.runs("ablations", "paper")), int((frame["option"] != PLAIN).sum())
    return (f"Ablations of ours: the MLP on CIFAR-10 at 95 % sparsity with one option changed, seed 0 alone; {there} "
            f"of {planned} runs are there. Percent after the last epoch, and at the epoch of best validation accuracy; "
            "change: from the same rule and seed as in Table 4, of the last four options from the black border alone.")
