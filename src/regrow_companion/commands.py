"""What each command of the command line does. Every function takes the parsed arguments and returns the exit code."""

from __future__ import annotations

import math
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from regrow import compact, files
from regrow.config import CHOICES, PRESETS, RunConfig
from regrow.errors import ConfigError, RegrowError
from regrow.record import Record
from regrow.store import Store
from regrow_companion import study
from regrow_companion.console import print_json, print_table
from regrow_companion.study import SHIPPED, default_store, needs_of, store_of
from regrow_companion.sweep import heartbeat


def doctor(arguments: Namespace) -> int:
    """Print [OK] and [FAIL] lines with remedies; 2 if anything fails."""
    from regrow_companion import doctor as checks_of

    checks = checks_of.checks(arguments.store or default_store("quick"), arguments.data)
    if arguments.json:
        print_json([{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in checks])
    else:
        print(checks_of.report(checks))
    return 0 if all(check.ok for check in checks) else 2


def models(arguments: Namespace) -> int:
    """Counts of every network: all parameters, maskable weights, connections per layer under each initialisation."""
    from regrow import models as networks
    from regrow.cost import image_shape
    from regrow.sparsity import connection_counts

    if not 0 < arguments.density <= 1:
        raise ConfigError(f"--density must be above 0 and at most 1, not {arguments.density}.")
    if arguments.classes < 2:
        raise ConfigError(f"--classes must be 2 or more, not {arguments.classes}.")
    rows: list[dict[str, Any]] = []
    listed = [(name, arguments.classes) for name in CHOICES["model"] if not name.startswith("rbm")]
    if arguments.classes != 1000:
        listed.append(("resnet50", 1000))  # the network whose weights the paper counts
    for name, classes in listed:
        config = RunConfig(model=name)
        outline = networks.outline(config, classes, image_shape(config))
        everything, maskable = networks.parameter_counts(outline)
        shapes = {layer: tuple(weight.shape) for layer, weight in networks.maskable(outline).items()}
        rows.append({"model": name, "classes": classes, "parameters": everything, "maskable": maskable, "connections": {
            init: connection_counts(shapes, arguments.density, init) for init in CHOICES["init"]}})
    if arguments.json:
        print_json(rows)
        return 0
    for row in rows:
        print(f"\n{row['model']}, {row['classes']} classes: {row['parameters']:,} parameters, "
              f"{row['maskable']:,} maskable weights, connections at density {arguments.density:g}:")
        table = row["connections"]
        layers = [(layer, *(f"{table[init][layer]:,}" for init in table)) for layer in table["erk"]]
        print_table(("layer", *table), [*layers, ("total", *(f"{sum(c.values()):,}" for c in table.values()))])
    return 0


def train(arguments: Namespace) -> int:
    """Train one run (or find its record) and print its key, accuracies or measures, seconds and connections."""
    from regrow.cost import total_steps
    from regrow.record import to_json
    from regrow.train import check_trainable
    from regrow_companion.console import Progress

    config = RunConfig.from_strings(arguments.words)
    store = Store(arguments.store or default_store("quick"))
    check_trainable(config, arguments.device)
    with Progress(total_steps(config), f"{config.model} {config.method}") as bar, heartbeat.of_task(
            store.root, [config], arguments.device, arguments.engine, bar.set) as beat:
        record = store.ensure(config, device=arguments.device, engine=arguments.engine, data_root=arguments.data,
                              progress=beat)
    if arguments.json:
        print(to_json(record))
        return 0
    print(f"key          {record.key}")
    print(f"record       {store.record_path(record.key)}")
    if config.is_rbm:
        for name, values in record.measures.items():
            print(f"measure      {name} {values[-1]:.4f}")
    else:
        print(f"validation   {record.val_accuracy[-1]:.2f} %")
        note = ("  (the loss became infinite or no number)" if record.diverged else
                "  (collapsed to chance)" if record.collapsed else "")
        print(f"test         {record.test_accuracy[-1]:.2f} %{note}")
    print(f"seconds      {record.provenance['seconds']:.1f}")
    for layer, count in record.connections.items():
        print(f"connections  {layer} {count:,}")
    return 0


def train_help() -> str:
    """Keys and names for `train --help`."""
    from dataclasses import fields

    lines = ["keys (defaults are the paper's setting):"]
    for f in fields(RunConfig):
        default = ",".join(map(str, f.default)) if isinstance(f.default, tuple) else f.default
        lines.append(f"  {f.name}={default}".ljust(32) + f.metadata["help"])
        lines += [f"      {name.ljust(20)}{text}" for name, text in CHOICES.get(f.name, {}).items()]
    lines.append("  preset=NAME".ljust(32) + f"{', '.join(PRESETS)}: a set of values; later keys override it")
    return "\n".join(lines)


def run(arguments: Namespace) -> int:
    """Train what is missing; 1 if a run failed."""
    from regrow_companion import sweep, tail_tables

    if arguments.jobs < 0:
        raise ConfigError(f"--jobs must be 1 or more, not {arguments.jobs}.")
    configs = study.distinct(needs_of(arguments), _trained(arguments.profile))
    store = store_of(arguments)
    result = sweep.run(configs, store, jobs=arguments.jobs, device=arguments.device, engine=arguments.engine,
                       address=arguments.address, data_root=arguments.data, retry_failed=arguments.retry_failed,
                       in_order=study.in_order(needs_of(arguments)))
    tail_tables.ensure(needs_of(arguments), arguments.profile, store, jobs=arguments.jobs or sweep.default_jobs())
    if arguments.json:
        print_json({"trained": result.trained, "present": result.present, "failed": result.failed,
                    "skipped": result.skipped})
    else:
        print(f"{result.trained} runs trained, {result.present} were there, {len(result.failed)} failed "
              f"({store.root}).")
        for key, error in result.failed.items():
            print(f"  {key}: {error}")
        if result.skipped:
            print(f"{len(result.skipped)} runs failed earlier and were left out: --retry-failed tries them again, "
                  "'python -m regrow status' names their errors.")
    return 1 if result.failed or result.skipped else 0


def ship(arguments: Namespace) -> int:
    """Compact copies of the paper profile's finished runs, and results/runs.csv with what each of them is."""
    from regrow import compact
    from regrow_companion import tail_tables
    from regrow_companion.section8 import nb21_schedules as series
    from regrow_companion.section8 import nb24_channels as channels

    arguments.profile = "paper"
    store = store_of(arguments)
    copied = 0
    needs = needs_of(arguments)
    as_tables = {need: kind.ship for kind in (series, channels) for need in kind.NEEDS}
    short = sum(as_tables[need](need, store, SHIPPED) for need in needs if need in as_tables)
    for config in study.distinct([need for need in needs if need not in as_tables], "paper"):
        record = store.get(config)
        target = SHIPPED / "records" / f"{config.key}.npz"
        if record is not None and not (arguments.accuracy_only and target.is_file()):
            compact.save(record, target, topology=not arguments.accuracy_only)
            copied += 1
    shipped = [record for config in study.runs("fig07", "paper") if (record := store.get(config)) is not None]
    tables = tail_tables.ship(shipped, store, SHIPPED)
    print(f"{copied} records, {tables} tables of statistics and the tables of {short} short runs copied; "
          f"{write_list(SHIPPED)} lists all records that are there.")
    return 0


def tails(arguments: Namespace) -> int:
    """Print what the tail of a file's whole numbers is like; draw it if asked."""
    from regrow_companion import tails_report

    if arguments.xmin != "auto" and not arguments.xmin.isdecimal():
        raise ConfigError(f"--xmin must be auto or a whole number of 1 or more, not {arguments.xmin!r}.")
    numbers = tails_report.read_numbers(arguments.file)
    xmin = None if arguments.xmin == "auto" else int(arguments.xmin)
    report = tails_report.report(numbers, xmin, arguments.xmax)
    if arguments.json:
        print_json(report)
    else:
        print(tails_report.text(report))
    if arguments.picture:
        path = tails_report.picture(numbers, report, arguments.picture, arguments.file.name)
        print(f"regrow: drew {path} and its svg, csv and json.", file=sys.stderr)
    return 0


def claims(arguments: Namespace) -> int:
    """Print the ledger of the paper's claims. Never from quick runs."""
    from regrow_companion import claims as ledger

    store = Store(arguments.store or default_store("paper"), read_also=(SHIPPED,))
    entries = ledger.evaluate(ledger.Evidence(store))
    if arguments.json:
        print_json(ledger.to_dicts(entries))
    else:
        print(ledger.text(entries, details=arguments.details))
    return 0


def _trained(profile: str) -> str:
    if profile == "replay":
        raise RegrowError("The replay profile draws shipped records and trains nothing: use --profile paper or quick.")
    return profile


# Always there, to find a run by; `method` is what figures call it.
IDENTITY = ("dataset", "model", "method", "prune", "sparsity", "epochs", "seed")
ORDER = ["dataset", "model", "sparsity", "prune", "method", "seed"]


def write_list(folder: Path) -> Path:
    """Write folder/runs.csv from folder/records and return its path."""
    records = [compact.load(path) for path in sorted((folder / "records").glob("*.npz"))]
    path = folder / "runs.csv"
    files.write(path, table(records).to_csv(index=False, lineterminator="\n").encode())
    return path


def table(records: Sequence[Record]) -> pd.DataFrame:
    """A row per record, sorted: its key, IDENTITY, every key of RunConfig in which any two records differ, its results.

    So two rows that agree in all keys of RunConfig are one and the same run. Accuracies are in percent, empty for
    Boltzmann machines; epochs count from 1.
    """
    keys = varied([record.config for record in records])
    rows = pd.DataFrame([_row(record, keys) for record in records])
    if rows.empty:
        return rows
    rows["best validation epoch"] = rows["best validation epoch"].astype("Int64")  # whole numbers beside empty cells
    return rows.sort_values([*ORDER, *keys], kind="stable")


def varied(configs: Sequence[RunConfig]) -> list[str]:
    """The keys in which any two of the configs differ and that are not in IDENTITY anyway, in RunConfig's order."""
    return [f.name for f in fields(RunConfig)
            if f.name not in IDENTITY and len({getattr(config, f.name) for config in configs}) > 1]


def _row(record: Record, keys: Sequence[str]) -> dict[str, Any]:
    config, made = record.config, record.provenance
    last, best = record.accuracy("last"), record.accuracy("best validation")
    return {"key": record.key, **{name: getattr(config, name) for name in IDENTITY},
            **{name: _text(getattr(config, name)) for name in keys},
            "validation %": _percent(last.validation), "test %": _percent(last.test),
            "best validation epoch": best.epoch or None, "test % at best validation": _percent(best.test),
            "diverged": record.diverged, "collapsed": record.collapsed, "updates recorded": len(record.steps) - 1,
            "engine": made["engine"], "seconds": made["seconds"], "hardware": made["hardware"],
            "commit": made["commit"], "data sha256": made["data_sha256"][:16]}


def _text(value: Any) -> Any:
    """Tuples as they are typed on the command line."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def _percent(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 2)


def torture(arguments: Namespace) -> int:
    """Run what lies among the tests of a clone: kinds of trouble, and what was lost. 0 if nothing was."""
    tests = study.REPOSITORY / "tests"
    if not (tests / "torture").is_dir():
        raise RegrowError("Torture is one of the tests, which come with a clone of the repository and not with an "
                          "installed package: run the command in a clone.")
    sys.path.insert(0, str(tests))
    return import_module("torture.command").torture(arguments)
