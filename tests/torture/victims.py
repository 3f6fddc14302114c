"""What is killed and contended: sweeps of tiny runs on the images of the package, every engine among them."""

from __future__ import annotations

import mmap
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from regrow import files
from regrow.config import RunConfig
from regrow.store import Store

TINY = RunConfig(hidden=(20, 10), train_limit=256, epochs=3, batch_size=64, update_interval=2)
RBM = RunConfig(model="rbm-small", train_limit=64, epochs=2, batch_size=16, update_interval=2)

Task = tuple[tuple[RunConfig, ...], str]  # runs that train together, and their engine

SWEEP: tuple[Task, ...] = (
    ((TINY.but(grow="random"),), "sparse"), ((TINY.but(grow="momentum"),), "sparse"),
    ((TINY.but(grow="random>gradient", seed=1),), "sparse"),
    ((TINY.but(prune="set", grow="random", seed=2),), "sparse"),
    ((RBM,), "sparse"), ((TINY.but(sparsity=0.0, prune="none", grow="none"),), "dense"),
    ((TINY.but(dtype="float64", grow="momentum"),), "dense"),
    (tuple(TINY.but(grow=grow, seed=3) for grow in ("random", "gradient", "momentum")), "batched"))
CONTENDED: tuple[RunConfig, ...] = tuple(TINY.but(grow=grow, seed=seed, epochs=2) for seed in range(7)
                                         for grow in ("random", "gradient", "momentum"))[:20]

# Where a worker of a sweep is; the process that kills it reads the last one from memory that they share.
PHASES = ("reading or waiting", "mid-step", "writing a checkpoint", "writing a record", "clearing up")
READING, STEP, CHECKPOINT, RECORD, CLEARING = range(len(PHASES))
WORKERS = 2


def undisturbed(store: Path) -> dict[str, str]:
    """Train everything once; the checksum of every record but its provenance, by key."""
    done = [record for configs, engine in SWEEP for record in Store(store).ensure_all(configs, engine=engine)]
    done += [Store(store).ensure(config) for config in CONTENDED]
    return {record.key: record.result_sha256 for record in done}


def sweep(store: Path, phases: mmap.mmap, seed: int, checkpoint_seconds: float) -> None:
    """Two processes go through the same tasks in different orders, as two commands would; both end, or are killed."""
    children = [_forked(_worker, store, phases, number, seed, checkpoint_seconds) for number in range(WORKERS)]
    for child in children:
        if os.waitpid(child, 0)[1]:
            os._exit(1)


def _worker(store: Path, phases: mmap.mmap, number: int, seed: int, checkpoint_seconds: float) -> None:
    def at(phase: int) -> None:
        phases[number] = phase

    _tell_writes(at)
    for configs, engine in random.Random(f"{seed} {number}").sample(SWEEP, len(SWEEP)):
        at(READING)
        Store(store).ensure_all(configs, engine=engine, checkpoint_seconds=checkpoint_seconds,
                                progress=lambda step: at(STEP))


def _tell_writes(at: Callable[[int], None]) -> None:
    write = files.write_arrays

    def told(path: Path, *rest: Any) -> None:
        at(CHECKPOINT if path.parent.name == "checkpoints" else RECORD)
        write(path, *rest)
        at(STEP if path.parent.name == "checkpoints" else CLEARING)

    files.write_arrays = told  # type: ignore[assignment]


def contend(store: Path, log: Path, processes: int, seed: int) -> None:
    """So many processes ensure the same configs at once, each in an order of its own. Every training is a line in
    `log`, every record that a process was given one in log-NUMBER."""
    children = [_forked(_contender, store, log, number, seed) for number in range(processes)]
    if any([os.waitpid(child, 0)[1] for child in children]):
        os._exit(1)


def _contender(store: Path, log: Path, number: int, seed: int) -> None:
    with log.open("a") as trained, log.with_name(f"{log.name}-{number}").open("w") as given:
        for config in random.Random(f"{seed} {number}").sample(CONTENDED, len(CONTENDED)):
            def progress(step: int, key: str = config.key) -> None:
                if step == 1:
                    os.write(trained.fileno(), f"{key}\n".encode())  # one write: lines of processes never mix

            record = Store(store).ensure(config, checkpoint_seconds=0.02, progress=progress)
            given.write(f"{record.key} {record.result_sha256}\n")


def _forked(do: Callable[..., None], *arguments: Any) -> int:
    child = os.fork()
    if child == 0:
        try:
            do(*arguments)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return child


def main(arguments: Sequence[str]) -> int:
    """A sweep as the command line makes it, in real worker processes: STORE JOBS; prints how it ended."""
    from regrow_companion.sweep import drive as sweeps

    store, jobs = Path(arguments[0]), int(arguments[1])
    began = time.monotonic()
    result = sweeps.run(CONTENDED[:8], Store(store), jobs=jobs, retry_failed=True)
    print(result.trained, result.present, len(result.failed), round(time.monotonic() - began, 2))
    return 1 if result.failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
