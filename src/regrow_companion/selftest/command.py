"""`python -m regrow selftest`: the checks in their order, a line each, and all of it in a file if one is asked for."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import sys
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from regrow import files, provenance
from regrow.config import RunConfig
from regrow.errors import RegrowError, left_alone
from regrow.train import check_trainable
from regrow_companion.selftest import agreement, environment, precision, resuming, sweeping, times, waiting
from regrow_companion.selftest.report import AFTER_A_FAULT, Check, Outcome, Where, outcomes
from regrow_companion.sweep.step_times import SELFTEST_FORMAT

SECONDS = 300.0  # after which no further check begins


def selftest(arguments: Namespace) -> int:
    """0 if all checks passed or had no meaning here, 1 if one failed. Raises RegrowError where there is no such device.
    """
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    check_trainable(RunConfig(), device)
    if arguments.out is not None:
        check_writable(arguments.out)
    where, kept = Where(device, arguments.quick), times.Kept(provenance.hardware(device))
    about = {"quick": where.quick, "versions": environment.versions(), "flags": environment.flags(where)}
    print(f"regrow selftest on {kept.hardware} ({device})")
    if not arguments.device and not where.on_gpu:
        print("There is no CUDA device here, so the processor is tested; checks that need a GPU are skipped.")
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # PyTorch's profiler would write between the lines
    began = time.monotonic()
    ended = outcomes(all_checks(where, kept), lambda line: print(line, flush=True), SECONDS)
    seconds = time.monotonic() - began
    failed = [outcome.name for outcome in ended if outcome.state == "FAIL"]
    if arguments.out is not None:
        write(arguments.out, kept.measured(where).to_dict() | about | {
            "selftest_seconds": round(seconds, 1), "full_size": kept.full_size, "grid_hours": kept.hours}, ended)
    counts = ", ".join(f"{sum(outcome.state == state for outcome in ended)} {said}"
                       for state, said in (("OK", "passed"), ("FAIL", "failed"), ("SKIP", "skipped")))
    print(f"{counts} in {seconds:.0f} s" + (f"; written to {arguments.out}." if arguments.out else "."))
    if any(outcome.remedy == AFTER_A_FAULT for outcome in ended):
        print(f"regrow: The device failed in '{failed[-1]}', and what came after it was left out: {AFTER_A_FAULT}.",
              file=sys.stderr)
    return 1 if failed else 0


def all_checks(where: Where, kept: times.Kept) -> list[Check]:
    """In the order in which one wants to know."""
    return [*environment.checks(where), *agreement.checks(where), *precision.checks(where), *waiting.checks(where),
            *resuming.checks(where), *sweeping.checks(where), *times.checks(where, kept)]


def check_writable(path: Path) -> None:
    """Raise RegrowError, in one sentence, if the results could not be written there in the end."""
    if path.exists():
        try:
            ours = json.loads(path.read_text())["format"] == SELFTEST_FORMAT
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            raise RegrowError(left_alone(path, "selftest --out"))
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise RegrowError(f"Cannot write {path}: mend the permissions of {folder}, or choose another name.")


def write(path: Path, about: Mapping[str, Any], ended: Sequence[Outcome]) -> None:
    """Everything as JSON that `plan --hardware` reads too. Raises RegrowError if it cannot be written."""
    rows = [{name: anonymous(value) if isinstance(value, str) else value for name, value in asdict(outcome).items()}
            for outcome in ended]
    try:
        files.write(path, f"{json.dumps({**about, 'format': SELFTEST_FORMAT, 'checks': rows}, indent=2)}\n".encode())
    except OSError as error:
        raise RegrowError(f"Cannot write {path}: {error.strerror}.") from error


def anonymous(text: str) -> str:
    """Without the names of machine and user, and of paths the last part alone."""
    text = re.sub(r"(?:[A-Za-z]:)?(?:[/\\][^/\\\s'\":,;()]+)+[/\\]([^/\\\s'\":,;()]*)", r"\1", text)
    for name in {socket.gethostname(), _user(), Path(os.path.expanduser("~")).name} - {"", "~"}:
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "...", text)
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
