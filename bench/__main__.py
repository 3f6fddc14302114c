"""`python -m bench [NAME] [--json] [--save]`, from the root of the repository."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from importlib import import_module

import torch

from bench import BENCHMARKS
from bench.table import Table, made_on
from regrow.config import nearest
from regrow.errors import RegrowError


def parser() -> argparse.ArgumentParser:
    names = "\n".join(f"  {name:15}{about}" for name, about in BENCHMARKS.items())
    made = argparse.ArgumentParser(prog="python -m bench", description="Speed and scaling, one thread.",
                                   formatter_class=argparse.RawDescriptionHelpFormatter,
                                   epilog=f"benchmarks:\n{names}\n  {'plot':15}bench/results/engines.csv as a picture")
    made.add_argument("name", nargs="?", metavar="NAME", help="one benchmark, or plot (default: all benchmarks)")
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument("--save", action="store_true", help="write bench/results/NAME.csv and .json")
    made.add_argument("--size", choices=("full", "tiny"), default="full",
                      help="tiny takes seconds and shows only that everything works")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for and return the exit code: 0, or 2 after one sentence."""
    arguments = parser().parse_args(argv)
    try:
        return _plot() if arguments.name == "plot" else _run(arguments)
    except RegrowError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


def _run(arguments: argparse.Namespace) -> int:
    if arguments.name is not None and arguments.name not in BENCHMARKS:
        raise RegrowError(f"There is no benchmark {arguments.name!r}{nearest(arguments.name, [*BENCHMARKS, 'plot'])}.")
    if arguments.save and arguments.size != "full":
        raise RegrowError("Only full measurements are kept: leave --size tiny or --save out.")
    torch.set_num_threads(1)
    results = []
    made = made_on()
    if not arguments.json:
        print(f"{made['hardware']}, {made['threads']} thread, load before {made['load_before']}; "
              + ", ".join(f"{name} {version}" for name, version in made["versions"].items() if version) + "\n")
    for name in [arguments.name] if arguments.name else BENCHMARKS:
        made, began = made_on(), time.perf_counter()
        table: Table = import_module(f"bench.{name}").run(arguments.size)
        made["seconds"] = round(time.perf_counter() - began, 1)
        results.append(table.to_dict() | made)
        if not arguments.json:
            print(table.text(), f"({made['seconds']:g} s)\n", sep="", flush=True)
        if arguments.save:
            print(f"bench: wrote {table.save(made)}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(results, indent=2, ensure_ascii=False))
    return 0


def _plot() -> int:
    from bench.plot import plot

    print(f"bench: wrote {plot()}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
