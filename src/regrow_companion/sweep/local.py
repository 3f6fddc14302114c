"""Worker processes of one thread each on this machine, on its cores or its GPUs.

One that dies costs the runs that it held and no other. After a failure of the GPU, or too little memory, a worker ends,
because nothing that its process still does can be trusted; its runs go to a new one.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import socket
import sys
import time
import warnings
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

import torch

from regrow import cost
from regrow.determinism import environment, one_thread_each
from regrow.engines.batched import shared
from regrow.errors import DEVICE, MEMORY, RegrowError
from regrow_companion.sweep import heartbeat
from regrow_companion.sweep.task import Ended, Event, How, Share, Task, again, halves, told

STILLBIRTHS = 3  # workers that end before they begin, one after the other, until that is taken for the rule
STILLBORN = ("Worker processes end before they begin. If a script of yours starts training, put that below "
             "'if __name__ == \"__main__\":', because each worker imports the script again.")
KILLED = "The process was killed (out of memory?); run the same command with --retry-failed to resume."
CRASHES = ("SIGABRT", "SIGSEGV", "SIGBUS")  # how a process ends whose GPU failed where nobody catches the error


@dataclass
class Place:
    """Where workers train: the cores of this machine, or one GPU that `room` of them share."""

    name: str  # cpu, cuda or cuda:1, as status and logs show it
    room: int
    variables: dict[str, str] = field(default_factory=dict)  # by which a worker sees this GPU only

    @property
    def device(self) -> str:
        """What it is to a worker there."""
        return self.name.partition(":")[0]


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    place: Place
    task: Task | None = None
    share: float = 0.0
    began: bool = False  # it has said something
    crowded: bool = False  # others were in its place during this task


@dataclass(frozen=True)
class _Here:
    """A worker's first words: in one sentence why it cannot use its place, '' if it can."""

    trouble: str


@dataclass(frozen=True)
class _End:
    """How a task ended: '' or the error, and its trouble."""

    error: str = ""
    trouble: str = ""


