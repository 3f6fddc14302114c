"""The training loop of Section 5.1: SGD on a sparse network whose wiring changes every few hundred steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regrow import models, schedule
from regrow.config import RunConfig
from regrow.data import Dataset, ImageSet, batches, evaluation_batches, steps_per_epoch
from regrow.errors import ConfigError
from regrow.record import Record
from regrow.recorder import Recorder, percent
from regrow.topology import Topology

Save = Callable[["Run"], None]
Progress = Callable[[int], None]


@dataclass
class Run:
    """A run in progress: all that changes while it trains, and so all that a checkpoint holds."""

    config: RunConfig
    model: nn.Module
    optimizer: torch.optim.SGD
    topology: Topology
    recorder: Recorder
    epoch_loss: Tensor  # sum of the batch losses of the current epoch; stays on the device
    step: int = 0
    seconds: float = 0.0


def start(config: RunConfig, dataset: Dataset, device: str | torch.device = "cpu") -> Run:
    """A network with its first masks, before any training.

    Raises ConfigError if an epoch would end on a batch of one image, which batch normalisation on a 1x1 map refuses.
    """
    if config.model == "resnet50" and len(dataset.train.labels) % config.batch_size == 1:
        raise ConfigError(f"{len(dataset.train.labels)} training images leave a last batch of one image, which "
                          "ResNet-50's batch normalisation cannot take; change batch_size or train_limit by one.")
    model = models.build(config, classes=dataset.classes, image_shape=dataset.image_shape).to(device)
    topology = Topology(config, models.maskable(model))
    optimizer = torch.optim.SGD(model.parameters(), lr=config.lr, momentum=config.momentum, nesterov=config.nesterov,
                                weight_decay=config.weight_decay, fused=True)
    run = Run(config, model, optimizer, topology, Recorder(), torch.zeros((), device=device))
    run.recorder.topology(0, float("nan"), topology.masks, topology.explored)
    run.recorder.moment(0, topology.masks)
    return run


def train(run: Run, dataset: Dataset, *, save: Save | None = None, progress: Progress | None = None,
          provenance: dict[str, Any] | None = None) -> Record:
    """Train from where `run` stands to the end of its config, and return the record.

    `save(run)` is called after every step and decides itself whether a checkpoint is due; `progress(step)` likewise
    for a progress bar. Nothing in a step waits for the device.
    """
    config, model, topology, optimizer = run.config, run.model, run.topology, run.optimizer
    device = run.epoch_loss.device
    per_epoch = steps_per_epoch(len(dataset.train.labels), config.batch_size)
    total = per_epoch * config.epochs
    updates = frozenset(schedule.update_steps(config, total))
    moments = schedule.moment_steps(config, total)[1:]
    dtype = getattr(torch, config.dtype)
    began = time.perf_counter() - run.seconds

    for epoch in range(run.step // per_epoch, config.epochs):
        lr = schedule.learning_rate(config, epoch)
        for group in optimizer.param_groups:
            group["lr"] = lr
        for images, labels in batches(dataset, batch_size=config.batch_size, seed=config.seed, epoch=epoch,
                                      augment=config.augment, dtype=dtype, start=run.step - epoch * per_epoch):
            run.step += 1
            update = run.step in updates
            model.train()
            with torch.autocast(device.type, torch.bfloat16, enabled=config.amp and device.type == "cuda"):
                loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            topology.average_gradients()
            gradients = topology.dense_gradients() if update else {}
            if not (update and config.update_order == "instead_of_step"):
                topology.mask_gradients()
                optimizer.step()
                if topology.buffers_leak:
                    topology.mask_weights()
            if update:
                topology.update(run.step, total, gradients, optimizer)
                run.recorder.topology(run.step, schedule.prune_rate(config, run.step, total), topology.masks,
                                      topology.explored)
            for _ in range(moments.count(run.step)):
                run.recorder.moment(run.step, topology.masks)
            run.epoch_loss += loss.detach()
            if run.step == (epoch + 1) * per_epoch:
                run.recorder.epoch(learning_rate=lr, train_loss=run.epoch_loss.item() / per_epoch,
                                   val_accuracy=accuracy(model, dataset.validation, dataset, dtype),
                                   test_accuracy=accuracy(model, dataset.test, dataset, dtype))
                run.epoch_loss.zero_()
            run.seconds = time.perf_counter() - began
            if save is not None:
                save(run)
            if progress is not None:
                progress(run.step)

    shapes = {name: tuple(weight.shape) for name, weight in topology.weights.items()}
    return run.recorder.record(config, shapes, per_epoch, {**(provenance or {}), "seconds": round(run.seconds, 3)})


@torch.no_grad()
def accuracy(model: nn.Module, images: ImageSet, dataset: Dataset, dtype: torch.dtype = torch.float32) -> float:
    """Accuracy in percent, in evaluation mode, never augmented. One wait for the device at the end."""
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=images.labels.device)
    for x, labels in evaluation_batches(images, dataset, dtype=dtype):
        correct += (model(x).argmax(1) == labels).sum()
    return percent(int(correct), len(images.labels))
