"""Several runs of one MLP in one loop, on the batched engine; each of them ends as a record of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from regrow import train
from regrow.config import RunConfig
from regrow.data import Dataset, steps_per_epoch
from regrow.engines.batched import BatchedEngine, shared
from regrow.errors import ConfigError
from regrow.record import Record, Recorders

LARGEST = 16  # runs in a batch; the paper's 15 topology runs are one


def groups(configs: Iterable[RunConfig], largest: int = LARGEST) -> list[tuple[RunConfig, ...]]:
    """Runs that may train together, at most `largest` of them in a batch, in order of first appearance."""
    alike: dict[RunConfig, list[RunConfig]] = {}
    for config in configs:
        alike.setdefault(shared(config), []).append(config)
    return [group for every in alike.values() for group in _split(every, largest)]


def start(configs: Sequence[RunConfig], dataset: Dataset, device: str | torch.device = "cpu") -> train.Run:
    """Networks with their first masks, before any training. Raises ConfigError if they cannot share a batch."""
    common = shared(configs[0])
    if any(shared(config) != common for config in configs):
        raise ConfigError("Runs that train together may differ in seed, sparsity, initialisation and strategy only.")
    per_epoch = steps_per_epoch(len(dataset.train.labels), common.batch_size)
    engine = BatchedEngine(configs, dataset, common.epochs * per_epoch, torch.device(device))
    return train.begin(train.Run(common, engine, key_of(configs), per_epoch, Recorders(len(configs))))


def finish(run: train.Run, dataset: Dataset, *, save: Callable[[train.Run], None] | None = None,
           progress: Callable[[int], None] | None = None, provenance: Mapping[str, Any] | None = None) -> list[Record]:
    """Train from where the runs stand to their end, and return their records. `seconds` is each one's share."""
    train.advance(run, dataset, save=save, progress=progress)
    assert isinstance(run.engine, BatchedEngine)
    configs, masks = run.engine.configs, run.engine.masks
    made = {**(provenance or {}), "together": len(configs), "seconds": round(run.seconds / len(configs), 3)}
    return [recorder.record(config, {layer: tuple(mask.shape) for layer, mask in of_run.items()}, run.steps_per_epoch,
                            made) for recorder, config, of_run in zip(run.recorder.runs, configs, masks, strict=True)]


def key_of(configs: Sequence[RunConfig]) -> str:
    """Names the checkpoint of a batch: runs and their order."""
    return "together-" + hashlib.sha256(" ".join(config.key for config in configs).encode()).hexdigest()[:16]


def _split(configs: Sequence[RunConfig], largest: int) -> list[tuple[RunConfig, ...]]:
    return [tuple(configs[first:first + largest]) for first in range(0, len(configs), largest)]
