"""A handful of real steps with one kind of network, timed: a new engine, plain steps, an update, an evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from math import ceil

import torch

from regrow import cost, study, train
from regrow.config import RunConfig
from regrow.data import Dataset, ImageSet
from regrow.datasets import known
from regrow.engines import Measured

PROBE_SECONDS = 0.25  # of each kind, but a whole step: slow networks, which dominate the cost, get the most
MOST_STEPS = 200
EVALUATED = 256  # images


@dataclass(frozen=True)
class Kind:
    """Runs whose steps take equally long: a stand-in for their configs, the engine, and how many train together."""

    config: RunConfig
    engine: str
    runs: int = 1


@dataclass(frozen=True)
class Times:
    """Seconds of a batch of runs, or of one."""

    step: float
    averaged_step: float  # one whose dense gradients enter momentum growth's running average
    update: float
    evaluated_image: float


def probe_all(kinds: Sequence[Kind], device: str) -> dict[Kind, Times]:
    """Each kind in turn, on one thread of a CPU as in training."""
    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        return {kind: probe(kind, device) for kind in kinds}
    finally:
        torch.set_num_threads(before)


def probe(kind: Kind, device: str) -> Times:
    """Step one engine, or one batch: plain steps, steps before an update, the update, an evaluation."""
    config, dataset = kind.config, _random_images(kind.config, device)
    run = _started(kind, dataset, device)
    engine, interval = run.engine, config.update_interval
    data = (batch for epoch in count() for batch in engine.batches(epoch, start=0))

    def step(number: int) -> None:
        engine.backward(*next(data), number)
        engine.step()

    def evaluate() -> object:
        return engine.measures() if isinstance(engine, Measured) else engine.accuracy(dataset.validation)

    step(1)  # compiles, and fills caches
    plain = averaged = _each(step, 1, device)
    update = 0.0
    if config.is_dynamic:
        if config.grow == "momentum":
            averaged = _each(step, max(1, interval - 1), device)
        step(interval)
        update = _timed(lambda: engine.update(interval), device)
    return Times(plain, averaged, update, _timed(evaluate, device) / len(dataset.validation))


def _each(step: Callable[[int], None], number: int, device: str) -> float:
    """Seconds per step: as many as fit into the time for a probe, one at least."""
    first = _timed(lambda: step(number), device)
    more = min(MOST_STEPS, int(PROBE_SECONDS / max(first, 1e-6)))

    def steps() -> None:
        for _ in range(more):
            step(number)

    return _timed(steps, device) / more if more else first


def _timed(what: Callable[[], object], device: str) -> float:
    """Seconds: on a CPU those that this process had it, so that others on the machine disturb little."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    _wait(device)
    began = clock()
    what()
    _wait(device)
    return clock() - began


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def _started(kind: Kind, dataset: Dataset, device: str) -> train.Run:
    if kind.engine != "batched":
        return train.start(kind.config, dataset, device, kind.engine)
    rules = cycle(study.STRATEGIES if kind.config.is_dynamic else ("none",))
    return train.start_together([kind.config.but(seed=seed, grow=rule) for seed, rule in zip(range(kind.runs), rules,
                                                                                     strict=False)], dataset, device)


def _random_images(config: RunConfig, device: str) -> Dataset:
    """Enough images for some batches and, in as many epochs as the config has, for an update."""
    facts, chance = known(config.dataset), torch.Generator().manual_seed(0)
    n = max(4 * config.batch_size, EVALUATED, ceil(config.update_interval / config.epochs) * config.batch_size)
    pixels = torch.randint(0, 256, (n, *facts.shape), dtype=torch.uint8, generator=chance).to(device)
    labels = torch.randint(0, facts.classes, (n,), generator=chance).to(device)
    few = ImageSet(pixels[:EVALUATED], labels[:EVALUATED])
    return Dataset(name="random", train=ImageSet(pixels, labels), validation=few, test=few, classes=facts.classes,
                   class_names=facts.class_names, mean=facts.mean, std=facts.std,
                   image_shape=cost.image_shape(config), sha256="")
