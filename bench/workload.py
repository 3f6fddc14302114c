"""What is timed: the paper's MLP on images of CIFAR-10's shape. Their content does not matter to the speed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import count
from typing import Any

import torch
from torch import Tensor

from regrow import data, train
from regrow.config import RunConfig
from regrow.data import Dataset, ImageSet
from regrow.datasets import known

IMAGES = {"tiny": 512, "full": 45_056}  # 352 batches of 128, as the paper's 45,000 images make
NETWORK: dict[str, dict[str, Any]] = {"tiny": {"hidden": (32, 16)}, "full": {}}  # full: 3072-1024-512-10
STATIC = {"prune": "none", "grow": "none"}


def config(size: str, density: float, **changes: Any) -> RunConfig:
    """A run as Section 5.1 describes it, at a density."""
    return RunConfig(dataset="cifar10", sparsity=round(1 - density, 6), **NETWORK[size], **changes)


@lru_cache(maxsize=2)
def images(n: int) -> Dataset:
    """n random images with random labels, uint8 [n, 3, 32, 32]; a batch of them for validation and test."""
    facts, chance = known("cifar10"), torch.Generator().manual_seed(0)
    pixels = data.in_large_pages(torch.randint(0, 256, (n, *facts.shape), dtype=torch.uint8, generator=chance))
    labels = torch.randint(0, facts.classes, (n,), generator=chance)
    few = ImageSet(pixels[:128], labels[:128])
    return Dataset(name="random", train=ImageSet(pixels, labels), validation=few, test=few, classes=facts.classes,
                   class_names=facts.class_names, mean=facts.mean, std=facts.std, image_shape=facts.shape, sha256="")


def stream(dataset: Dataset, config: RunConfig) -> Iterator[tuple[Tensor, Tensor]]:
    """Our batches as image tensors, epoch after epoch: gathered, cropped, flipped, normalised."""
    for epoch in count():
        yield from data.batches(dataset, batch_size=config.batch_size, seed=config.seed, epoch=epoch,
                                augment=config.augment)


def engine_stream(engine: train.Engine) -> Iterator[tuple[Tensor, Tensor]]:
    """The same in the form that an engine takes."""
    for epoch in count():
        yield from engine.batches(epoch, start=0)


def on(dataset: Dataset, device: str) -> Dataset:
    """The data set with its images and labels on a device."""
    def moved(part: ImageSet) -> ImageSet:
        return ImageSet(part.images.to(device), part.labels.to(device))

    return replace(dataset, train=moved(dataset.train), validation=moved(dataset.validation), test=moved(dataset.test))


class Training:
    """One run of ours, or several in a batch, a step a call, with all that `train.advance` does in a step."""

    def __init__(self, config: RunConfig | Sequence[RunConfig], dataset: Dataset, engine: str,
                 device: str = "cpu") -> None:
        if isinstance(config, RunConfig):
            self.run = train.start(config, dataset, device, engine)
        else:
            self.run = train.start_together(config, dataset, device)
        self.engine = self.run.engine
        self.batches = engine_stream(self.engine)

    def step(self, number: int = 1) -> None:
        """One optimizer step, as if it were this one of the run: the number decides which dense gradients are kept."""
        x, labels = next(self.batches)
        self.engine.backward(x, labels, number)
        self.engine.step()

    @property
    def connections(self) -> int:
        return sum(int(mask.sum()) for mask in self.engine.masks.values())
