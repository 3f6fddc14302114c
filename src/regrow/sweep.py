"""Many runs: one after another in this process, or in several processes of one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from regrow import cost
from regrow.config import RunConfig
from regrow.errors import RegrowError
from regrow.progress import Progress
from regrow.store import Store


@dataclass(frozen=True)
class Result:
    """How a sweep ended: runs done now, runs that were there already, and the error of every run that failed."""

    trained: int
    present: int
    failed: dict[str, str]  # key -> one line


def default_jobs() -> int:
    """One process per usable core."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(configs: Sequence[RunConfig], store: Store, *, jobs: int = 0, device: str = "cpu",
        data_root: Path | None = None, label: str = "training") -> Result:
    """Make sure that the store has a record of every config. The longest runs start first.

    A run that fails leaves its error in store/failed and never blocks the rest. A process that is killed counts as a
    failure of the runs it held; their checkpoints stay. Ctrl-C stops at once and loses nothing but the seconds since
    the last checkpoints.
    """
    waiting = sorted({config for config in configs if not store.has(config)}, key=cost.multiply_adds, reverse=True)
    present = len(set(configs)) - len(waiting)
    if not waiting:
        return Result(0, present, {})
    store.check_writable()
    context = multiprocessing.get_context("spawn")
    shared: Synchronized[float] = context.Value("d", 0.0)
    work = sum(cost.multiply_adds(config) for config in waiting)
    failed: dict[str, str] = {}
    pool = ProcessPoolExecutor(min(jobs or default_jobs(), len(waiting)), mp_context=context, initializer=_worker,
                               initargs=(shared,))
    try:
        with Progress(work, label) as progress:
            futures = {pool.submit(_ensure, config, store, device, data_root): config for config in waiting}
            pending: set[Future[str]] = set(futures)
            while pending:
                finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in finished:
                    error = _error(future)
                    if error:
                        config = futures[future]
                        failed[config.key] = error.strip().splitlines()[-1]
                        store.fail(config, error)
                done = len(waiting) - len(pending)
                progress.set(min(shared.value, work), f"{done} of {len(waiting)} runs done")
    except BaseException:
        for process in list((pool._processes or {}).values()):  # a running task cannot be cancelled otherwise
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()
    return Result(len(waiting) - len(failed), present, failed)


_done: Synchronized[float] | None = None


def _worker(shared: Synchronized[float]) -> None:
    """Set a worker up: one thread, and Ctrl-C left to the parent."""
    import torch

    global _done
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _done = shared


def _ensure(config: RunConfig, store: Store, device: str, data_root: Path | None) -> str:
    """Train one run in a worker; returns '' or the error."""
    total, per_run = cost.total_steps(config), cost.multiply_adds(config)
    reported, last = 0, time.monotonic()

    def report(step: int) -> None:
        nonlocal reported, last
        if time.monotonic() - last > 0.5 or step == total:
            assert _done is not None
            with _done.get_lock():
                _done.value += per_run * (step - reported) / total
            reported, last = step, time.monotonic()

    try:
        store.ensure(config, device=device, data_root=data_root, progress=report)
    except RegrowError as error:
        return str(error)
    except Exception:
        return traceback.format_exc()
    return ""


def _error(future: Future[str]) -> str:
    try:
        return future.result()
    except BrokenProcessPool:
        return "The process was killed (out of memory?); run the same command again to resume."
