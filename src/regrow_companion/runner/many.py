"""Runs many notebooks, several at once, and tells the truth about them: one line each, time left, and the exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from shutil import get_terminal_size
from typing import Any, TextIO

from regrow_companion.console import LOG_SECONDS, clock
from regrow_companion.runner.index import Entry, check_parameters, list_table, read_index, select
from regrow_companion.runner.one import (
    Executed,
    Execution,
    Options,
    finish,
    prepare,
    stale,
    stamp_of,
    start,
    stop,
    write_stamp,
)

__all__ = ["Entry", "Executed", "Options", "check_parameters", "dry_run", "execute", "list_table", "read_index",
           "run_all", "select"]

Inputs = Callable[[Entry], str]
Check = Callable[[Entry], list[str]]

POLL_SECONDS = 0.1
# A kernel gets numbers of free ports and binds them a little later; it ends if another process was faster in between.
NEVER_STARTED = "Kernel died before replying to kernel_info"
STARTS = 3  # of a notebook whose kernel ended so
LIVE_SECONDS = 0.5  # a terminal's line is rewritten this often


def execute(entry: Entry, options: Options, *, inputs: str = "") -> Executed:
    """Run one notebook unless its stamp is fresh; `inputs` names the records it reads (part of the stamp).

    Returns status done, fresh or failed. Raises RegrowError if the notebook has no place for the parameters or the
    build folder cannot be written. Interrupted, it stops the notebook, removes the partial file and raises again.
    """
    check_parameters(entry)
    stamp = stamp_of(entry, options, inputs)
    if not options.force and not stale(entry, options, stamp):
        return Executed(entry.id, "fresh", 0.0, "", options.log(entry))
    prepare(options)
    run = start(entry, options, stamp)
    try:
        run.process.wait()
    except BaseException:
        stop([run], options)
        raise
    outcome = finish(run, options)
    if outcome.status == "done":
        write_stamp(run, options)
    return outcome


def run_all(entries: Sequence[Entry], options: Options, *, inputs: Inputs = lambda entry: "",
            check: Check = lambda entry: [], progress: TextIO | None = None) -> int:
    """Run notebooks, up to options.jobs at once, and return the exit code.

    inputs(entry) names the records a notebook reads. check(entry) returns problems with the figures it made, in words;
    it runs after every success, and a stamp counts as fresh only if it still finds none. progress defaults to stderr.
    0: all fine; 1: a notebook failed; 3: a figure check failed; 130: interrupted by SIGINT, SIGTERM or SIGHUP, with
    no partial file left. Raises RegrowError, before anything runs, as `execute` does.
    """
    board = _Board(entries, options, progress or sys.stderr)
    # Side by side the long ones go first, so that none is left over at the end.
    order = sorted(entries, key=lambda e: -e.seconds(options.profile)) if options.jobs > 1 else entries
    waiting, running, unlucky = deque(order), list[Execution](), Counter[str]()
    with _signals() as caught:
        for entry in entries:
            check_parameters(entry)
        prepare(options)
        try:
            while (waiting or running) and not caught:
                while waiting and len(running) < options.jobs and not caught:
                    entry = waiting.popleft()
                    stamp = stamp_of(entry, options, inputs(entry))
                    if board.bad and not options.keep_going:
                        board.add(entry, Executed(entry.id, "skipped", 0.0, "", options.log(entry)), running, waiting)
                    elif _why(entry, options, stamp, check):
                        running.append(start(entry, options, stamp))
                    else:
                        board.add(entry, Executed(entry.id, "fresh", 0.0, "", options.log(entry)), running, waiting)
                for run in [r for r in running if r.process.poll() is not None]:
                    running.remove(run)
                    outcome = _checked(run, options, check)
                    unlucky[run.entry.id] += 1
                    if NEVER_STARTED in outcome.message and unlucky[run.entry.id] < STARTS:
                        running.append(start(run.entry, options, run.stamp))
                    else:
                        board.add(run.entry, outcome, running, waiting)
                board.tick(running, waiting)
                time.sleep(POLL_SECONDS if running else 0)
        finally:
            stop(running, options)
    if caught:
        board.say("Interrupted: what was finished is kept, what was running is removed; "
                  "the same command continues from here.")
        return 130
    board.say(board.summary())
    statuses = {outcome.status for outcome in board.outcomes}
    return 1 if "failed" in statuses else 3 if "check failed" in statuses else 0


def dry_run(entries: Iterable[Entry], options: Options, *, inputs: Inputs = lambda entry: "",
            check: Check = lambda entry: []) -> str:
    """What `run_all` would do, as text: one line a notebook with the reason, and the expected time. Writes nothing.

    Raises RegrowError for a notebook that `run_all` would refuse.
    """
    lines, seconds = [], 0.0
    for entry in entries:
        check_parameters(entry)
        why = _why(entry, options, stamp_of(entry, options, inputs(entry)), check)
        if why:
            seconds += entry.seconds(options.profile)
        lines.append(f"{entry.id}  {entry.file}  " + (f"would run: {why}" if why else "fresh"))
    return "\n".join([*lines, f"About {clock(seconds / options.jobs)} in the {options.profile} profile."])


def _why(entry: Entry, options: Options, stamp: dict[str, Any], check: Check) -> str:
    """Why the notebook would run; empty if it is fresh and its figures still pass."""
    return "forced" if options.force else stale(entry, options, stamp) or "; ".join(check(entry))


def _checked(run: Execution, options: Options, check: Check) -> Executed:
    outcome = finish(run, options)
    if outcome.status != "done":
        return outcome
    if problems := check(run.entry):
        return replace(outcome, status="check failed", message="; ".join(problems))
    write_stamp(run, options)
    return outcome


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGHUP in a list instead of raising at any odd moment, between two renames say."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught  # only the main thread receives signals
        return
    # A signal that is ignored (nohup, a shell's background job) stays ignored.
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    old = {n: signal.signal(n, lambda number, frame: caught.append(number)) for n in numbers}
    try:
        yield caught
    finally:
        for n, handler in old.items():
            signal.signal(n, handler)


# What the reader sees meanwhile.

class _Board:
    """One line a notebook as it ends, and how much is left: live on a terminal, every 15 s in a log."""

    def __init__(self, entries: Sequence[Entry], options: Options, stream: TextIO) -> None:
        self.total, self.options, self.stream = len(entries), options, stream
        self.outcomes: list[Executed] = []
        self.expected = self.measured = 0.0  # seconds of the notebooks that have run, by the map and by the clock
        self.began = self.shown = time.monotonic()
        self.width = max((len(e.title) for e in entries), default=0)
        self.live = stream.isatty()

    @property
    def bad(self) -> bool:
        return any("failed" in outcome.status for outcome in self.outcomes)

    def add(self, entry: Entry, outcome: Executed, running: Sequence[Execution], waiting: Sequence[Entry]) -> None:
        self.outcomes.append(outcome)
        line = f"{entry.id}  {entry.title:{self.width}}  {outcome.status}"
        if outcome.status not in ("fresh", "skipped"):
            self.expected += entry.seconds(self.options.profile)
            self.measured += outcome.seconds
            line += f" in {clock(outcome.seconds)}"
        if outcome.message:
            line += f": {outcome.message} (log: {os.path.relpath(outcome.log)})"
        elif outcome.status == "done":
            line += f"  [{self._state(running, waiting)}]"
        self.say(line)

    def tick(self, running: Sequence[Execution], waiting: Sequence[Entry]) -> None:
        """Show that something is going on, if it is time to."""
        if not running or time.monotonic() - self.shown < (LIVE_SECONDS if self.live else LOG_SECONDS):
            return
        self.shown = time.monotonic()
        now = ", ".join(f"{run.entry.id} for {clock(run.seconds)}" for run in running)
        text = f"running {now}  [{self._state(running, waiting)}]"
        self.stream.write(f"\r\x1b[K{text[:get_terminal_size().columns - 1]}" if self.live else f"{text}\n")
        self.stream.flush()

    def say(self, line: str) -> None:
        self.stream.write(f"\r\x1b[K{line}\n" if self.live else f"{line}\n")
        self.stream.flush()

    def summary(self) -> str:
        counts = [(s, sum(o.status == s for o in self.outcomes))
                  for s in ("done", "fresh", "no records", "failed", "check failed", "skipped")]
        shown = ", ".join(f"{n} {status}" for status, n in counts if n) or "nothing to do"
        return f"{shown} in {clock(time.monotonic() - self.began)}."

    def _state(self, running: Sequence[Execution], waiting: Sequence[Entry]) -> str:
        left = self._seconds_left(running, waiting)
        return f"{len(self.outcomes)} of {self.total}" + (f", about {clock(left)} left" if left else "")

    def _seconds_left(self, running: Sequence[Execution], waiting: Sequence[Entry]) -> float:
        speed = self.measured / self.expected if self.expected else 1.0
        # One that is late is taken to need a tenth of the time it has had.
        parts = [max(run.entry.seconds(self.options.profile) * speed - run.seconds, run.seconds / 10)
                 for run in running]
        parts += [entry.seconds(self.options.profile) * speed for entry in waiting]
        return max(sum(parts) / self.options.jobs, *parts) if parts else 0.0
