"""The training loop of Section 5.1: SGD on a sparse network whose wiring changes every few hundred steps.

`advance` is the loop. The steps themselves are an engine's: `engines/dense.py` is the one to read, the others do the
same faster. Below it: several runs in one loop, checkpoints, and `trained`, which goes from wherever a run's checkpoint
stands to its record. Checkpoints hold no state of random numbers: every generator is made afresh from its purpose, the
seed and a counter (epoch, step), so a resumed run draws what an undisturbed one would have drawn.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from regrow import data, datasets, files, models, provenance, schedule
from regrow.config import RunConfig
from regrow.data import Dataset, steps_per_epoch
from regrow.determinism import one_thread
from regrow.engines import Engine, Measured, chosen_engine, new_engine
from regrow.engines.batched import BatchedEngine, shared
from regrow.errors import ConfigError, RegrowError, StoreError
from regrow.rbm import HIDDEN_UNITS
from regrow.record import Record, Recorder, Recorders
from regrow.sparsity import connection_counts

CHECKPOINT_FORMAT = "regrow checkpoint 1"
TRAINED_PER_SAVE = 50  # so many times what a checkpoint took is trained until the next: they cost 2 % at most


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
    data_sha256: str = ""


def start(config: RunConfig, dataset: Dataset, device: str | torch.device = "cpu", engine: str = "dense") -> Run:
    """A network with its first masks, before any training.

    Raises ConfigError if an epoch would end on a batch of one image, which batch normalisation on a 1x1 map refuses,
    and RegrowError for an engine that cannot do this run.
    """
    check_last_batch(config, len(dataset.train.labels))
    per_epoch = steps_per_epoch(len(dataset.train.labels), config.batch_size)
    made = new_engine(config, dataset, config.epochs * per_epoch, torch.device(device), engine)
    return begin(Run(config, made, config.key, per_epoch, data_sha256=dataset.sha256))


def begin(run: Run) -> Run:
    """Record the wiring before training."""
    run.recorder.topology(0, float("nan"), run.engine.masks, run.engine.explored)
    run.recorder.moment(0, run.engine.masks)
    return run


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


def finish(run: Run, dataset: Dataset, *, save: Callable[[Run], None] | None = None,
           progress: Callable[[int], None] | None = None, made: Mapping[str, Any] | None = None) -> Record:
    """Train from where `run` stands to the end of its config, and return the record. `made` is its provenance."""
    advance(run, dataset, save=save, progress=progress)
    shapes = {name: tuple(mask.shape) for name, mask in run.engine.masks.items()}
    final = run.engine.final() if isinstance(run.engine, Measured) else None
    return run.recorder.record(run.config, shapes, run.steps_per_epoch,
                               {**(made or {}), "seconds": round(run.seconds, 3)}, final)


def start_together(configs: Sequence[RunConfig], dataset: Dataset, device: str | torch.device = "cpu") -> Run:
    """Networks with their first masks, before any training. Raises ConfigError if they cannot share a batch."""
    common = shared(configs[0])
    if any(shared(config) != common for config in configs):
        raise ConfigError("Runs that train together may differ in seed, sparsity, initialisation and strategy only.")
    per_epoch = steps_per_epoch(len(dataset.train.labels), common.batch_size)
    engine = BatchedEngine(configs, dataset, common.epochs * per_epoch, torch.device(device))
    return begin(Run(common, engine, batch_key(configs), per_epoch, Recorders(len(configs)),
                     data_sha256=dataset.sha256))


def finish_together(run: Run, dataset: Dataset, *, save: Callable[[Run], None] | None = None,
                    progress: Callable[[int], None] | None = None,
                    made: Mapping[str, Any] | None = None) -> list[Record]:
    """Train from where the runs stand to their end, and return their records. `seconds` is each one's share."""
    advance(run, dataset, save=save, progress=progress)
    assert isinstance(run.engine, BatchedEngine)
    configs, masks = run.engine.configs, run.engine.masks
    made = {**(made or {}), "together": len(configs), "seconds": round(run.seconds / len(configs), 3)}
    return [recorder.record(config, {layer: tuple(mask.shape) for layer, mask in of_run.items()}, run.steps_per_epoch,
                            made) for recorder, config, of_run in zip(run.recorder.runs, configs, masks, strict=True)]


