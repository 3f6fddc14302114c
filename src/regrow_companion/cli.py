"""`python -m regrow COMMAND`: one thin layer over the package. A user's mistake is one sentence and exit code 2.

`COMMANDS` has every command with its options; the function that acts is imported when its command is given.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from regrow import __version__, files
from regrow.config import ENGINES, RunConfig, nearest
from regrow.errors import ConfigError, RegrowError
from regrow_companion import commands, study

EPILOG = """exit codes: 0 fine, 1 something failed, 2 usage or environment, 3 a figure check failed, 130 interrupted"""
SELFTEST = """[OK] / [FAIL] / [SKIP] name, seconds, value (limit) -> remedy: a line for every check
exit codes: 0 nothing failed, 1 a check failed, 2 there is no such device (nothing is written then)
In a clone, pytest -m cuda makes tests of the same checks, times left out."""
Option = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Command:
    """`act` is module:function in this package; the function takes the parsed arguments and returns the exit code."""

    name: str
    help: str
    act: str
    options: tuple[Option, ...]
    epilog: Callable[[], str] | None = None  # of its help, line by line as it is


class _Once(argparse.Action):
    """An option that may not be given twice, since one of the two would be lost."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
                 option_string: str | None = None) -> None:
        if getattr(namespace, self.dest) != self.default and getattr(namespace, self.dest) != values:
            parser.error(f"{option_string} is given twice, and not the same")
        setattr(namespace, self.dest, values)


def option(flag: str, help: str, **how: Any) -> Option:
    return flag, {"help": help, **({"action": _Once} if flag.startswith("-") else {}), **how}


def switch(flag: str, help: str, **how: Any) -> Option:
    return flag, {"action": "store_true", "help": help, **how}


