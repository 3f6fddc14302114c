"""From nothing to figures: train what is missing, execute the notebooks, check what they drew, write the site."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from regrow.config import RunConfig
from regrow.errors import RegrowError
from regrow.store import Store
from regrow_companion import claims, figures, site, study, tail_tables
from regrow_companion.runner import many
from regrow_companion.runner.index import Entry
from regrow_companion.site import growth
from regrow_companion.study import MAP, REPOSITORY, SHIPPED, default_store, figure_folder
from regrow_companion.sweep import drive

INDEX = REPOSITORY / MAP
LARGEST_SITE = 60  # MB


def read_entries() -> tuple[Entry, ...]:
    """The notebooks of the map, and after them the gallery of widgets, which belongs to no section of the paper."""
    gallery = INDEX.with_name("widgets.ipynb")
    extra = (Entry("widgets", gallery, "Widgets for teachers", "every widget", minutes={"quick": 1, "paper": 1}),)
    return (*many.read_index(INDEX), *(extra if gallery.is_file() else ()))


def notebooks(arguments: Namespace) -> int:
    """What run_all.sh does: 0 fine, 1 a run or a notebook failed, 3 a figure check failed, 130 interrupted."""
    study.check_profile(arguments.profile)
    entries = read_entries()
    chosen = many.select(entries, arguments.only, arguments.start)
    if arguments.list:
        described = [{**asdict(entry), "path": entry.file} for entry in chosen]
        print(json.dumps(described, indent=2) if arguments.json else many.list_table(chosen))
        return 0
    profile = arguments.profile
    store = Store(arguments.store or default_store(profile))
    if arguments.data is not None:
        os.environ["REGROW_DATA"] = str(arguments.data)
    options = many.Options(profile, store.root, figure_folder(profile), build=REPOSITORY / "build",
                             jobs=arguments.jobs or drive.default_jobs(), keep_going=arguments.keep_going,
                             force=arguments.force)

    def inputs(entry: Entry) -> str:
        return " ".join(config.key for config in _runs([entry], profile) if _recorded(store, config))

    def check(entry: Entry) -> list[str]:
        return _problems(entry, options.out)

    if arguments.dry_run:
        print(many.dry_run(chosen, options, inputs=inputs, check=check))
        return 0
    if profile != "replay":
        configs = _runs(chosen, profile)
        missing = sum(not store.has(config) for config in configs)
        print(f"1 of 3: training, {missing} of {len(configs)} runs are missing", flush=True)
        result = drive.run(configs, store, jobs=arguments.jobs, device=arguments.device, engine=arguments.engine,
                           address=arguments.address, data_root=arguments.data, retry_failed=arguments.retry_failed)
        for key, error in result.failed.items():
            print(f"regrow: run {key} failed: {error}", file=sys.stderr)
        if result.skipped:
            print(f"regrow: {len(result.skipped)} runs failed earlier and were left out: --retry-failed tries them "
                  "again", file=sys.stderr)
        if (result.failed or result.skipped) and not arguments.keep_going:
            return 1
        tail_tables.ensure((need for entry in chosen for need in entry.needs), profile, store, jobs=options.jobs)
    print(f"2 of 3: executing {len(chosen)} notebooks", flush=True)
    code = many.run_all(chosen, options, inputs=inputs, check=check)
    if code == 130:
        return code
    print("3 of 3: writing the site", flush=True)
    write_site(entries, options)
    return code


def write_report(arguments: Namespace) -> int:
    """Write the site of a profile from what is on disk."""
    profile = arguments.profile
    study.check_profile(profile)
    build = arguments.build or REPOSITORY / "build"
    drawn = figure_folder(profile) if arguments.build is None or profile == "paper" else build / profile / "figures"
    options = many.Options(profile, default_store(profile), drawn, build=build)
    write_site(read_entries(), options)
    return 0


def write_site(entries: Sequence[Entry], options: many.Options) -> None:
    """Write build/<profile>/site and say where it is, how large, and what is amiss with it."""
    judged, why = judge()
    material = site.Material(options.profile, tuple(entries), options.folder / "notebooks", options.out,
                             REPOSITORY / "figures", judged, why, growth.moving_picture(growth.shipped()))
    written = site.write(material, options.folder / "site")
    size = written.size / 1e6
    for name in written.undescribed:
        print(f"regrow: pictures without an alt text (the key alt of a cell's metadata): {name}.", file=sys.stderr)
    if size > LARGEST_SITE:
        print(f"regrow: the site has {size:.0f} MB; {LARGEST_SITE} were meant to be enough.", file=sys.stderr)
    print(f"{written.files} files, {size:.1f} MB. Open {written.index}")


def judge() -> tuple[list[claims.Entry], str]:
    """The ledger of claims from full-scale records, whatever the profile; empty with the reason if they are damaged."""
    try:
        return claims.evaluate(claims.Evidence(Store(default_store("paper"), read_also=(SHIPPED,)))), ""
    except RegrowError as error:
        return [], str(error)


def _runs(entries: Sequence[Entry], profile: str) -> list[RunConfig]:
    """Every run that some notebooks read, once."""
    return list(study.distinct([need for entry in entries for need in entry.needs], profile))


def _recorded(store: Store, config: RunConfig) -> bool:
    return store.has(config) or (SHIPPED / "records" / f"{config.key}.npz").is_file()


def _problems(entry: Entry, out: Path) -> list[str]:
    return [problem for stem in entry.figures for problem in figures.check_figure(out, stem)] + [
        problem for stem in entry.tables for problem in figures.check_table(out, stem)]