def batch_key(configs: Sequence[RunConfig]) -> str:
    """Names the checkpoint of a batch: runs and their order."""
    return "together-" + hashlib.sha256(" ".join(config.key for config in configs).encode()).hexdigest()[:16]


def save_checkpoint(run: Run, path: Path, engine: str) -> None:
    """Write everything that the rest of the run depends on, atomically."""
    arrays = {f"engine/{name}": tensor.detach().cpu().numpy() for name, tensor in run.engine.state().items()}
    arrays |= {f"recorder/{name}": array for name, array in run.recorder.arrays().items()}
    head = {"format": CHECKPOINT_FORMAT, "key": run.key, "engine": engine, "step": run.step, "seconds": run.seconds,
            "data_sha256": run.data_sha256}
    files.write_arrays(path, arrays, head, zipfile.ZIP_STORED)


def restore_checkpoint(run: Run, path: Path, engine: str) -> None:
    """Put a freshly started run where the checkpoint stands.

    Raises StoreError if the file is damaged, or not a checkpoint of this run, engine and data.
    """
    arrays, head = files.read_arrays(path)
    if (head.get("format"), head.get("key"), head.get("engine")) != (CHECKPOINT_FORMAT, run.key, engine):
        raise StoreError(f"{path} is not a checkpoint of this run with the {engine} engine.")
    if head.get("data_sha256", run.data_sha256) != run.data_sha256:
        raise StoreError(f"{path} is a checkpoint of this run on other data.")
    parts: dict[str, dict] = {"engine": {}, "recorder": {}}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = array
    try:
        run.engine.load_state({name: torch.from_numpy(array) for name, array in parts["engine"].items()})
    except (KeyError, RuntimeError, ValueError) as error:
        raise StoreError(f"{path} does not fit the network of this run.") from error
    run.recorder.load_arrays(parts["recorder"])
    run.step, run.seconds = head["step"], head["seconds"]


def trained(configs: Sequence[RunConfig], *, device: str, engine: str, data_root: Path | None,
            checkpoint_path: Path, checkpoint_seconds: float, damaged: Callable[[Path, StoreError], None],
            progress: Callable[[int], None] | None = None) -> list[Record]:
    """Train one run, or several on the batched engine, resuming from the checkpoint if there is one.

    A checkpoint that cannot be used is handed to `damaged`, and training starts anew. The next one is due after
    `checkpoint_seconds`, or later where they take long; 0 means after every step.
    """
    dataset = _dataset(configs[0], device, data_root)
    run, resumed = started(configs, dataset, device, engine), False
    if checkpoint_path.is_file():
        try:
            restore_checkpoint(run, checkpoint_path, engine)
            resumed = True
        except StoreError as error:
            damaged(checkpoint_path, error)
            run = started(configs, dataset, device, engine)
    last, interval = time.monotonic(), checkpoint_seconds

    def save(run: Run) -> None:
        nonlocal last, interval
        began = time.monotonic()
        if began - last >= interval:
            save_checkpoint(run, checkpoint_path, engine)
            last = time.monotonic()
            if checkpoint_seconds:
                interval = max(checkpoint_seconds, TRAINED_PER_SAVE * (last - began))

    with one_thread() if device == "cpu" else nullcontext():
        made = provenance.of_run(device=device, engine=engine, threads=torch.get_num_threads(),
                                 data_sha256=dataset.sha256) | {"resumed": resumed}
        if device != "cpu":
            made |= {"tf32": configs[0].tf32, "cuda_graph": run.engine.captures}
        if engine == "batched":
            return finish_together(run, dataset, save=save, progress=progress, made=made)
        return [finish(run, dataset, save=save, progress=progress, made=made)]


def started(configs: Sequence[RunConfig], dataset: Dataset, device: str, engine: str) -> Run:
    """One run, or several on the batched engine, before any training. Raises as `start` and `start_together`."""
    if engine == "batched":
        return start_together(configs, dataset, device)
    return start(configs[0], dataset, device, engine)


def checkpoint_key(configs: Sequence[RunConfig], engine: str) -> str:
    """What the checkpoint of these runs is called."""
    return batch_key(configs) if engine == "batched" else configs[0].key