def default_jobs() -> int:
    """One process per usable core."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def places(device: str, jobs: int = 0) -> list[Place]:
    """Where `jobs` workers go: to the cores, to the one GPU that is named, or evenly to all that there are.

    0 means one per core or GPU. Of the GPUs those count that CUDA_VISIBLE_DEVICES shows, if it is set, by its names.
    """
    if device == "cpu":
        return [Place("cpu", jobs or default_jobs())]
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    names = [name.strip() for name in said.split(",")] if said is not None else [str(number) for number in range(count)]
    number = device.partition(":")[2]
    chosen = [int(number)] if number else list(range(count))
    jobs = jobs or len(chosen)
    return [Place(device if len(chosen) == 1 else f"cuda:{gpu}", len(range(index, jobs, len(chosen))),
                  {"CUDA_VISIBLE_DEVICES": names[gpu]}) for index, gpu in enumerate(chosen[:jobs])]


def sweep(tasks: Sequence[Task], how: How) -> Generator[Event]:
    """Train the tasks in their order, so many at once as there are jobs: one per core or per GPU.

    Where memory does not suffice, fewer workers share the place from then on; if a batch of runs was alone there, it
    and those like it are halved. Nothing in a run changes. Whoever stops listening (close) ends the workers at once.
    Raises RegrowError if no worker ever gets to work, or none can use its place any more.
    """
    waiting, where = deque(tasks), places(how.device, how.jobs)
    workers: list[_Worker] = []
    faulted: set[Task] = set()
    stillborn = 0  # since the last sign of life of any worker
    try:
        while waiting or any(worker.task for worker in workers):
            while sum(worker.task is None for worker in workers) < len(waiting) and (free := _free(where, workers)):
                workers.append(_start(how, free))
            for worker in workers:
                if worker.task is None and waiting:
                    worker.task, worker.share, worker.crowded = waiting.popleft(), 0.0, False
                    _send(worker)
            for worker in workers:
                worker.crowded |= sum(other.place is worker.place for other in workers) > 1
            ready = wait([worker.connection for worker in workers], timeout=0.5)
            for worker in [worker for worker in workers if worker.connection in ready]:
                task, answer = worker.task, _answer(worker)
                if answer is None or (not isinstance(answer, float) and answer.trouble):
                    _end(worker, workers)
                if task is None:  # one that had nothing to do was killed
                    continue
                stillborn = 0 if worker.began else stillborn + 1
                if stillborn == STILLBIRTHS:
                    raise RegrowError(STILLBORN)
                if isinstance(answer, float):
                    worker.share = answer
                    yield Share(task, answer)
                elif isinstance(answer, _Here):
                    if not answer.trouble:
                        continue
                    waiting.appendleft(task)  # which is not to blame
                    worker.place.room -= 1
                    if not any(place.room for place in where):
                        raise RegrowError(answer.trouble)
                elif answer is None and not worker.began:
                    waiting.appendleft(task)
                else:
                    worker.task = None
                    ended = _ended(worker, task, answer, how)
                    if ended.trouble == MEMORY and worker.crowded:
                        _make_room(worker.place)
                        waiting.appendleft(task)
                    elif more := again(ended, faulted):
                        if ended.trouble == MEMORY:
                            waiting = deque(_halved(waiting, task))
                            _say(f"{len(task)} runs together do not fit into the memory of {worker.place.name}: they "
                                 "train in halves.")
                        waiting.extendleft(reversed(more))
                    else:
                        yield ended
    finally:
        for worker in list(workers):
            _end(worker, workers)


def _free(where: Sequence[Place], workers: Sequence[_Worker]) -> Place | None:
    """The place with the most room left."""
    left = [place.room - sum(worker.place is place for worker in workers) for place in where]
    return where[left.index(max(left))] if max(left) > 0 else None


def _make_room(place: Place) -> None:
    if place.room > 1:
        place.room -= 1
        _say(f"the memory of {place.name} does not suffice for {place.room + 1} workers: {place.room} from now on.")


def _halved(waiting: Sequence[Task], task: Task) -> list[Task]:
    """What waits, without batches like this one that are as large."""
    alike = [len(other) >= len(task) and shared(other[0]) == shared(task[0]) for other in waiting]
    return [part for other, too_large in zip(waiting, alike, strict=True)
            for part in (halves(other) if too_large else [other])]


def _say(text: str) -> None:
    print(f"regrow: {text}", file=sys.stderr)


def _start(how: How, place: Place) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, replace(how, device=place.device), place.name), daemon=True)
    with one_thread_each(), environment(place.variables):
        process.start()
    theirs.close()
    return _Worker(process, ours, place)


def _end(worker: _Worker, workers: list[_Worker]) -> None:
    workers.remove(worker)
    worker.process.kill()
    worker.process.join()
    worker.connection.close()


def _send(worker: _Worker) -> None:
    try:
        worker.connection.send(worker.task)
    except ConnectionError:  # it was killed; reading from it will tell
        return


def _answer(worker: _Worker) -> float | _End | _Here | None:
    """The share of the task that is done, or how it ended; None from a worker that is dead."""
    try:
        said: float | _End | _Here = worker.connection.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        return None
    worker.began = True
    return said


def _ended(worker: _Worker, task: Task, end: _End | None, how: How) -> Ended:
    where = f"{socket.gethostname()}, process {worker.process.pid}, {worker.place.name}, engine {how.engine}"
    if end is None:
        end = _End(KILLED)
        signals = {-getattr(signal, name): name for name in CRASHES if hasattr(signal, name)}
        if worker.place.device != "cpu" and (name := signals.get(worker.process.exitcode or 0)):
            end = _End(f"The process was ended by {name}, as after a failure of the GPU; run the same command with "
                       "--retry-failed to resume.", DEVICE)
    return Ended(task, end.error, where, worker.share, end.trouble)


def _serve(connection: Connection, how: How, place: str) -> None:
    """A worker's life: a task in, shares of it and then its end out. Ctrl-C is left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.filterwarnings("ignore", message=".* made of other data")  # the parent has said it
    here = _Here(_unfit(how.device, place))
    connection.send(here)
    if here.trouble:
        return
    while True:
        try:
            task = connection.recv()
        except EOFError:  # the parent is gone
            return
        try:
            connection.send(_ensure(task, how, connection, place))
        except ConnectionError:  # the parent was killed in the meantime; what was trained is in the store
            return
        _give_back(how.device)


def _unfit(device: str, place: str) -> str:
    """Why this process cannot use a GPU, in one sentence; '' if it can."""
    if device == "cpu":
        return ""
    try:
        torch.ones(2, device=device).sum().item()
    except Exception as error:  # whatever a driver may say
        line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        return (f"{place} cannot be used ({line}): see what nvidia-smi says of it, or leave --device out; no run was "
                "given up, and the same command goes on.")
    return ""


def _give_back(device: str) -> None:
    """What PyTorch keeps of a GPU's memory after a task is free for the others there."""
    if device != "cpu":
        gc.collect()  # a network and its hooks are a circle
        with suppress(RuntimeError):  # of a GPU that failed; the next task will say so
            torch.cuda.empty_cache()


def _ensure(task: Task, how: How, connection: Connection, place: str = "") -> _End:
    total, last = cost.total_steps(task[0]), 0.0

    def report(step: int) -> None:
        nonlocal last
        first = last == 0.0
        if first or time.monotonic() - last > 0.5:
            connection.send((step - 1 if first else step) / total)  # first where the checkpoint was
            last = time.monotonic()

    try:
        with heartbeat.of_task(how.store.root, task, how.device, how.engine, report, place) as beat:
            how.store.ensure_all(task, device=how.device, engine=how.engine, data_root=how.data_root, progress=beat)
    except Exception as error:
        return _End(*told(error, place or how.device, len(task)))
    return _End()
