"""`python -m regrow COMMAND`: one thin layer over the package. A user's mistake is one sentence and exit code 2."""

from __future__ import annotations

import argparse
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from regrow import __version__, commands, study
from regrow.config import ENGINES, nearest
from regrow.errors import RegrowError

EPILOG = """exit codes: 0 fine, 1 something failed, 2 usage or environment, 3 a figure check failed, 130 interrupted"""


class _Parser(argparse.ArgumentParser):
    """One sentence instead of a usage dump."""

    def error(self, message: str) -> NoReturn:
        unknown = re.match(r"unrecognized arguments: (--[^ =]+)", message)
        if unknown:
            message = f"There is no option {unknown[1]}{nearest(unknown[1], _FLAGS)}"
        print(f"regrow: {message}. Try '{self.prog} --help'.", file=sys.stderr)
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    top = _Parser(prog="python -m regrow", description="How sparse neural networks grow: run, resume, draw.",
                  epilog=EPILOG)
    top.add_argument("--version", action="version", version=f"regrow {__version__}")
    sub = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, help: str, **options: Any) -> argparse.ArgumentParser:
        made = sub.add_parser(name, help=help, description=help, **options)
        made.set_defaults(act=_ACTIONS[name])
        return made

    def add(to: argparse.ArgumentParser, *names: str) -> None:
        for name in names:
            flag, options = _OPTIONS[name]
            to.add_argument(flag, **options)

    add(command("doctor", "check python, packages, device, data, disk and store"), "store", "data", "json")
    models = command("models", "parameters, maskable weights and connections per layer of every network")
    models.add_argument("--density", type=float, default=0.05, help="1 - sparsity (default 0.05)")
    models.add_argument("--classes", type=int, default=10, help="output classes (default 10)")
    add(models, "json")
    train = command("train", "train one run and keep its record", epilog=commands.train_help(),
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    train.add_argument("words", nargs="*", metavar="KEY=VALUE", help="for example: grow=random hidden=300,100 epochs=5")
    add(train, "store", "data", "device", "engine", "json")
    plan = command("plan", "list every run that a profile's figures and tables need, and what is left of them costs")
    add(plan, "profile_paper", "need", "store", "jobs", "json")
    plan.add_argument("--keys", action="store_true", help="also list every run, a line each")
    plan.add_argument("--hardware", default="cpu", metavar="DEVICE|FILE",
                      help="cpu (default) or cuda[:N], measured here in under a minute; or what --save-times wrote on "
                           "another machine")
    plan.add_argument("--no-measure", action="store_true", help="count runs and arithmetic only, at once")
    plan.add_argument("--save-times", type=Path, metavar="FILE", help="keep the measured step times as JSON")
    plan.add_argument("--workers", metavar="N,N", help="also simulate the schedule on so many cores or GPUs: 1,4,16")
    run = command("run", "train what a profile's figures and tables lack; resumes")
    add(run, "profile", "need", "store", "data", "device", "sweep_engine", "address", "jobs", "retry", "json")
    status = command("status", "done, running, failed and waiting runs with rates and time left, from the store alone")
    add(status, "profile", "need", "store", "json")
    status.add_argument("--watch", type=float, metavar="SECONDS", help="again every so many seconds, until all is done")
    notebooks = command("notebooks", "train what is missing, execute the notebooks, check figures, write the site")
    add(notebooks, "profile", "store", "data", "device", "sweep_engine", "address", "jobs", "retry", "json")
    notebooks.add_argument("--only", metavar="IDS", help="notebooks, figures or tables: 05,fig12,table4")
    notebooks.add_argument("--from", dest="start", metavar="ID", help="this notebook and all after it")
    for flag, text in (("--keep-going", "go on after a failed notebook"), ("--force", "run fresh notebooks too"),
                       ("--dry-run", "say what would run"), ("--list", "list the notebooks")):
        notebooks.add_argument(flag, action="store_true", help=text)
    ship = command("ship", "write compact copies of finished full-scale records to results/")
    add(ship, "need", "store")
    ship.add_argument("--accuracy-only", action="store_true", help="leave the wiring out: a few kilobytes a run")
    add(command("report", "write the site, build/PROFILE/site, from what is there"), "profile", "build")
    claims = command("claims", "every testable statement of the paper, with its verdict from full-scale records")
    claims.add_argument("--details", action="store_true", help="with the effect and interval behind every verdict")
    add(claims, "store", "json")
    tails = command("tails", "fit a power law to the tail of whole numbers, test it, compare it with other laws")
    tails.add_argument("file", type=Path, metavar="FILE", help="text file of whole numbers, one a line")
    tails.add_argument("--xmin", default="auto", metavar="N|auto", help="where the tail begins (default: auto, where "
                                                                        "data and fit are nearest)")
    tails.add_argument("--xmax", type=int, metavar="N", help="the largest value possible (default: no end)")
    tails.add_argument("--picture", type=Path, metavar="PATH", help="also draw it: PATH.svg .png .csv .json")
    add(tails, "json")
    beyond = command("beyond", "watch training runs for a question of Section 8 and write the tables of its notebook")
    beyond.add_argument("name", metavar="NAME", help="mechanism: who gains and loses connections, who is "
                        "active; layers: connections move between layers, neurons are added; tickets: pruned ones")
    beyond.add_argument("--runs", type=int, metavar="N", help="only the first N cases: one seed of each, then the next")
    beyond.add_argument("--out", type=Path, metavar="DIR", help="folder of tables (default: STORE/beyond/tables, or "
                                                                "results/beyond in profile paper)")
    add(beyond, "profile", "store", "data")
    torture = command("torture", "kill, damage, starve and mislead regrow for a while and count what was lost: nothing")
    torture.add_argument("--minutes", type=float, default=10.0, metavar="M",
                         help="how long, at most (default 10: 200 kills, 300 damaged files, 300 mistakes)")
    torture.add_argument("--seed", type=int, default=0, metavar="N", help="other moments and places (default 0)")
    torture.add_argument("--only", metavar="KINDS", help="for example kills,damage (default: every kind)")
    add(torture, "json")
    return top


def _notebooks(arguments: argparse.Namespace) -> int:
    from regrow.regenerate import notebooks  # jupyter's libraries take a second to import

    return notebooks(arguments)


def _beyond(arguments: argparse.Namespace) -> int:
    from regrow.beyond.command import beyond  # pandas and scipy

    return beyond(arguments)


def _report(arguments: argparse.Namespace) -> int:
    from regrow.regenerate import write_report

    return write_report(arguments)


def _plan(arguments: argparse.Namespace) -> int:
    from regrow.plan import plan

    return plan(arguments)


def _status(arguments: argparse.Namespace) -> int:
    from regrow.status import status

    return status(arguments)


def _torture(arguments: argparse.Namespace) -> int:
    from regrow.torture.command import torture

    return torture(arguments)


def _folder(text: str) -> Path:
    if not text:  # as from a shell variable that is not set; it would mean the current folder
        raise argparse.ArgumentTypeError("the name of the folder is empty")
    return Path(text)


_ACTIONS = {"doctor": commands.doctor, "models": commands.models, "train": commands.train, "plan": _plan,
            "torture": _torture,
            "run": commands.run, "status": _status, "ship": commands.ship, "notebooks": _notebooks,
            "report": _report, "tails": commands.tails, "claims": commands.claims, "beyond": _beyond}
_OPTIONS: dict[str, tuple[str, dict]] = {
    "json": ("--json", {"action": "store_true", "help": "print JSON"}),
    "store": ("--store", {"type": _folder, "metavar": "DIR", "help": "folder of records (build/PROFILE/store)"}),
    "data": ("--data", {"type": _folder, "metavar": "DIR", "help": "data root (default $REGROW_DATA or "
                                                                "~/.cache/regrow/data)"}),
    "device": ("--device", {"default": "cpu", "help": "cpu or cuda[:N] (default cpu)"}),
    "engine": ("--engine", {"default": "auto", "help": "; ".join(f"{name}: {what}" for name, what in ENGINES.items())}),
    "sweep_engine": ("--engine", {"default": "auto", "help": "; ".join(
        [*(f"{name}: {what}" for name, what in ENGINES.items()), "ray: auto, on a Ray cluster (docs/cluster.md)"])}),
    "address": ("--address", {"default": "", "metavar": "ADDRESS", "help": "of the Ray cluster: auto, HOST:PORT or "
                              "ray://HOST:PORT (default: a new one on this machine)"}),
    "retry": ("--retry-failed", {"action": "store_true", "help": "try runs again that failed in an earlier sweep"}),
    "jobs": ("--jobs", {"type": int, "default": 0, "metavar": "N", "help": "processes at once (default: cores, or one "
                        "per GPU)"}),
    "build": ("--build", {"type": Path, "metavar": "DIR", "help": "folder of executed notebooks and figures, by "
                                                                  "profile (default build)"}),
    "need": ("--only", {"metavar": "IDS", "help": "figures or tables: table4,fig12"}),
    "profile": ("--profile", {"default": "quick", "metavar": "NAME", "help": "quick (default), paper or replay"}),
    "profile_paper": ("--profile", {"default": "paper", "metavar": "NAME", "help": "paper (default) or quick"}),
}


_FLAGS = [flag for flag, _ in _OPTIONS.values()] + ["--density", "--classes", "--keys", "--from", "--keep-going",
                                                    "--force", "--dry-run", "--list", "--accuracy-only", "--details",
                                                    "--xmin", "--xmax", "--picture", "--hardware", "--no-measure",
                                                    "--save-times", "--workers", "--watch", "--runs", "--out"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    warnings.showwarning = _say_warning
    try:
        study.load_own_rules()
        arguments = parser().parse_args(argv)
        return arguments.act(arguments)
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


def _say_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, file: object = None,
                 line: str | None = None) -> None:
    print(f"regrow: {message}" if category is UserWarning else f"{category.__name__}: {message}", file=sys.stderr)


