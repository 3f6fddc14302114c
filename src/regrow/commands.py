"""What each command of the command line does. Every function takes the parsed arguments and returns the exit code."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from regrow import study
from regrow.config import CHOICES, PRESETS, RunConfig, nearest
from regrow.errors import ConfigError, RegrowError
from regrow.session import REPOSITORY, default_store, figure_folder
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
    rows = []
    for name in CHOICES["model"]:
        if name.startswith("rbm"):
            continue
        config = RunConfig(model=name)
        outline = networks.outline(config, arguments.classes, image_shape(config))
        everything, maskable = networks.parameter_counts(outline)
        shapes = {layer: tuple(weight.shape) for layer, weight in networks.maskable(outline).items()}
        rows.append({"model": name, "parameters": everything, "maskable": maskable, "connections": {
            init: connection_counts(shapes, arguments.density, init) for init in CHOICES["init"]}})
    if arguments.json:
        _print_json(rows)
        return 0
    for row in rows:
        print(f"\n{row['model']}: {row['parameters']:,} parameters, {row['maskable']:,} maskable weights, "
              f"connections at density {arguments.density:g}:")
        table = row["connections"]
        layers = [(layer, *(f"{table[init][layer]:,}" for init in table)) for layer in table["erk"]]
        _print_table(("layer", *table), [*layers, ("total", *(f"{sum(c.values()):,}" for c in table.values()))])
    return 0


def train(arguments: Namespace) -> int:
    """Train one run (or find its record) and print its key, accuracies, seconds and connections."""
    import torch

    from regrow.cost import total_steps
    from regrow.progress import Progress
    from regrow.record import to_json

    config = RunConfig.from_strings(arguments.words)
    store = Store(arguments.store or default_store("quick"))
    torch.set_num_threads(1)  # the same config gives the same bits; parallelism goes across runs
    with Progress(total_steps(config) if not config.model.startswith("rbm") else 1, f"{config.model} {config.method}") as bar:
        record = store.ensure(config, device=arguments.device, data_root=arguments.data, progress=bar.set)
    if arguments.json:
        print(to_json(record))
        return 0
    print(f"key          {record.key}")
    print(f"record       {store.record_path(record.key)}")
    print(f"validation   {record.val_accuracy[-1]:.2f} %")
    print(f"test         {record.test_accuracy[-1]:.2f} %" + ("  (collapsed to chance)" if record.collapsed else ""))
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
    lines.append(f"  preset=NAME".ljust(32) + f"{', '.join(PRESETS)}: a set of values; later keys override it")
    return "\n".join(lines)


def plan(arguments: Namespace) -> int:
    """List the runs behind every figure and table, grouped; a run that several need counts once in the total."""
    from regrow.cost import multiply_adds, total_steps

    needs, store = _needs(arguments), _store(arguments)
    rows, seen = [], set()
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
                 [(r["need"], r["runs"], r["new"], r["done"], f"{r['steps']:,}", f"{2 * r['multiply_adds'] / 1e15:,.1f}",
                   r["title"]) for r in rows])
    print(f"\n{len(every)} distinct runs, {done} done. 'not above': runs that no earlier line lists; steps and PFLOP "
          "(masked-dense arithmetic) count those only.")
    if any(config.model.startswith("rbm") for config in every):
        print("The RBM runs are planned; this version does not train them yet, so their PFLOP are not counted.")
    if arguments.keys:
        for config in every:
            print(config.key, store.status(config), " ".join(_changed(config)))
    return 0


def run(arguments: Namespace) -> int:
    """Train what is missing; 1 if a run failed."""
    from regrow import sweep

    if arguments.jobs < 0:
        raise ConfigError(f"--jobs must be 1 or more, not {arguments.jobs}.")
    every = study.distinct(_needs(arguments), _trained(arguments.profile))
    configs = [config for config in every if not config.model.startswith("rbm")]
    if len(configs) < len(every):
        print(f"{len(every) - len(configs)} RBM runs are left out: this version does not train them yet.", file=sys.stderr)
    store = _store(arguments)
    result = sweep.run(configs, store, jobs=arguments.jobs, device=arguments.device, data_root=arguments.data)
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


def notebooks(arguments: Namespace) -> int:
    """Train, execute, check, index: what run_all.sh does."""
    from regrow import figures, notebook_run, pages, runner

    entries = runner.read_index(REPOSITORY / "notebooks" / "index.yml")
    if arguments.list:
        print(runner.list_table(entries))
        return 0
    profile = arguments.profile
    _check_profile(profile)
    chosen = runner.select(entries, arguments.only, arguments.start)
    store, out = _store(arguments), figure_folder(profile)
    if arguments.data is not None:
        os.environ["REGROW_DATA"] = str(arguments.data)
    options = notebook_run.Options(profile, store.root, out, build=REPOSITORY / "build", jobs=arguments.jobs or 2,
                                   keep_going=arguments.keep_going, force=arguments.force)
    shipped = REPOSITORY / "results" / "records"

    def needed(entry: runner.Entry) -> list[RunConfig]:
        return [config for config in study.distinct(entry.needs, profile) if not config.model.startswith("rbm")]

    def inputs(entry: runner.Entry) -> str:
        return " ".join(config.key for config in needed(entry)
                        if store.has(config) or (shipped / f"{config.key}.npz").is_file())

    def check(entry: runner.Entry) -> list[str]:
        return [problem for name in entry.figures for problem in figures.check_figure(out, name)] + [
            problem for name in entry.tables for problem in figures.check_table(out, name)]

    if arguments.dry_run:
        print(runner.dry_run(chosen, options, inputs=inputs))
        return 0
    if profile != "replay":
        from regrow import sweep

        configs = list(dict.fromkeys(config for entry in chosen for config in needed(entry)))
        print(f"1 of 3: {len(configs)} runs, {sum(not store.has(c) for c in configs)} still to train", flush=True)
        result = sweep.run(configs, store, jobs=arguments.jobs, device=arguments.device, data_root=arguments.data)
        for key, error in result.failed.items():
            print(f"regrow: run {key} failed: {error}", file=sys.stderr)
        if result.failed and not arguments.keep_going:
            return 1
    print(f"2 of 3: {len(chosen)} notebooks", flush=True)
    code = runner.run_all(chosen, options, inputs=inputs, check=check)
    if code == 130:
        return code
    print("3 of 3: pages", flush=True)
    print(f"Open {pages.write(profile, entries, options)}")
    return code


def report(arguments: Namespace) -> int:
    """Write the index of a profile from what is on disk."""
    from regrow import notebook_run, pages, runner

    _check_profile(arguments.profile)
    entries = runner.read_index(REPOSITORY / "notebooks" / "index.yml")
    options = notebook_run.Options(arguments.profile, default_store(arguments.profile), figure_folder(arguments.profile),
                                   build=REPOSITORY / "build")
    print(f"Open {pages.write(arguments.profile, entries, options)}")
    return 0


def _check_profile(profile: str) -> None:
    if profile not in study.PROFILES:
        raise ConfigError(f"There is no profile {profile!r}{nearest(profile, study.PROFILES)}.")


def _trained(profile: str) -> str:
    if profile == "replay":
        raise RegrowError("The replay profile draws shipped records and trains nothing: use --profile paper or quick.")
    return profile


def _needs(arguments: Namespace) -> list[str]:
    """The ids of --only, or all of them."""
    _check_profile(arguments.profile)
    if arguments.only is None:
        return list(study.NEEDS)
    needs = [need.strip() for need in arguments.only.split(",") if need.strip()]
    for need in needs:
        study.runs(need, arguments.profile)  # refuses an unknown id
    return needs


def _store(arguments: Namespace) -> Store:
    return Store(arguments.store or default_store("quick" if arguments.profile == "quick" else "paper"))


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


