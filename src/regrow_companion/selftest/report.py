"""One check after another: each says one line, has its time, and hides no other."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from regrow.errors import DEVICE, RegrowError, trouble_of

PATIENCE = 30.0  # seconds that a check may be late before the whole command ends: something hangs in the device
REPORT = "please report it with this line and the versions above"
AFTER_A_FAULT = "look at dmesg, restart the machine or its driver, and run the selftest again"


@dataclass(frozen=True)
class Where:
    """What is tested. `device` is "cpu" or "cuda:N"."""

    device: str
    quick: bool = False

    @property
    def on_gpu(self) -> bool:
        return self.device != "cpu"


@dataclass(frozen=True)
class Found:
    """What a check saw, what it had to be, and what to do if it is not."""

    value: str
    limit: str = ""
    ok: bool = True
    remedy: str = REPORT


class Skipped(Exception):
    """A check that means nothing here; says why."""


@dataclass(frozen=True)
class Check:
    """`look` raises Skipped, or anything else if the check fails; `seconds` is how long it may take."""

    name: str
    look: Callable[[], Found]
    seconds: float = 60.0


@dataclass(frozen=True)
class Outcome:
    """How a check ended: OK, FAIL or SKIP."""

    name: str
    state: str
    seconds: float
    value: str
    limit: str = ""
    remedy: str = ""

    def line(self, width: int) -> str:
        """[OK] name, seconds, value (limit) -> remedy; `width` is that of the longest name."""
        told = f"{f'[{self.state}]':<6} {self.name:<{width}}  {self.seconds:6.1f} s  {self.value}"
        told += f" ({self.limit})" if self.limit else ""
        return told + (f"  -> {self.remedy}" if self.remedy else "")


def outcomes(checks: Sequence[Check], say: Callable[[str], None], seconds: float) -> list[Outcome]:
    """Run the checks in their order; those that would go on after so many seconds, or come after a device fault, are
    left out. `say` gets the line of each as it ends."""
    end, ended = time.monotonic() + seconds, list[Outcome]()
    width, lost = max((len(check.name) for check in checks), default=0), ""
    for check in checks:
        if lost:
            outcome = Outcome(check.name, "SKIP", 0.0, f"the device failed in '{lost}'")
        else:
            outcome, fault = _outcome(check, end - time.monotonic())
            lost = check.name if fault else ""
        ended.append(outcome)
        say(outcome.line(width))
    return ended


def _outcome(check: Check, left: float) -> tuple[Outcome, bool]:
    """How a check ended that has so many seconds left, and whether the device is lost to this process."""
    began, fault = time.monotonic(), False
    try:
        if left <= 0:
            raise Skipped("the time is over")
        with _time_limit(check.name, min(check.seconds, left)):
            found = check.look()
        state, limit = ("OK" if found.ok else "FAIL"), found.limit
        value, remedy = found.value, "" if found.ok else found.remedy
    except Skipped as reason:
        state, value, limit, remedy = "SKIP", str(reason), "", ""
    except TimeoutError as error:
        over = left < check.seconds
        state, value, limit = ("SKIP", "the time is over", "") if over else ("FAIL", str(error), "")
        remedy = "" if over else REPORT
    except Exception as error:  # whatever goes wrong in a check is what the check is for
        fault = trouble_of(error) == DEVICE
        state, value, limit = "FAIL", one_line(error), ""
        remedy = AFTER_A_FAULT if fault else REPORT
    return Outcome(check.name, state, time.monotonic() - began, value, limit, remedy), fault


def one_line(error: BaseException) -> str:
    """An error in one line: the first of its text."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    told = text if isinstance(error, RegrowError) else f"{type(error).__name__}: {text}" if text else \
        type(error).__name__
    return told if len(told) <= 300 else f"{told[:297]}..."


@contextmanager
def _time_limit(name: str, seconds: float) -> Iterator[None]:
    """TimeoutError where a check is when its time is over; a device that never answers ends the command later."""

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"took longer than {seconds:.0f} s")

    def give_up() -> None:
        print(f"[FAIL] {name}  {seconds + PATIENCE:6.1f} s  does not answer  -> {AFTER_A_FAULT}", flush=True)
        sys.stderr.flush()
        os._exit(1)

    # A signal reaches the main thread only, and only between two steps of Python.
    signals = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    timer = threading.Timer(seconds + PATIENCE, give_up)
    timer.daemon = True
    before = signal.signal(signal.SIGALRM, late) if signals else None
    timer.start()
    try:
        if signals:
            signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        timer.cancel()
        if signals:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
