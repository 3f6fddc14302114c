"""Processes of a session, killed together and waited for."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import psutil


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
