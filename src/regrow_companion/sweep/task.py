"""What a sweep hands to a worker and what it hears back; the same for every sweep engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow import cost
from regrow.config import RunConfig
from regrow.engines import chosen_engine
from regrow.engines.batched import groups
from regrow.errors import RegrowError
from regrow.store import Store

Task = tuple[RunConfig, ...]  # one run, or several that train together


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
    """So much of a task is done, between 0 and 1."""

    task: Task
    share: float


@dataclass(frozen=True)
class Ended:
    """A task is over: its records are in the store, or `error` says why not, in its last line."""

    task: Task
    error: str = ""
    where: str = ""  # machine and process, device and engine
    reached: float = 0.0  # the share that was done

    def log(self, config: RunConfig) -> str:
        """What is kept of a run that failed."""
        words = " ".join(typed(config))
        others = f" with {len(self.task) - 1} others" if len(self.task) > 1 else ""
        return (f"run      {config.key}{others}\nconfig   {words}\nwhere    {self.where}\n"
                f"reached  {100 * self.reached:.1f} %\n\n{self.error.strip()}\n")


Event = Share | Ended


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
    """Runs for the batched engine in batches, the others one by one."""
    alone: list[Task] = []
    grouped: list[RunConfig] = []
    for config in configs:
        try:
            fits = chosen_engine(config, device, engine) == "batched"
        except RegrowError:  # its worker will say so
            fits = False
        grouped.append(config) if fits else alone.append((config,))
    return [*alone, *groups(grouped)]


def work(config: RunConfig, device: str, engine: str) -> float:
    """Relative time of a run. On the sparse engine it is between a tenth (large nets) and a third (small ones)."""
    sparse = engine == "sparse" or (engine == "auto" and chosen_engine(config, device) == "sparse")
    return cost.multiply_adds(config) * (0.25 if sparse else 1.0)
