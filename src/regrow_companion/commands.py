"""What the short commands of the command line do. Every function takes the parsed arguments and returns the exit code.

What a command alone needs is imported in it, so that the others, and --help, start without torch and pandas.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import fields
from importlib import import_module
from typing import Any

from regrow.config import CHOICES, PRESETS, RunConfig
from regrow.errors import ConfigError, RegrowError
from regrow.record import to_json
from regrow.store import Store
from regrow_companion import study
from regrow_companion.console import Progress, print_json, print_table
from regrow_companion.study import SHIPPED, default_store, needs_of, store_of
from regrow_companion.sweep import heartbeat


def check_machine(arguments: Namespace) -> int:
    """Print [OK] and [FAIL] lines with remedies; 2 if anything fails."""
    from regrow_companion import doctor as checks_of  # numba and others, to see whether they import

    checks = checks_of.checks(arguments.store or default_store("quick"), arguments.data)
    if arguments.json:
        print_json([{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in checks])
    else:
        print(checks_of.report(checks))
    return 0 if all(check.ok for check in checks) else 2


def models(arguments: Namespace) -> int:
    """Counts of every network: all parameters, maskable weights, connections per layer under each initialisation."""
    from regrow import models as networks  # torch
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
    from regrow.cost import total_steps  # torch
    from regrow.train import check_trainable

    config = RunConfig.from_strings(arguments.words)
    store = Store(arguments.store or default_store("quick"))
    check_trainable(config, arguments.device)
    with Progress(total_steps(config), f"{config.model} {config.method}") as bar, heartbeat.of_task(
            store.root, [config], arguments.device, arguments.engine, bar.step) as beat:
        record = store.ensure(config, device=arguments.device, engine=arguments.engine, data_root=arguments.data,
                              progress=beat)
    if arguments.json:
        print(to_json(record))
        return 0
    print(f"key          {record.key}")
    print(f"record       {store.path_for(config, record.provenance.get('data_sha256'))}")
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

    lines = ["keys (defaults are the paper's setting):"]
    for f in fields(RunConfig):
        default = ",".join(map(str, f.default)) if isinstance(f.default, tuple) else f.default
        lines.append(f"  {f.name}={default}".ljust(32) + f.metadata["help"])
        lines += [f"      {name.ljust(20)}{text}" for name, text in CHOICES.get(f.name, {}).items()]
    lines.append("  preset=NAME".ljust(32) + f"{', '.join(PRESETS)}: a set of values; later keys override it")
    return "\n".join(lines)


def run(arguments: Namespace) -> int:
    """Train what is missing; 1 if a run failed."""
    from regrow_companion import tail_tables  # torch and pandas
    from regrow_companion.sweep import drive

    if arguments.jobs < 0:
        raise ConfigError(f"--jobs must be 1 or more, not {arguments.jobs}.")
    configs = study.distinct(needs_of(arguments), _trained(arguments.profile))
    store = store_of(arguments)
    result = drive.run(configs, store, jobs=arguments.jobs, device=arguments.device, engine=arguments.engine,
                       address=arguments.address, data_root=arguments.data, retry_failed=arguments.retry_failed,
                       in_order=study.in_order(needs_of(arguments)))
    tail_tables.ensure(needs_of(arguments), arguments.profile, store, jobs=arguments.jobs or drive.default_jobs())
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


def tails(arguments: Namespace) -> int:
    """Print what the tail of a file's whole numbers is like; draw it if asked."""
    from regrow_companion import number_files, tails_report  # numba and pandas

    if arguments.xmin != "auto" and not (
            arguments.xmin.isascii() and arguments.xmin.isdigit() and len(arguments.xmin) < 20):
        raise ConfigError(f"--xmin must be auto or a whole number of 1 or more, not {arguments.xmin!r}.")
    if arguments.picture:
        tails_report.check_picture(arguments.picture, arguments.file)
    numbers = number_files.read_numbers(arguments.file, arguments.column, arguments.counts)
    xmin = None if arguments.xmin == "auto" else int(arguments.xmin)
    report = tails_report.report(numbers, xmin, arguments.xmax, n_sets=arguments.sets)
    if arguments.json:
        print_json(report)
    else:
        print(tails_report.text(report))
    if arguments.picture:
        path = tails_report.picture(numbers, report, arguments.picture, arguments.file.name)
        print(f"regrow: drew {path} and its svg, csv and json.", file=sys.stderr)
    return 0


def judge(arguments: Namespace) -> int:
    """Print the ledger of the paper's claims. Never from quick runs."""
    from regrow_companion import claims as ledger  # scipy and pandas

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


def torture(arguments: Namespace) -> int:
    """Run what lies among the tests of a clone: kinds of trouble, and what was lost. 0 if nothing was."""
    tests = study.REPOSITORY / "tests"
    if not (tests / "torture").is_dir():
        raise RegrowError("Torture is one of the tests, which come with a clone of the repository and not with an "
                          "installed package: run the command in a clone.")
    sys.path.insert(0, str(tests))
    return import_module("torture.command").torture(arguments)
