"""Signs of life of runs in training: one small file each, from which `status` tells what goes on in other processes.

They say nothing that a result depends on; one that cannot be written or read is left out.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from regrow.config import RunConfig

FOLDER = "running"
SECONDS = 5.0  # between two signs
STALE = 180.0  # seconds after which a sign counts for nothing; a large network is evaluated for two minutes on a CPU


@dataclass(frozen=True)
class Heartbeat:
    """What a training said last: `keys` are its runs, several if they train together."""

    name: str  # of its checkpoint
    keys: tuple[str, ...]
    step: int
    steps: int  # of the whole run
    rate: float | None  # steps a second since this process began
    where: str  # machine, device and engine
    writer: tuple[str, int]  # machine and process that wrote this; 0: it gave up
    age: float  # seconds

    @property
    def alive(self) -> bool:
        """Whether the writer is still at it: recently heard of and, if it is on this machine, still a process."""
        host, process = self.writer
        return self.age < STALE and process != 0 and (host != socket.gethostname() or _exists(process))

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None before there is one."""
        return (self.steps - self.step) / self.rate if self.rate else None


class Heart:
    """Writes the signs of one training, at most one every few seconds."""

    def __init__(self, root: Path, name: str, keys: Sequence[str], steps: int, where: str) -> None:
        self.path = root / FOLDER / f"{name}.json"
        self.keys, self.steps, self.where = list(keys), steps, where
        self.step, self.began, self.last = 0, (0, 0.0), -SECONDS

    def beat(self, step: int) -> None:
        """The training is at this step now."""
        now = time.monotonic()
        self.step = step
        if self.began[1] == 0.0 and step > 0:
            self.began = step, now
        if now - self.last >= SECONDS:
            self.last = now
            self._write(os.getpid(), now)

    def stop(self, *, finished: bool) -> None:
        """A finished training leaves no sign; one that stopped short says where."""
        if finished:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        else:
            self._write(0, time.monotonic())

    def _write(self, process: int, now: float) -> None:
        step, since = self.began
        rate = (self.step - step) / (now - since) if now > since > 0 and self.step > step else None
        said = {"keys": self.keys, "step": self.step, "steps": self.steps, "rate": rate, "where": self.where,
                "writer": [socket.gethostname(), process]}
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(said))  # who reads half of it reads again


@contextmanager
def beating(root: Path, name: str, keys: Sequence[str], steps: int, where: str,
            then: Callable[[int], None] | None = None) -> Iterator[Callable[[int], None]]:
    """Signs of life while something trains: gives the function to call with every step, which calls `then` as well.

    Whoever waits for another's training takes no step, and leaves that one's signs alone.
    """
    heart, trains, finished = Heart(root, name, keys, steps, where), False, False

    def progress(step: int) -> None:
        nonlocal trains
        trains = True
        heart.beat(step)
        if then is not None:
            then(step)

    try:
        yield progress
        finished = True
    finally:
        if trains:
            heart.stop(finished=finished)


def of_task(root: Path, task: Sequence[RunConfig], device: str, engine: str,
            then: Callable[[int], None], place: str = "") -> AbstractContextManager[Callable[[int], None]]:
    """`beating` for runs that train here, on a device that others know as `place`.

    Raises RegrowError for an engine that cannot train them.
    """
    from regrow.cost import total_steps  # these import torch, and status only reads
    from regrow.engines import chosen_engine
    from regrow.train import checkpoint_key

    engine = chosen_engine(task[0], device, engine)
    return beating(root, checkpoint_key(task, engine), [config.key for config in task], total_steps(task[0]),
                   f"{socket.gethostname()}, {place or device}, {engine}", then)


def read(root: Path) -> list[Heartbeat]:
    """The last sign of every training that did not finish, dead or alive, in order of their names."""
    found = []
    for path in sorted((root / FOLDER).glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            age = time.time() - path.stat().st_mtime
            said = json.loads(path.read_text() or _again(path))
            host, process = said["writer"]
            found.append(Heartbeat(path.stem, tuple(said["keys"]), int(said["step"]), int(said["steps"]),
                                   said["rate"], str(said["where"]), (str(host), int(process)), age))
    return found


def _again(path: Path) -> str:
    """The text of a file that was just being written."""
    time.sleep(0.02)
    return path.read_text()


def forget_dead(root: Path) -> None:
    """Take away the signs of trainings that are no more; their checkpoints stay."""
    for beat in read(root):
        if not beat.alive:
            with suppress(OSError):
                (root / FOLDER / f"{beat.name}.json").unlink(missing_ok=True)


def _exists(process: int) -> bool:
    import psutil  # takes longer to import than a sign to read

    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE  # killed, and nobody has asked for it yet
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
