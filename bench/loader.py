"""The usual way to feed a network: PIL images one by one through torchvision's transforms and a DataLoader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from regrow.data import PAD, Dataset
from regrow.datasets import torchvision


class PilImages(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Images in memory as uint8 [N, H, W, C], turned into a PIL image each time, as torchvision's CIFAR10 does."""

    def __init__(self, dataset: Dataset) -> None:
        transforms: Any = torchvision().transforms
        self.pixels = dataset.train.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = dataset.train.labels.tolist()
        height = dataset.image_shape[1]
        self.transform = transforms.Compose([
            transforms.RandomCrop(height, padding=PAD), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
            transforms.Normalize(dataset.mean, dataset.std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def loader_stream(dataset: Dataset, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches, epoch after epoch, made in this process (num_workers=0)."""
    loader: Any = torch.utils.data.DataLoader(PilImages(dataset), batch_size=batch_size, shuffle=True, num_workers=0)
    while True:
        yield from loader
