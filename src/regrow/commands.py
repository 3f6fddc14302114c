"""What each command of the command line does. Every function takes the parsed arguments and returns the exit code."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from regrow import study
from regrow.choices import CHOICES, PRESETS
from regrow.config import RunConfig
from regrow.errors import ConfigError, RegrowError
from regrow.session import SHIPPED, default_store
from regrow.store import Store


def doctor(arguments: Namespace) -> int:
    """Print [OK] and [FAIL] lines with remedies; 2 if anything fails."""
    from regrow import doctor as checks_of

    checks = checks_of.checks(arguments.store or default_store("quick"), arguments.data)
    if arguments.json:
        _print_json([{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in checks])
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
        _print_json(rows)
        return 0
    for row in rows:
        print(f"\n{row['model']}, {row['classes']} classes: {row['parameters']:,} parameters, "
              f"{row['maskable']:,} maskable weights, connections at density {arguments.density:g}:")
        table = row["connections"]
        layers = [(layer, *(f"{table[init][layer]:,}" for init in table)) for layer in table["erk"]]
        _print_table(("layer", *table), [*layers, ("total", *(f"{sum(c.values()):,}" for c in table.values()))])
    return 0


def train(arguments: Namespace) -> int:
    """Train one run (or find its record) and print its key, accuracies or measures, seconds and connections."""
    from regrow.cost import total_steps
    from regrow.progress import Progress
    from regrow.record import to_json
    from regrow.training import check_trainable

    config = RunConfig.from_strings(arguments.words)
    store = Store(arguments.store or default_store("quick"))
    check_trainable(config, arguments.device)
    with Progress(total_steps(config), f"{config.model} {config.method}") as bar:
        record = store.ensure(config, device=arguments.device, engine=arguments.engine, data_root=arguments.data,
                              progress=bar.set)
    if arguments.json:
        print(to_json(record))
        return 0
    print(f"key          {record.key}")
    print(f"record       {store.record_path(record.key)}")
    if config.is_rbm:
        for name, series in record.measures.items():
            print(f"measure      {name} {series[-1]:.4f}")
    else:
        print(f"validation   {record.val_accuracy[-1]:.2f} %")
        note = "  (collapsed to chance)" if record.collapsed else ""
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


def plan(arguments: Namespace) -> int:
    """List the runs behind every figure and table, grouped; a run that several need counts once in the total."""
    from regrow.cost import multiply_adds, total_steps

    needs, store = _needs(arguments), _store(arguments)
    rows: list[dict[str, Any]] = []
    seen: set[RunConfig] = set()
    for need in needs:
        configs = study.runs(need, arguments.profile)
        new = [config for config in configs if config not in seen]
        seen |= set(configs)
        rows.append({"need": need, "title": study.NEEDS[need].title, "runs": len(configs), "new": len(new),
                     "done": sum(store.has(config) for config in configs),
                     "steps": sum(total_steps(c) for c in new), "multiply_adds": sum(map(multiply_adds, new)),
                     "keys": [config.key for config in configs]})
    every = study.distinct(needs, arguments.profile)
    done = sum(store.has(config) for config in every)
    if arguments.json:
        _print_json({"profile": arguments.profile, "distinct": len(every), "done": done, "needs": rows,
                     "configs": {config.key: config.to_dict() for config in every}})
        return 0
    _print_table(("id", "runs", "not above", "done", "steps", "PFLOP", "what"),
                 [(r["need"], r["runs"], r["new"], r["done"], f"{r['steps']:,}",
                   f"{2 * r['multiply_adds'] / 1e15:,.1f}", r["title"]) for r in rows])
    print(f"\n{len(every)} distinct runs, {done} done. 'not above': runs that no earlier line lists; steps and PFLOP "
          "(masked-dense arithmetic) count those only.")
    if arguments.keys:
        for config in every:
            print(config.key, store.status(config), " ".join(_changed(config)))
    return 0


def run(arguments: Namespace) -> int:
    """Train what is missing; 1 if a run failed."""
    from regrow import derived, sweep

    if arguments.jobs < 0:
        raise ConfigError(f"--jobs must be 1 or more, not {arguments.jobs}.")
    configs = study.distinct(_needs(arguments), _trained(arguments.profile))
    store = _store(arguments)
    result = sweep.run(configs, store, jobs=arguments.jobs, device=arguments.device, engine=arguments.engine,
                       data_root=arguments.data)
    derived.ensure(_needs(arguments), arguments.profile, store, jobs=arguments.jobs or sweep.default_jobs())
    if arguments.json:
        _print_json({"trained": result.trained, "present": result.present, "failed": result.failed})
    else:
        print(f"{result.trained} runs trained, {result.present} were there, {len(result.failed)} failed "
              f"({store.root}).")
        for key, error in result.failed.items():
            print(f"  {key}: {error}")
    return 1 if result.failed else 0


def status(arguments: Namespace) -> int:
    """Counts of done, running, failed and waiting runs per figure and table."""
    needs, store = _needs(arguments), _store(arguments)
    words = ("done", "running", "failed", "waiting")

    def counts(configs: Sequence[RunConfig]) -> dict[str, int]:
        found = [store.status(config) for config in configs]
        return {word: found.count(word) for word in words}

    rows = {need: counts(study.runs(need, arguments.profile)) for need in needs}
    total = counts(study.distinct(needs, arguments.profile))
    if arguments.json:
        _print_json({"profile": arguments.profile, "store": str(store.root), "needs": rows, "total": total})
    else:
        table = [(need, *row.values()) for need, row in (rows | {"distinct": total}).items()]
        _print_table(("id", *words), table)
    return 0


def ship(arguments: Namespace) -> int:
    """Compact copies of the paper profile's finished runs, and results/runs.csv with what each of them is."""
    from regrow import compact, derived, shipping

    arguments.profile = "paper"
    store = _store(arguments)
    copied = 0
    for config in study.distinct(_needs(arguments), "paper"):
        record = store.get(config)
        target = SHIPPED / "records" / f"{config.key}.npz"
        if record is not None and not (arguments.accuracy_only and target.is_file()):
            compact.save(record, target, topology=not arguments.accuracy_only)
            copied += 1
    shipped = [record for config in study.runs("fig07", "paper") if (record := store.get(config)) is not None]
    tables = derived.ship(shipped, store, SHIPPED)
    print(f"{copied} records and {tables} tables of statistics copied; {shipping.write_list(SHIPPED)} lists all "
          "that are there.")
    return 0


