"""Processes of a session, killed together and waited for."""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from regrow.errors import RegrowError
from torture import victims
from torture.promises import environment


def members(group: int) -> list[psutil.Process]:
    """Who is alive in a process group. A zombie that its new parent has yet to reap is not."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.Error):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def gone(group: int, patience: float) -> bool:
    """Wait for everybody of a group to end; whoever is left after `patience` seconds is killed, and False returned."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if not members(group):
            return True
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    return False


class Nursery:
    """Orders to the process, and its answers, as lines of JSON."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "torture.nursery"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env=environment())
        self.undisturbed: dict[str, str] = self._answer()  # key -> checksum of the record

    def __call__(self, what: str, **order: Any) -> dict[str, Any]:
        """`what` is sweep or contend. With `after`, seconds, the child is killed then unless it is done.

        Answers with `signal` (0: it ended by itself), `code`, `errors` (what it said on stderr), and `phases`.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"what": what, **order}, default=str) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RegrowError("The process that forks the victims died: see what it printed, and try again.")
        return json.loads(line)

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def _act(order: dict[str, Any], phases: mmap.mmap) -> None:
    what, store = order["what"], Path(order["store"])
    if what == "sweep":
        victims.sweep(store, phases, order["seed"], order["checkpoint_seconds"])
    else:
        victims.contend(store, Path(order["log"]), order["processes"], order["seed"])


def _obey(order: dict[str, Any]) -> dict[str, Any]:
    phases = mmap.mmap(-1, victims.WORKERS)  # shared with whoever is forked from here
    with tempfile.TemporaryFile("w+") as errors:
        child = os.fork()
        if child == 0:
            os.setsid()
            os.dup2(errors.fileno(), 2)
            code = 0
            try:
                _act(order, phases)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                code = 1
            os._exit(code)
        status = _waited(child, order.get("after", 600.0))
        errors.seek(0)
        return {"signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
                "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1, "errors": errors.read(),
                "phases": [victims.PHASES[phase] for phase in phases[:]]}


def _waited(child: int, seconds: float) -> int:
    """The wait status of a child that has ended, or is killed with its family after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.002)
    os.killpg(child, signal.SIGKILL)  # it leads its session since its first line
    status = os.waitpid(child, 0)[1]
    gone(child, 10.0)
    return status


def main() -> None:
    """Train everything undisturbed, which also warms up, answer with the checksums; then obey, an order a line."""
    with tempfile.TemporaryDirectory() as warm:
        print(json.dumps(victims.undisturbed(Path(warm))), flush=True)
    for line in sys.stdin:
        print(json.dumps(_obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
