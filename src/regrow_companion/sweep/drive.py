"""Many runs: configs in, records out as they finish. On this machine (`local`) or on a Ray cluster (`cluster`)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from regrow.config import RunConfig
from regrow.engines import check_engine
from regrow.errors import RegrowError
from regrow.store import Store
from regrow_companion.console import Progress
from regrow_companion.sweep import heartbeat, local
from regrow_companion.sweep.local import default_jobs
from regrow_companion.sweep.task import Ended, How, Task, divided, work

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
    rest; its checkpoint stays. Ctrl-C stops at once and loses nothing but the seconds since the last checkpoints.
    With engine="ray" the runs go to the Ray cluster at `address`, or to a new one on this machine.
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
    check_engine(trained_by)
    store.check_writable()
    heartbeat.forget_dead(store.root)
    how = How(store, device, trained_by, data_root, jobs)
    weights = {task: sum(work(config, device, trained_by) for config in task)
               for task in divided(wanted, device, trained_by)}
    tasks = list(weights) if in_order else sorted(weights, key=lambda task: -weights[task])
    failed = _collected(tasks, weights, how, address if engine == RAY else None, label)
    return Result(len(wanted) - len(failed), present, failed, skipped)


def _collected(tasks: list[Task], weights: dict[Task, float], how: How, address: str | None,
               label: str) -> dict[str, str]:
    """Follow the events of a sweep to its end; the errors by key."""
    failed: dict[str, str] = {}
    progressed = dict.fromkeys(tasks, 0.0)
    finished, runs = 0, sum(map(len, tasks))
    if address is None:
        events = local.sweep(tasks, how)
    else:
        from regrow_companion.sweep import cluster  # needs an extra

        events = cluster.sweep(tasks, how, address)
    with closing(events), Progress(sum(weights.values()), label) as bar:
        for event in events:
            if isinstance(event, Ended):
                progressed[event.task] = weights[event.task]
                finished += len(event.task)
                if event.error:
                    for config in event.task:
                        failed[config.key] = event.error.strip().splitlines()[-1]
                        how.store.fail(config, event.log(config))
            else:
                progressed[event.task] = event.share * weights[event.task]
            bar.set(sum(progressed.values()), f"{finished} of {runs} runs done")
    return failed
