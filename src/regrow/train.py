"""The training loop of Section 5.1: SGD on a sparse network whose wiring changes every few hundred steps.

The steps themselves are an engine's: `engines/dense.py` is the one to read, the others do the same faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from regrow import schedule
from regrow.config import RunConfig
from regrow.data import Dataset, steps_per_epoch
from regrow.engines.engine import Engine, Measured, new_engine
from regrow.errors import ConfigError
from regrow.record import Record, Recorder


@dataclass
class Run:
    """A run in progress, or several that train together: `config` is then what they have in common."""

    config: RunConfig
    engine: Engine
    key: str  # of its checkpoint
    steps_per_epoch: int
    recorder: Any = field(default_factory=Recorder)  # or Recorders
    step: int = 0
    seconds: float = 0.0


def start(config: RunConfig, dataset: Dataset, device: str | torch.device = "cpu", engine: str = "dense") -> Run:
    """A network with its first masks, before any training.

    Raises ConfigError if an epoch would end on a batch of one image, which batch normalisation on a 1x1 map refuses,
    and RegrowError for an engine that cannot do this run.
    """
    check_last_batch(config, len(dataset.train.labels))
    per_epoch = steps_per_epoch(len(dataset.train.labels), config.batch_size)
    made = new_engine(config, dataset, config.epochs * per_epoch, torch.device(device), engine)
    return begin(Run(config, made, config.key, per_epoch))


def check_last_batch(config: RunConfig, images: int) -> None:
    """Raise ConfigError if an epoch of so many images would end on a batch that the network cannot take."""
    if config.model == "resnet50" and images % config.batch_size == 1:
        raise ConfigError(f"{images} training images leave a last batch of one image, which ResNet-50's batch "
                          "normalisation cannot take; change batch_size or train_limit by one.")


def begin(run: Run) -> Run:
    """Record the wiring before training."""
    run.recorder.topology(0, float("nan"), run.engine.masks, run.engine.explored)
    run.recorder.moment(0, run.engine.masks)
    return run


def train(run: Run, dataset: Dataset, *, save: Callable[[Run], None] | None = None,
          progress: Callable[[int], None] | None = None, provenance: Mapping[str, Any] | None = None) -> Record:
    """Train from where `run` stands to the end of its config, and return the record."""
    advance(run, dataset, save=save, progress=progress)
    shapes = {name: tuple(mask.shape) for name, mask in run.engine.masks.items()}
    made = {**(provenance or {}), "seconds": round(run.seconds, 3)}
    final = run.engine.final() if isinstance(run.engine, Measured) else None
    return run.recorder.record(run.config, shapes, run.steps_per_epoch, made, final)


def advance(run: Run, dataset: Dataset, *, save: Callable[[Run], None] | None = None,
            progress: Callable[[int], None] | None = None) -> None:
    """The loop: from where `run` stands to the end of its config.

    `save(run)` is called after every step and decides itself whether a checkpoint is due; `progress(step)` likewise
    for a progress bar. Nothing in a step waits for the device.
    """
    config, engine, recorder, per_epoch = run.config, run.engine, run.recorder, run.steps_per_epoch
    total = per_epoch * config.epochs
    updates = frozenset(schedule.update_steps(config, total))
    moments = schedule.moment_steps(config, total)[1:]
    began = time.perf_counter() - run.seconds

    for epoch in range(run.step // per_epoch, config.epochs):
        lr = schedule.learning_rate(config, epoch)
        engine.set_learning_rate(lr)
        for images, labels in engine.batches(epoch, start=run.step - epoch * per_epoch):
            run.step += 1
            update = run.step in updates
            engine.backward(images, labels, run.step)
            if not (update and config.update_order == "instead_of_step"):
                engine.step()
            if update:
                engine.update(run.step)
                recorder.topology(run.step, schedule.prune_rate(config, run.step, total), engine.masks, engine.explored)
            for _ in range(moments.count(run.step)):
                recorder.moment(run.step, engine.masks)
            if run.step == (epoch + 1) * per_epoch:
                recorder.epoch(learning_rate=lr, train_loss=engine.take_loss() / per_epoch,
                               val_accuracy=engine.accuracy(dataset.validation),
                               test_accuracy=engine.accuracy(dataset.test))
                if isinstance(engine, Measured):
                    recorder.measures(engine.measures())
            run.seconds = time.perf_counter() - began
            if save is not None:
                save(run)
            if progress is not None:
                progress(run.step)
