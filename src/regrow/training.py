"""Runs on this machine from wherever their checkpoint stands to their records; `store` says where files go."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from regrow import checkpoint, provenance, schedule, together, train
from regrow.config import RunConfig
from regrow.determinism import one_thread
from regrow.errors import ConfigError, RegrowError, StoreError
from regrow.record import Record

if TYPE_CHECKING:
    from regrow.data import Dataset


def trained(configs: Sequence[RunConfig], *, device: str, engine: str, data_root: Path | None,
            checkpoint_path: Path, checkpoint_seconds: float, damaged: Callable[[Path, StoreError], None],
            progress: Callable[[int], None] | None = None) -> list[Record]:
    """Train one run, or several on the batched engine, resuming from the checkpoint if there is one.

    A checkpoint that cannot be used is handed to `damaged`, and training starts anew.
    """
    dataset = _dataset(configs[0], device, data_root)
    run, resumed = _start(configs, dataset, device, engine), False
    if checkpoint_path.is_file():
        try:
            checkpoint.restore(run, checkpoint_path, engine)
            resumed = True
        except StoreError as error:
            damaged(checkpoint_path, error)
            run = _start(configs, dataset, device, engine)
    last = time.monotonic()

    def save(run: train.Run) -> None:
        nonlocal last
        if time.monotonic() - last >= checkpoint_seconds:
            checkpoint.save(run, checkpoint_path, engine)
            last = time.monotonic()

    with one_thread() if device == "cpu" else nullcontext():
        made = provenance.of_run(device=device, engine=engine, threads=torch.get_num_threads(),
                                 data_sha256=dataset.sha256) | {"resumed": resumed}
        if engine == "batched":
            return together.finish(run, dataset, save=save, progress=progress, provenance=made)
        return [train.train(run, dataset, save=save, progress=progress, provenance=made)]


def checkpoint_key(configs: Sequence[RunConfig], engine: str) -> str:
    """What the checkpoint of these runs is called."""
    return together.key_of(configs) if engine == "batched" else configs[0].key


def check_trainable(config: RunConfig, device: str = "cpu") -> None:
    """Raise RegrowError, in one sentence, for a run that this version or this machine cannot train."""
    if config.is_rbm and (config.image_format != "native" or config.amp):
        raise RegrowError("RBMs take images as they are and train in full precision: leave image_format and amp out.")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise RegrowError(f"There is no device {device!r}; use --device cpu, cuda, or cuda:1 for the second GPU.")
    number = int(device.partition(":")[2] or 0)
    if device != "cpu" and number >= torch.cuda.device_count():
        raise RegrowError(f"There is no CUDA device {number} here (found {torch.cuda.device_count()}); "
                          "leave --device out or use --device cpu.")


def check_ready(configs: Sequence[RunConfig], device: str, engine: str, data_root: Path | None) -> None:
    """Raise RegrowError, in one sentence, for whatever would stop these runs before their first step.

    To be called before anything is written. The images that it reads stay in memory for the training.
    """
    from regrow.data import steps_per_epoch
    from regrow.engines.engine import chosen_engine

    for config in configs:
        check_trainable(config, device)
        chosen_engine(config, device, engine)
        images = len(_dataset(config, device, data_root).train.labels)
        train.check_last_batch(config, images)
        total = config.epochs * steps_per_epoch(images, config.batch_size)
        if config.is_dynamic and not schedule.update_steps(config, total):
            until = f" and updates end at {config.update_until:g} of it" if config.update_until < 1 else ""
            raise ConfigError(f"The wiring would never change, as training has {total:,} steps{until} and the first "
                              f"update would come after step {config.update_interval:,}: lower update_interval, train "
                              "longer, or add prune=none grow=none.")


def _start(configs: Sequence[RunConfig], dataset: Dataset, device: str, engine: str) -> train.Run:
    if engine == "batched":
        return together.start(configs, dataset, device)
    return train.start(configs[0], dataset, device, engine)


def _dataset(config: RunConfig, device: str, data_root: Path | None) -> Dataset:
    from regrow import data

    images = _load(config.dataset, config.image_format, config.train_limit, device, data_root)
    return data.normalised_as(images, config.normalise)


@lru_cache(maxsize=2)
def _load(name: str, image_format: str, train_limit: int, device: str, data_root: Path | None) -> Dataset:
    from regrow import data

    return data.load(name, root=data_root, image_format=image_format, device=device, train_limit=train_limit)