def folder(text: str) -> Path:
    if not text:  # as from a shell variable that is not set; it would mean the current folder
        raise argparse.ArgumentTypeError("the name of the folder is empty")
    path = place(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file, so a folder there cannot be written or read; name another")
    return path


def place(text: str) -> Path:
    """A path as typed."""
    try:
        return files.place(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from None


_ENGINES = [f"{name}: {what}" for name, what in ENGINES.items()]
JSON = switch("--json", "print JSON")
STORE = option("--store", "folder of records (build/PROFILE/store)", type=folder, metavar="DIR")
DATA = option("--data", "data root (default $REGROW_DATA or ~/.cache/regrow/data)", type=folder, metavar="DIR")
DEVICE = option("--device", "cpu or cuda[:N] (default cpu)", default="cpu")
ENGINE = option("--engine", "; ".join(_ENGINES), default="auto")
JOBS = option("--jobs", "processes at once (default: cores, or one per GPU)", type=int, default=0, metavar="N")
NEED = option("--only", "figures or tables: table4,fig12", metavar="IDS")
PROFILE = option("--profile", "quick (default), paper or replay", default="quick", metavar="NAME")
PROFILE_PAPER = option("--profile", "paper (default) or quick", default="paper", metavar="NAME")
HAVE_SHIPPED = switch("--shipped", "count what results/ holds as done: to go on with the full-scale runs elsewhere")
SWEEP = (option("--engine", "; ".join([*_ENGINES, "ray: auto, on a Ray cluster (docs/cluster.md)"]), default="auto"),
         option("--address", "of the Ray cluster: auto, HOST:PORT or ray://HOST:PORT (default: a new one on this "
                "machine)", default="", metavar="ADDRESS"),
         JOBS, switch("--retry-failed", "try runs again that failed in an earlier sweep"), JSON)

COMMANDS = (
    Command("doctor", "check python, packages, device, data, disk and store", "commands:check_machine",
            (STORE, DATA, JSON)),
    Command("selftest", "try this machine's GPU, or its processor, for at most five minutes and say what works: "
            "agreement with the processor, waiting, resuming, a sweep in trouble, times", "selftest.command:selftest", (
        option("--device", "cpu or cuda[:N] (default: cuda if there is one, else cpu, where checks that need a GPU are "
               "skipped)", default=""),
        switch("--quick", "small cases alone: no sweep and no times"),
        option("--out", "keep versions, checks and times as JSON, which plan --hardware FILE reads too", type=place,
               metavar="FILE")),
        lambda: SELFTEST),
    Command("models", "parameters, maskable weights and connections per layer of every network", "commands:models", (
        option("--density", "1 - sparsity (default 0.05)", type=float, default=0.05),
        option("--classes", "output classes (default 10)", type=int, default=10), JSON)),
    Command("train", "train one run and keep its record", "commands:train", (
        option("words", "for example: grow=random hidden=300,100 epochs=5", nargs="*", metavar="KEY=VALUE"),
        STORE, DATA, DEVICE, ENGINE, JSON),
        commands.train_help),
    Command("plan", "list every run that a profile's figures and tables need, and what is left of them costs",
            "sweep.plan:print_plan", (
        PROFILE_PAPER, NEED, STORE, HAVE_SHIPPED, JOBS, JSON, switch("--keys", "also list every run, a line each"),
        option("--hardware", "cpu (default) or cuda[:N], measured here in under a minute; or what --save-times, or "
               "selftest --out, wrote on another machine", default="cpu", metavar="DEVICE|FILE"),
        switch("--no-measure", "count runs and arithmetic only, at once"),
        option("--save-times", "keep the measured step times as JSON", type=place, metavar="FILE"),
        option("--workers", "also simulate the schedule on so many cores or GPUs: 1,4,16", metavar="N,N"))),
    Command("run", "train what a profile's figures and tables lack; resumes", "commands:run",
            (PROFILE, NEED, STORE, HAVE_SHIPPED, DATA, DEVICE, *SWEEP)),
    Command("status", "done, running, failed and waiting runs with rates and time left, from the store alone",
            "sweep.status:print_status", (
        PROFILE, NEED, STORE, HAVE_SHIPPED, JSON,
        option("--watch", "again every so many seconds, until all is done", type=float, metavar="SECONDS"))),
    Command("notebooks", "train what is missing, execute the notebooks, check figures, write the site",
            "regenerate:notebooks", (
        PROFILE, STORE, DATA, DEVICE, *SWEEP,
        option("--only", "notebooks, figures or tables: 05,fig12,table4", metavar="IDS"),
        option("--from", "this notebook and all after it", dest="start", metavar="ID"),
        switch("--keep-going", "go on after a failed notebook"), switch("--force", "run fresh notebooks too"),
        switch("--dry-run", "say what would run"), switch("--list", "list the notebooks"))),
    Command("ship", "write compact copies of finished full-scale records to results/", "shipping:ship", (
        NEED, STORE, switch("--accuracy-only", "leave the wiring out: a few kilobytes a run"))),
    Command("report", "write the site, build/PROFILE/site, from what is there", "regenerate:write_report", (
        PROFILE, option("--build", "folder of executed notebooks and figures, by profile (default build)", type=place,
                        metavar="DIR"))),
    Command("claims", "every testable statement of the paper, with its verdict from full-scale records",
            "commands:judge", (
        switch("--details", "with the effect and interval behind every verdict"), STORE, JSON)),
    Command("tails", "fit a power law to the tail of whole numbers, test it, compare it with other laws",
            "commands:tails", (
        option("file", "text file of whole numbers, one a line or all in one row; .gz, .bz2 and .xz are unpacked; what "
               "follows # is left out, and so are lines that begin with %% or //", type=place, metavar="FILE"),
        option("--column", "which column of a table: its number from 1, or its name in the first line",
               metavar="N|NAME"),
        switch("--counts", "a table of values and counts: values in --column (default: the first), counts in the next, "
               "or in the other of two"),
        option("--xmin", "where the tail begins (default: auto, where data and fit are nearest)", default="auto",
               metavar="N|auto"),
        option("--xmax", "the largest value possible (default: no end)", type=int, metavar="N"),
        option("--sets", "synthetic sets behind p (default: 2,500, fewer for more than some ten thousand values)",
               type=int, metavar="N"),
        option("--picture", "also draw it: PATH.svg .png .csv .json", type=place, metavar="PATH"), JSON)),
    Command("beyond", "watch training runs for a question of Section 8 and write the tables of its notebook",
            "section8.command:beyond", (
        option("name", "mechanism: who gains and loses connections, who is active; layers: connections move between "
               "layers, neurons are added; tickets: pruned ones; noise: what another batch would grow; collapse: where "
               "ConvNets break, and on what that depends", metavar="NAME"),
        option("--runs", "only the first N cases: one seed of each, then the next", type=int, metavar="N"),
        option("--out", "folder of tables (default: STORE/beyond/tables, or results/beyond in profile paper)",
               type=place, metavar="DIR"),
        PROFILE, STORE, DATA)),
    Command("torture", "kill, damage, starve and mislead regrow for a while and count what was lost: nothing",
            "commands:torture", (
        option("--minutes", "how long, at most (default 10: 200 kills, 300 damaged files, 300 mistakes)", type=float,
               default=10.0, metavar="M"),
        option("--seed", "other moments and places (default 0)", type=int, default=0, metavar="N"),
        option("--only", "for example kills,damage (default: every kind)", metavar="KINDS"), JSON)),
)


class _Parser(argparse.ArgumentParser):
    """One sentence instead of a usage dump."""

    def error(self, message: str) -> NoReturn:
        if wrong := re.match(r"argument COMMAND: invalid choice: '(.*?)'", message):
            message = f"There is no command {wrong[1]!r}{nearest(wrong[1], [command.name for command in COMMANDS])}"
        print(f"regrow: {message}. Try '{self.prog} --help'.", file=sys.stderr)
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    top = _Parser(prog="python -m regrow", description="How sparse neural networks grow: run, resume, draw.",
                  epilog=EPILOG)
    top.add_argument("--version", action="version", version=f"regrow {__version__}")
    sub = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for command in COMMANDS:
        made = sub.add_parser(command.name, help=command.help, description=command.help)
        if command.epilog is not None:
            made.epilog, made.formatter_class = command.epilog(), argparse.RawDescriptionHelpFormatter
        made.set_defaults(act=command.act)
        for flag, how in command.options:
            made.add_argument(flag, **how)
    return top


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; KEY=VALUE words may stand between options. What is unknown is one sentence and exit code 2."""
    top = parser()
    arguments, rest = top.parse_known_args(argv)
    if hasattr(arguments, "words"):
        arguments.words += [word for word in rest if not word.startswith("-")]
        rest = [word for word in rest if word.startswith("-")]
    if rest:
        top.error(_unknown(arguments.command, next((word for word in rest if word.startswith("-")), rest[0]),
                           sys.argv[1:] if argv is None else argv))
    return arguments


def _unknown(name: str, word: str, argv: Sequence[str]) -> str:
    """A word that a command does not know, as a sentence without its full stop."""
    flag, _, value = word.partition("=")
    key = flag.lstrip("-").replace("-", "_")
    value = value or next(iter(argv[argv.index(word) + 1:]), "...")
    flags = [flag for command in COMMANDS if command.name == name for flag, _ in command.options if flag[0] == "-"]
    if word.startswith("-") and key in RunConfig.__dataclass_fields__:
        if name == "train":
            return f"Keys of a run are written without dashes: {key}={value}, not {word}"
        return (f"{name} has no option {flag}; a profile says what its runs are, and 'train {key}={value}' "
                "trains one")
    having = [command.name for command in COMMANDS if flag in dict(command.options)]
    if having:
        return f"{name} has no option {flag}; {', '.join(having)} {'has' if len(having) == 1 else 'have'} it"
    if not word.startswith("-"):
        return f"{name} takes no {word!r}" + (f"; write --only {word}" if "--only" in flags else "")
    return f"There is no option {flag}{nearest(flag, flags)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    warnings.showwarning = _say_warning
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as some services start programs
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the program ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no ± shows a ? there
            stream.reconfigure(errors="replace")
    try:
        study.load_own_rules()
        arguments = parsed(argv)
        module, _, act = arguments.act.partition(":")
        return getattr(import_module(f"{__package__}.{module}"), act)(arguments)
    except RegrowError as error:
        print(f"regrow: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("regrow: interrupted; the same command continues from the last checkpoint.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:  # wherever it comes from, the disk or its permissions are at fault
        print(f"regrow: {error.filename or 'A file'} cannot be read or written ({error.strerror or error}): free some "
              "space, mend the permissions, or choose another folder.", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if "home directory" not in str(error):  # as pathlib says it, for example to Jupyter's packages
            raise
        print("regrow: The home folder is not known: set HOME to a folder that can be written.", file=sys.stderr)
        return 2


def _say_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, file: object = None,
                 line: str | None = None) -> None:
    print(f"regrow: {message}" if category is UserWarning else f"{category.__name__}: {message}", file=sys.stderr)