def tails(arguments: Namespace) -> int:
    """Print what the tail of a file's whole numbers is like; draw it if asked."""
    from regrow import tails_report

    if arguments.xmin != "auto" and not arguments.xmin.isdecimal():
        raise ConfigError(f"--xmin must be auto or a whole number of 1 or more, not {arguments.xmin!r}.")
    numbers = tails_report.read_numbers(arguments.file)
    xmin = None if arguments.xmin == "auto" else int(arguments.xmin)
    report = tails_report.report(numbers, xmin, arguments.xmax)
    if arguments.json:
        _print_json(report)
    else:
        print(tails_report.text(report))
    if arguments.picture:
        path = tails_report.picture(numbers, report, arguments.picture, arguments.file.name)
        print(f"regrow: drew {path} and its svg, csv and json.", file=sys.stderr)
    return 0


def claims(arguments: Namespace) -> int:
    """Print the ledger of the paper's claims. Never from quick runs."""
    from regrow import claims as ledger

    store = Store(arguments.store or default_store("paper"), read_also=(SHIPPED,))
    entries = ledger.evaluate(ledger.Evidence(store))
    if arguments.json:
        _print_json(ledger.to_dicts(entries))
    else:
        print(ledger.text(entries, details=arguments.details))
    return 0


def _trained(profile: str) -> str:
    if profile == "replay":
        raise RegrowError("The replay profile draws shipped records and trains nothing: use --profile paper or quick.")
    return profile


def _needs(arguments: Namespace) -> list[str]:
    """The ids of --only, or all of them."""
    study.check_profile(arguments.profile)
    if arguments.only is None:
        return list(study.NEEDS)
    needs = [need.strip() for need in arguments.only.split(",") if need.strip()]
    for need in needs:
        study.runs(need, arguments.profile)  # refuses an unknown id
    return needs


def _store(arguments: Namespace) -> Store:
    return Store(arguments.store or default_store(arguments.profile))


def _changed(config: RunConfig) -> list[str]:
    """The keys of a config that differ from the defaults, as typed on the command line."""
    default = RunConfig().to_dict()
    return [f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
            for name, value in config.to_dict().items() if value != default[name]]


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def _print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for row in table:
        print("  ".join(cell.ljust(w) if i in (0, len(head) - 1) else cell.rjust(w)
                        for i, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip())


