"""A command of the command line run in this process: exit code, what it printed, and nothing left behind in it."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from unittest.mock import patch

from regrow.config import RunConfig
from regrow_companion import cli

PLACES = ("REGROW_STORE", "REGROW_DATA")
PATIENCE = 120.0  # seconds; what takes longer is training and was not refused. Compiling, once, may take a while


class TooLong(BaseException):
    """The command went on for longer than its answer may take."""


@dataclass(frozen=True)
class Said:
    """What a command answered. `raised` names an exception that it let through, which the shell would show."""

    code: int
    out: str
    err: str
    raised: str = ""


def command(argv: Sequence[str], folder: Path) -> Said:
    """Run `python -m regrow ARGV` here, standing in `folder`, with the default store and data root inside it."""
    out, err = io.StringIO(), io.StringIO()
    code, raised = 0, ""
    quiet = patch("regrow_companion.console.interactive", lambda: False)  # no bar among the sentences
    with _standing_in(folder), _limited(), quiet, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(list(argv))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except (Exception, TooLong) as error:
            code, raised = 1, f"{type(error).__name__}: {error}"
    return Said(code, out.getvalue(), err.getvalue(), raised)


def words(config: RunConfig) -> list[str]:
    """A config as it is typed behind `train`."""
    return [f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
            for name, value in config.to_dict().items()]


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong(f"no answer within {PATIENCE:g} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _standing_in(folder: Path) -> Iterator[None]:
    before, show = {name: os.environ.get(name) for name in PLACES}, warnings.showwarning
    os.environ.update(REGROW_STORE=str(folder / "default-store"), REGROW_DATA=str(folder / "default-data"))
    try:
        with contextlib.chdir(folder), warnings.catch_warnings():
            warnings.simplefilter("always")  # each time, not once a process
            yield
    finally:
        warnings.showwarning = show
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