def check_ready(configs: Sequence[RunConfig], device: str, engine: str, data_root: Path | None) -> None:
    """Raise RegrowError, in one sentence, for whatever would stop these runs before their first step.

    To be called before anything is written. The images that it reads stay in memory for the training.
    """
    for config in configs:
        check_trainable(config, device)
        chosen_engine(config, device, engine)
        dataset = _dataset(config, device, data_root)
        images = len(dataset.train.labels)
        check_last_batch(config, images)
        check_connections(config, dataset)
        total = config.epochs * steps_per_epoch(images, config.batch_size)
        if config.is_dynamic and not schedule.update_steps(config, total):
            until = f" and updates end at {config.update_until:g} of it" if config.update_until < 1 else ""
            raise ConfigError(f"The wiring would never change, as training has {total:,} steps{until} and the first "
                              f"update would come after step {config.update_interval:,}: lower update_interval, train "
                              "longer, or add prune=none grow=none.")


def check_trainable(config: RunConfig, device: str = "cpu") -> None:
    """Raise RegrowError, in one sentence, for a run that this version or this machine cannot train."""
    if config.is_rbm and (config.image_format != "native" or config.amp):
        raise RegrowError("RBMs take images as they are and train in full precision: leave image_format and amp out.")
    if config.tf32 and device == "cpu":
        raise RegrowError("tf32=true is a precision of GPUs: leave it out, or add --device cuda.")
    check_device(device)


def check_device(device: str) -> None:
    """Raise RegrowError, in one sentence, for a device that does not exist or is not on this machine."""
    if not re.fullmatch(r"cpu|cuda(:(0|[1-9][0-9]*))?", device):
        raise RegrowError(f"There is no device {device!r}; use --device cpu, cuda, or cuda:1 for the second GPU.")
    number = int(device.partition(":")[2] or 0)
    if device != "cpu" and number >= torch.cuda.device_count():
        raise RegrowError(f"There is no CUDA device {number} here (found {torch.cuda.device_count()}); "
                          "leave --device out or use --device cpu.")


def check_last_batch(config: RunConfig, images: int) -> None:
    """Raise ConfigError if an epoch of so many images would end on a batch that the network cannot take."""
    if config.model == "resnet50" and images % config.batch_size == 1:
        raise ConfigError(f"{images} training images leave a last batch of one image, which ResNet-50's batch "
                          "normalisation cannot take; change batch_size or train_limit by one.")


def check_connections(config: RunConfig, dataset: Dataset) -> None:
    """Raise ConfigError if a layer would have no connection at all, or if no update could ever move one."""
    if config.is_rbm:
        shapes: dict[str, tuple[int, ...]] = {"weight": (HIDDEN_UNITS[config.model], math.prod(dataset.image_shape))}
    else:
        shapes = models.weight_shapes(config, dataset.classes, dataset.image_shape)
    counts = connection_counts(shapes, 1 - config.sparsity, config.init)
    if empty := [name for name, count in counts.items() if count == 0]:
        raise ConfigError(f"sparsity={config.sparsity:g} leaves {', '.join(empty)} without a connection, so nothing "
                          "could be learned: lower it.")
    if config.is_dynamic and all(count == math.prod(shapes[name]) for name, count in counts.items()):
        raise ConfigError(f"The wiring would never change, as sparsity={config.sparsity:g} leaves no place empty: "
                          "raise it, or write preset=dense.")
    if config.is_dynamic and round(config.prune_rate * max(counts.values())) == 0:
        raise ConfigError(f"The wiring would never change, as prune_rate={config.prune_rate:g} of at most "
                          f"{max(counts.values())} connections in a layer is none: raise it, or add prune=none "
                          "grow=none.")


def data_sha256(config: RunConfig, device: str, data_root: Path | None) -> str:
    """Of the data that a run trains on, which stay in memory for it. Raises DataError."""
    return _dataset(config, device, data_root).sha256


def _dataset(config: RunConfig, device: str, data_root: Path | None) -> Dataset:
    images = _load(config.dataset, config.image_format, config.train_limit, device, data_root,
                   datasets.stamp(config.dataset, data_root))
    return data.normalised_as(images, config.normalise)


@lru_cache(maxsize=2)
def _load(name: str, image_format: str, train_limit: int, device: str, data_root: Path | None,
          files_there: tuple[Any, ...]) -> Dataset:
    return data.load(name, root=data_root, image_format=image_format, device=device, train_limit=train_limit)
