"""From nothing to figures: train what is missing, execute the notebooks, check what they drew, write the pages."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from regrow import derived, figures, report, runner, study, sweep
from regrow.config import RunConfig
from regrow.notebook_index import Entry
from regrow.session import REPOSITORY, SHIPPED, default_store, figure_folder
from regrow.store import Store

INDEX = REPOSITORY / "notebooks" / "index.yml"


def notebooks(arguments: Namespace) -> int:
    """What run_all.sh does: 0 fine, 1 a run or a notebook failed, 3 a figure check failed, 130 interrupted."""
    study.check_profile(arguments.profile)
    entries = runner.read_index(INDEX)
    if arguments.list:
        described = [{**asdict(entry), "path": entry.file} for entry in entries]
        print(json.dumps(described, indent=2) if arguments.json else runner.list_table(entries))
        return 0
    profile = arguments.profile
    chosen = runner.select(entries, arguments.only, arguments.start)
    store = Store(arguments.store or default_store(profile))
    if arguments.data is not None:
        os.environ["REGROW_DATA"] = str(arguments.data)
    options = runner.Options(profile, store.root, figure_folder(profile), build=REPOSITORY / "build",
                             jobs=arguments.jobs or sweep.default_jobs(), keep_going=arguments.keep_going,
                             force=arguments.force)

    def inputs(entry: Entry) -> str:
        return " ".join(config.key for config in _runs([entry], profile) if _recorded(store, config))

    def check(entry: Entry) -> list[str]:
        return _problems(entry, options.out)

    if arguments.dry_run:
        print(runner.dry_run(chosen, options, inputs=inputs, check=check))
        return 0
    if profile != "replay":
        configs = _runs(chosen, profile)
        missing = sum(not store.has(config) for config in configs)
        print(f"1 of 3: training, {missing} of {len(configs)} runs are missing", flush=True)
        result = sweep.run(configs, store, jobs=arguments.jobs, device=arguments.device, data_root=arguments.data)
        for key, error in result.failed.items():
            print(f"regrow: run {key} failed: {error}", file=sys.stderr)
        if result.failed and not arguments.keep_going:
            return 1
        derived.ensure((need for entry in chosen for need in entry.needs), profile, store, jobs=options.jobs)
    print(f"2 of 3: executing {len(chosen)} notebooks", flush=True)
    code = runner.run_all(chosen, options, inputs=inputs, check=check)
    if code == 130:
        return code
    print("3 of 3: writing pages", flush=True)
    print(f"Open {write_pages(entries, options)}")
    return code


def write_report(arguments: Namespace) -> int:
    """Write the index of a profile from what is on disk."""
    profile = arguments.profile
    study.check_profile(profile)
    options = runner.Options(profile, default_store(profile), figure_folder(profile), build=REPOSITORY / "build")
    print(f"Open {write_pages(runner.read_index(INDEX), options)}")
    return 0


def write_pages(entries: Sequence[Entry], options: runner.Options) -> Path:
    """Export the executed notebooks to HTML (again only if they changed) and write the index; returns its path."""
    statuses = {}
    for entry in entries:
        executed = options.folder / "notebooks" / entry.file
        failed = executed.with_name(f"{executed.stem}.failed.ipynb")
        if failed.is_file() or executed.is_file():
            notebook = failed if failed.is_file() else executed
            html = notebook.with_suffix(".html")
            if not html.is_file() or html.stat().st_mtime < notebook.stat().st_mtime:
                html = report.executed_html(notebook)
            statuses[entry.id] = {"status": "failed" if failed.is_file() else "ok", "html": html, "ipynb": notebook,
                                  "log": options.log(entry)}
    described: list[dict[str, Any]] = [{**asdict(entry), "file": entry.file} for entry in entries]
    return report.write_index(options.profile, options.folder, described, statuses, products=options.out)


def _runs(entries: Sequence[Entry], profile: str) -> list[RunConfig]:
    """Every run that some notebooks read, once."""
    return list(study.distinct([need for entry in entries for need in entry.needs], profile))


def _recorded(store: Store, config: RunConfig) -> bool:
    return store.has(config) or (SHIPPED / "records" / f"{config.key}.npz").is_file()


def _problems(entry: Entry, out: Path) -> list[str]:
    return [problem for stem in entry.figures for problem in figures.check_figure(out, stem)] + [
        problem for stem in entry.tables for problem in figures.check_table(out, stem)]
