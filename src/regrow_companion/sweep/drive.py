"""Many runs: configs in, records out as they finish. On this machine (`local`) or on a Ray cluster (`cluster`)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

import torch

from regrow.config import RunConfig
from regrow.engines import chosen_engine
from regrow.errors import RegrowError, UnwritableError
from regrow.store import Store
from regrow.train import check_device
from regrow_companion.console import Progress
from regrow_companion.sweep import heartbeat, local, step_times
from regrow_companion.sweep.local import default_jobs
from regrow_companion.sweep.task import DISK, Ended, How, Share, Task, divided, work

__all__ = ["RAY", "Result", "default_jobs", "run"]

RAY = "ray"  # in the place of a training engine: that is then chosen for each run, and Ray says where it trains


@dataclass(frozen=True)
class Result:
    """How a sweep ended: runs done now, runs that were there already, the error of every run that failed, and of every
    run that failed an earlier time and was not tried again."""

    trained: int
    present: int
    failed: dict[str, str]  # key -> one line
    skipped: dict[str, str] = field(default_factory=dict)


def run(configs: Sequence[RunConfig], store: Store, *, jobs: int = 0, device: str = "cpu", engine: str = "auto",
        address: str = "", data_root: Path | None = None, retry_failed: bool = True,
        label: str = "training", in_order: bool = False) -> Result:
    """Make sure that the store has a sound record of every config. The longest runs start first, unless `in_order`.

    A run that fails, or whose process is killed again and again, leaves its error in store/failed and never blocks the
    rest; its checkpoint stays. Ctrl-C stops at once and loses nothing but the seconds since the last checkpoints. So
    does a store that can no longer be written, with UnwritableError, since every other run would fail as well.
    With engine="ray" the runs go to the Ray cluster at `address`, or to a new one on this machine. Raises RegrowError,
    with nothing written, for a device that is not here or an engine that cannot train one of the runs.
    """
    if address and engine != RAY:
        raise RegrowError("--address is that of a Ray cluster: give --engine ray as well, or leave it out.")
    distinct = list(dict.fromkeys(configs))
    missing = [config for config in distinct if store.made_here(config, data_root) is None]
    errors = {} if retry_failed else {config: store.failure(config) for config in missing}
    skipped = {config.key: error for config, error in errors.items() if error is not None}
    wanted = [config for config in missing if config.key not in skipped]
    present = len(distinct) - len(missing)
    if not wanted:
        return Result(0, present, {}, skipped)
    trained_by = "auto" if engine == RAY else engine
    _check_here(wanted, device, trained_by, ray=engine == RAY)
    store.check_writable()
    heartbeat.forget_dead(store.root)
    how = How(store, device, trained_by, data_root, jobs)
    tasks = divided(wanted, device, trained_by)
    weights = _weights(tasks, how)
    if not in_order:
        tasks.sort(key=lambda task: -sum(weights[config] for config in task))
    failed = _collected(tasks, weights, how, address if engine == RAY else None, label)
    return Result(len(wanted) - len(failed), present, failed, skipped)


def _check_here(configs: Sequence[RunConfig], device: str, engine: str, *, ray: bool) -> None:
    """Raise RegrowError, before anything is written, for a device or engine that cannot train these runs.

    Which devices the nodes of a Ray cluster have, they know themselves; `cluster` asks them.
    """
    if not ray:
        check_device(device)
    elif device not in ("cpu", "cuda"):
        raise RegrowError(f"Ray shows each worker one GPU, which is cuda to it, so there is no device {device!r}: give "
                          "--device cuda with --engine ray, or leave --device out.")
    for config in configs:
        chosen_engine(config, device, engine)


def _weights(tasks: Sequence[Task], how: How) -> dict[RunConfig, float]:
    """What the runs take, relative to each other: on a GPU by measured steps, else by their multiply-adds.

    On a GPU arithmetic says little: a small network waits for its kernels to start. A few steps of every kind are
    taken in a process of their own, which leaves no memory in use.
    """
    if how.device != "cpu" and len(tasks) > 1 and torch.cuda.device_count():
        print("regrow: timing some steps of every kind of run, for their order and the time left", file=sys.stderr)
        try:
            engine = "dense" if how.engine == "compiled" else how.engine  # compiling takes longer than it tells
            measured = step_times.measure(tasks, how.device, engine=engine, apart=True)
            seconds = {task: measured.of(task, engine) for task in tasks}
        except Exception as error:  # whatever it is, the runs themselves will tell
            print(f"regrow: that failed ({type(error).__name__}), so multiply-adds decide", file=sys.stderr)
            seconds = {}
        known = {config: total / len(task) for task, total in seconds.items() if total is not None for config in task}
        if len(known) == sum(map(len, tasks)):
            return known
    return {config: work(config, how.device, how.engine) for task in tasks for config in task}


def _collected(tasks: Sequence[Task], weights: dict[RunConfig, float], how: How, address: str | None,
               label: str) -> dict[str, str]:
    """Follow the events of a sweep to its end; the errors by key."""
    failed: dict[str, str] = {}
    progressed = dict.fromkeys(weights, 0.0)  # by run, since a batch may be halved
    before = dict[RunConfig, float]()  # what earlier sweeps left of them in checkpoints
    finished, runs = 0, sum(map(len, tasks))
    if address is None:
        events = local.sweep(tasks, how)
    else:
        from regrow_companion.sweep import cluster  # needs an extra

        events = cluster.sweep(tasks, how, address)
    with closing(events), Progress(sum(weights.values()), label) as bar:
        for event in events:
            share = 1.0 if isinstance(event, Ended) else event.share
            progressed |= {config: share * weights[config] for config in event.task}
            if isinstance(event, Share):
                before |= {config: min(before.get(config, inf), progressed[config]) for config in event.task}
                bar.before = sum(before.values())
            else:
                if event.trouble == DISK:
                    raise UnwritableError(f"{event.error} {finished} of {runs} runs had ended; none counts as failed "
                                          "for this, and the same command goes on.")
                finished += len(event.task)
                if event.error:
                    for config in event.task:
                        failed[config.key] = event.error.strip().splitlines()[-1]
                        how.store.fail(config, event.log(config))
            bar.set(sum(progressed.values()), f"{finished} of {runs} runs done")
    return failed
