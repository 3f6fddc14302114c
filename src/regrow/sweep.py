"""Many runs in several processes of one thread each. A process that dies costs the runs that it held and no other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from regrow import cost, together
from regrow.config import RunConfig
from regrow.engines.engine import check_engine, chosen_engine
from regrow.errors import RegrowError
from regrow.progress import Progress
from regrow.store import Store

Task = tuple[RunConfig, ...]  # one run, or several that train together


@dataclass(frozen=True)
class Result:
    """How a sweep ended: runs done now, runs that were there already, and the error of every run that failed."""

    trained: int
    present: int
    failed: dict[str, str]  # key -> one line


@dataclass(frozen=True)
class _How:
    """What every worker needs to know besides the run."""

    store: Store
    device: str
    engine: str
    data_root: Path | None


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    task: Task | None = None


def default_jobs() -> int:
    """One process per usable core."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(configs: Sequence[RunConfig], store: Store, *, jobs: int = 0, device: str = "cpu", engine: str = "auto",
        data_root: Path | None = None, label: str = "training") -> Result:
    """Make sure that the store has a sound record of every config. The longest runs start first.

    A run that fails, or whose process is killed, leaves its error in store/failed and never blocks the rest; its
    checkpoint stays. Ctrl-C stops at once and loses nothing but the seconds since the last checkpoints.
    """
    distinct = list(dict.fromkeys(configs))
    missing = [config for config in distinct if store.get(config) is None]
    if not missing:
        return Result(0, len(distinct), {})
    check_engine(engine)
    store.check_writable()
    tasks = _tasks(missing, device, engine)
    work = {task: sum(_work(config, device, engine) for config in task) for task in tasks}
    waiting = sorted(tasks, key=lambda task: work[task])  # taken from the end
    jobs = min(jobs or (default_jobs() if device == "cpu" else 1), len(tasks))
    how = _How(store, device, engine, data_root)
    progressed = dict.fromkeys(tasks, 0.0)
    failed: dict[str, str] = {}
    workers: list[_Worker] = []
    try:
        with Progress(sum(work.values()), label) as bar:
            while waiting or any(worker.task for worker in workers):
                while waiting and len(workers) < jobs:
                    workers.append(_start(how))
                for worker in workers:
                    if worker.task is None and waiting:
                        worker.task = waiting.pop()
                        worker.connection.send(worker.task)
                ready = wait([worker.connection for worker in workers], timeout=0.5)
                for worker in [worker for worker in workers if worker.connection in ready]:
                    task = worker.task
                    assert task is not None
                    answer = _answer(worker, workers)
                    if isinstance(answer, float):
                        progressed[task] = answer * work[task]
                        continue
                    worker.task, progressed[task] = None, work[task]
                    if answer:
                        for config in task:
                            failed[config.key] = answer.strip().splitlines()[-1]
                            store.fail(config, answer)
                unfinished = [*waiting, *(worker.task for worker in workers if worker.task)]
                finished = len(missing) - sum(map(len, unfinished))
                bar.set(sum(progressed.values()), f"{finished} of {len(missing)} runs done")
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
    return Result(len(missing) - len(failed), len(distinct) - len(missing), failed)


def _tasks(configs: Sequence[RunConfig], device: str, engine: str) -> list[Task]:
    """Runs for the batched engine in batches, the others one by one."""
    alone: list[Task] = []
    grouped: list[RunConfig] = []
    for config in configs:
        try:
            fits = chosen_engine(config, device, engine) == "batched"
        except RegrowError:  # its worker will say so
            fits = False
        grouped.append(config) if fits else alone.append((config,))
    return [*alone, *together.groups(grouped)]


def _work(config: RunConfig, device: str, engine: str) -> float:
    """Relative time of a run. On the sparse engine it is between a tenth (large nets) and a third (small ones)."""
    sparse = engine == "sparse" or (engine == "auto" and chosen_engine(config, device) == "sparse")
    return cost.multiply_adds(config) * (0.25 if sparse else 1.0)


def _start(how: _How) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, how), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _answer(worker: _Worker, workers: list[_Worker]) -> float | str:
    """The share of the task that is done, or how it ended: '' or the error. A dead worker leaves the list."""
    try:
        return worker.connection.recv()
    except (EOFError, ConnectionError):
        workers.remove(worker)
        return "The process was killed (out of memory?); run the same command again to resume."


def _serve(connection: Connection, how: _How) -> None:
    """A worker's life: a task in, shares of it and then '' or the error out. Ctrl-C is left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            task = connection.recv()
        except EOFError:  # the parent is gone
            return
        connection.send(_ensure(task, how, connection))


def _ensure(task: Task, how: _How, connection: Connection) -> str:
    total, last = cost.total_steps(task[0]), time.monotonic()

    def report(step: int) -> None:
        nonlocal last
        if time.monotonic() - last > 0.5:
            connection.send(step / total)
            last = time.monotonic()

    try:
        how.store.ensure_all(task, device=how.device, engine=how.engine, data_root=how.data_root, progress=report)
    except RegrowError as error:
        return str(error)
    except Exception:
        return traceback.format_exc()
    return ""
