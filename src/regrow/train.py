"""The training loop of Section 5.1: SGD on a sparse network whose wiring changes every few hundred steps.

The steps themselves are an engine's: `engines/dense.py` is the one to read, the others do the same faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from regrow import schedule
from regrow.config import RunConfig, nearest
from regrow.data import Dataset, ImageSet, steps_per_epoch
from regrow.errors import ConfigError, RegrowError
from regrow.record import Record
from regrow.recorder import Recorder

ENGINES = ("auto", "dense", "sparse")
BREAK_EVEN_DENSITY = 0.5


class Engine(Protocol):
    """A network in training. `state` and `load_state` carry all of it through a checkpoint."""

    @property
    def masks(self) -> Mapping[str, Tensor]: ...
    @property
    def explored(self) -> Mapping[str, Tensor]: ...
    def set_learning_rate(self, lr: float) -> None: ...
    def batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]: ...
    def backward(self, images: Tensor, labels: Tensor, step: int) -> None: ...
    def step(self) -> None: ...
    def update(self, step: int) -> None: ...
    def take_loss(self) -> float: ...
    def accuracy(self, images: ImageSet) -> float: ...
    def state(self) -> dict[str, Tensor]: ...
    def load_state(self, state: Mapping[str, Tensor]) -> None: ...


@dataclass
class Run:
    """A run in progress."""

    config: RunConfig
    engine: Engine
    recorder: Recorder = field(default_factory=Recorder)
    step: int = 0
    seconds: float = 0.0


def start(config: RunConfig, dataset: Dataset, device: str | torch.device = "cpu", engine: str = "dense") -> Run:
    """A network with its first masks, before any training.

    Raises ConfigError if an epoch would end on a batch of one image, which batch normalisation on a 1x1 map refuses,
    and RegrowError for an engine that cannot do this run.
    """
    if config.model == "resnet50" and len(dataset.train.labels) % config.batch_size == 1:
        raise ConfigError(f"{len(dataset.train.labels)} training images leave a last batch of one image, which "
                          "ResNet-50's batch normalisation cannot take; change batch_size or train_limit by one.")
    total_steps = config.epochs * steps_per_epoch(len(dataset.train.labels), config.batch_size)
    run = Run(config, _engine(config, dataset, total_steps, torch.device(device), engine))
    run.recorder.topology(0, float("nan"), run.engine.masks, run.engine.explored)
    run.recorder.moment(0, run.engine.masks)
    return run


def chosen_engine(config: RunConfig, device: str, engine: str = "auto") -> str:
    """'auto' resolved: sparse where it can train the run and is faster, else dense.

    The break-even density is measured by `python -m bench engines`.
    """
    if engine not in ENGINES:
        raise ConfigError(f"There is no engine {engine!r}{nearest(engine, ENGINES)}.")
    if engine != "auto":
        return engine
    from regrow.engines import sparse

    fits = device == "cpu" and sparse.supports(config) and 1 - config.sparsity <= BREAK_EVEN_DENSITY
    return "sparse" if fits else "dense"


def _engine(config: RunConfig, dataset: Dataset, total_steps: int, device: torch.device, name: str) -> Engine:
    if name == "sparse":
        from regrow.engines import sparse

        if not sparse.supports(config) or device.type != "cpu":
            raise RegrowError("The sparse engine trains MLPs on the CPU, with optimizer state on connections only; "
                              "use --engine dense for this run.")
        return sparse.SparseEngine(config, dataset, total_steps)
    from regrow.engines.dense import DenseEngine

    return DenseEngine(config, dataset, total_steps, device)


def train(run: Run, dataset: Dataset, *, save: Callable[[Run], None] | None = None,
          progress: Callable[[int], None] | None = None, provenance: Mapping[str, Any] | None = None) -> Record:
    """Train from where `run` stands to the end of its config, and return the record.

    `save(run)` is called after every step and decides itself whether a checkpoint is due; `progress(step)` likewise
    for a progress bar. Nothing in a step waits for the device.
    """
    config, engine, recorder = run.config, run.engine, run.recorder
    per_epoch = steps_per_epoch(len(dataset.train.labels), config.batch_size)
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
            run.seconds = time.perf_counter() - began
            if save is not None:
                save(run)
            if progress is not None:
                progress(run.step)

    shapes = {name: tuple(mask.shape) for name, mask in engine.masks.items()}
    return recorder.record(config, shapes, per_epoch, {**(provenance or {}), "seconds": round(run.seconds, 3)})
