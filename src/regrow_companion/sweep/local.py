"""Worker processes of one thread each on this machine. One that dies costs the runs that it held and no other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
import traceback
import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from regrow import cost
from regrow.determinism import one_thread_each
from regrow.errors import RegrowError
from regrow_companion.sweep import heartbeat
from regrow_companion.sweep.task import Ended, Event, How, Share, Task

STILLBIRTHS = 3  # workers that end before they begin, one after the other, until that is taken for the rule
STILLBORN = ("Worker processes end before they begin. If a script of yours starts training, put that below "
             "'if __name__ == \"__main__\":', because each worker imports the script again.")
KILLED = "The process was killed (out of memory?); run the same command with --retry-failed to resume."


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    task: Task | None = None
    share: float = 0.0
    began: bool = False  # it has said something


def default_jobs() -> int:
    """One process per usable core."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sweep(tasks: Sequence[Task], how: How) -> Generator[Event]:
    """Train the tasks in their order, so many at once as there are jobs: one per core, or one on a GPU.

    Whoever stops listening (close) ends the workers at once. Raises RegrowError if no worker ever gets to work.
    """
    waiting = list(reversed(tasks))
    jobs = min(how.jobs or (default_jobs() if how.device == "cpu" else 1), len(tasks))
    workers: list[_Worker] = []
    stillborn = 0  # since the last sign of life of any worker
    try:
        while waiting or any(worker.task for worker in workers):
            while waiting and len(workers) < jobs:
                workers.append(_start(how))
            for worker in workers:
                if worker.task is None and waiting:
                    worker.task, worker.share = waiting.pop(), 0.0
                    worker.connection.send(worker.task)
            ready = wait([worker.connection for worker in workers], timeout=0.5)
            for worker in [worker for worker in workers if worker.connection in ready]:
                task = worker.task
                assert task is not None
                answer = _answer(worker, workers)
                stillborn = 0 if worker.began else stillborn + 1
                if stillborn == STILLBIRTHS:
                    raise RegrowError(STILLBORN)
                if not worker.began:
                    waiting.append(task)  # which is not to blame
                elif isinstance(answer, float):
                    worker.share = answer
                    yield Share(task, answer)
                else:
                    worker.task = None
                    where = f"{socket.gethostname()}, process {worker.process.pid}, {how.device}, engine {how.engine}"
                    yield Ended(task, answer, where, worker.share)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()


def _start(how: How) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, how), daemon=True)
    with one_thread_each():
        process.start()
    theirs.close()
    return _Worker(process, ours)


def _answer(worker: _Worker, workers: list[_Worker]) -> float | str:
    """The share of the task that is done, or how it ended: '' or the error. A dead worker leaves the list."""
    try:
        said = worker.connection.recv()
        worker.began = True
        return said
    except (EOFError, ConnectionError):
        workers.remove(worker)
        worker.process.join()
        return KILLED


def _serve(connection: Connection, how: How) -> None:
    """A worker's life: a task in, shares of it and then '' or the error out. Ctrl-C is left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.filterwarnings("ignore", message=".* made of other data")  # the parent has said it
    connection.send(0.0)  # here I am
    while True:
        try:
            task = connection.recv()
        except EOFError:  # the parent is gone
            return
        answer = _ensure(task, how, connection)
        try:
            connection.send(answer)
        except ConnectionError:  # the parent was killed in the meantime; what was trained is in the store
            return


def _ensure(task: Task, how: How, connection: Connection) -> str:
    total, last = cost.total_steps(task[0]), time.monotonic()

    def report(step: int) -> None:
        nonlocal last
        if time.monotonic() - last > 0.5:
            connection.send(step / total)
            last = time.monotonic()

    try:
        with heartbeat.of_task(how.store.root, task, how.device, how.engine, report) as beat:
            how.store.ensure_all(task, device=how.device, engine=how.engine, data_root=how.data_root, progress=beat)
    except RegrowError as error:
        return str(error)
    except Exception:
        return traceback.format_exc()
    return ""
