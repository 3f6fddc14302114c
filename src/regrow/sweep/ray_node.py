"""What happens on a node of a Ray cluster: a task comes, is trained in a scratch folder, and its records go back."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow import __version__
from regrow.errors import RegrowError
from regrow.store import Store
from regrow.sweep.task import Task

NEWS_SECONDS = 1.0  # between the steps that a worker tells, and between two looks at them


@dataclass(frozen=True)
class Order:
    """One task on its way to a node."""

    task: Task
    number: int
    home: str  # of this store's sweeps, the same on every node
    device: str
    engine: str
    data_root: Path | None
    version: str = __version__


@dataclass(frozen=True)
class Answer:
    files: tuple[bytes, ...]  # records as files, in the order of the task
    error: str
    where: str


class Board:
    """An actor to which the workers tell their steps and from which the driver reads them."""

    def __init__(self) -> None:
        self.news: dict[int, tuple[int, str]] = {}

    def tell(self, number: int, step: int, where: str) -> None:
        self.news[number] = step, where

    def read(self) -> dict[int, tuple[int, str]]:
        news, self.news = self.news, {}
        return news


def trained(order: Order, board: Any) -> Answer:
    """A worker: train, or read what an earlier worker of this node finished, and send the records."""
    where, last = f"{socket.gethostname()}, {order.device}, ray", 0.0

    def report(step: int) -> None:
        nonlocal last
        if time.monotonic() - last > NEWS_SECONDS:
            board.tell.remote(order.number, step, where)
            last = time.monotonic()

    if order.version != __version__:
        return Answer((), f"{socket.gethostname()} has regrow {__version__}, the driver has {order.version}: install "
                           "the same version on every node.", where)
    try:
        store = Store(scratch() / order.home)
        store.ensure_all(order.task, device=order.device, engine=order.engine, data_root=order.data_root,
                         progress=report)
        return Answer(tuple(store.record_path(config.key).read_bytes() for config in order.task), "", where)
    except RegrowError as error:
        return Answer((), str(error), where)
    except Exception:
        return Answer((), traceback.format_exc(), where)


def scratch() -> Path:
    """This user's folder on the node, $REGROW_SCRATCH or below the temporary folder; nobody else may write there."""
    user = os.getuid() if hasattr(os, "getuid") else "scratch"
    folder = Path(os.environ.get("REGROW_SCRATCH") or Path(tempfile.gettempdir()) / f"regrow-{user}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
        raise RegrowError(f"{folder} belongs to somebody else: set REGROW_SCRATCH to a folder of your own there.")
    return folder


def remove(home: str) -> None:
    """Take away what this node kept of a sweep that is over."""
    shutil.rmtree(scratch() / home, ignore_errors=True)
