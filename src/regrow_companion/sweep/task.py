"""What a sweep hands to a worker and what it hears back; the same for every sweep engine."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow import cost
from regrow.config import RunConfig
from regrow.engines import chosen_engine
from regrow.engines.batched import groups
from regrow.errors import DEVICE, MEMORY, RegrowError, UnwritableError, sentence_of, trouble_of
from regrow.store import Store

Task = tuple[RunConfig, ...]  # one run, or several that train together
DISK = "disk"  # a trouble beside those of `errors`: nothing can be written, for this run or any other


@dataclass(frozen=True)
class How:
    """What every worker needs to know besides the run."""

    store: Store
    device: str
    engine: str
    data_root: Path | None
    jobs: int = 0  # workers at once, on a GPU of a cluster those that share it; 0 leaves it to the sweep engine


@dataclass(frozen=True)
class Share:
    """So much of a task is done, between 0 and 1; the first one says what was done when it began."""

    task: Task
    share: float


@dataclass(frozen=True)
class Ended:
    """A task is over: its records are in the store, or `error` says why not, in its last line."""

    task: Task
    error: str = ""
    where: str = ""  # machine and process, device and engine
    reached: float = 0.0  # the share that was done
    trouble: str = ""  # MEMORY, DEVICE or DISK, if that is why

    def log(self, config: RunConfig) -> str:
        """What is kept of a run that failed."""
        words = " ".join(typed(config))
        others = f" with {len(self.task) - 1} others" if len(self.task) > 1 else ""
        return (f"run      {config.key}{others}\nconfig   {words}\nwhere    {self.where}\n"
                f"reached  {100 * self.reached:.1f} %\n\n{self.error.strip()}\n")


Event = Share | Ended


def told(error: Exception, device: str, runs: int) -> tuple[str, str]:
    """What is kept of an error under whose handling this is called, its last line a sentence; and its trouble.

    A run that does not fit into memory has nothing to be traced; a GPU that fails may do so by an error of ours.
    """
    if isinstance(error, UnwritableError):
        return str(error), DISK
    trouble = trouble_of(error)
    sentence = str(error) if isinstance(error, RegrowError) else sentence_of(error, device, runs) if trouble else ""
    if trouble == MEMORY or (sentence and not trouble):
        return sentence, trouble
    return f"{traceback.format_exc()}{sentence}", trouble


def again(ended: Ended, faulted: set[Task]) -> list[Task]:
    """What to try after a task that ended in trouble; nothing if that is all that can be done.

    Once more after a failure of the GPU, which is remembered in `faulted`; in halves if several runs did not fit into
    memory together. They begin anew, as the checkpoint is that of all.
    """
    task = ended.task
    if ended.trouble == DEVICE and task not in faulted:
        faulted.add(task)
        return [task]
    return halves(task) if ended.trouble == MEMORY and len(task) > 1 else []


def halves(task: Task) -> list[Task]:
    """The first and the second half of the runs that train together."""
    middle = len(task) // 2
    return [task[:middle], task[middle:]]


def described(config: RunConfig) -> dict[str, Any]:
    """The keys that make this very run: those whose value is not what it would be if nothing were said of it."""
    said = {name: getattr(config, name) for name in ("model", "dataset", "hidden")}
    otherwise = RunConfig(**said).to_dict() | {name: value for name, value in RunConfig().to_dict().items()
                                               if name in said}
    return {name: value for name, value in config.to_dict().items() if value != otherwise[name]}


def typed(config: RunConfig) -> list[str]:
    """The same as one types them on the command line."""
    return [f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
            for name, value in described(config).items()]


def divided(configs: Sequence[RunConfig], device: str, engine: str) -> list[Task]:
    """Runs for the batched engine in batches, the others one by one. Raises as `chosen_engine`."""
    alone: list[Task] = []
    grouped: list[RunConfig] = []
    for config in configs:
        if chosen_engine(config, device, engine) == "batched":
            grouped.append(config)
        else:
            alone.append((config,))
    return [*alone, *groups(grouped)]


def work(config: RunConfig, device: str, engine: str) -> float:
    """Relative time of a run. On the sparse engine it is between a tenth (large nets) and a third (small ones)."""
    sparse = engine == "sparse" or (engine == "auto" and chosen_engine(config, device) == "sparse")
    return cost.multiply_adds(config) * (0.25 if sparse else 1.0)
