"""Images for training and evaluation: fixed splits, uint8 tensors on the device, batches by batched tensor code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from regrow.config import CHOICES, RunConfig
from regrow.datasets import DATASETS, constants, data_root, known, read
from regrow.determinism import generator
from regrow.errors import DataError

__all__ = ["DATASETS", "PAD", "Dataset", "ImageSet", "batches", "data_root", "epoch_augmentation", "epoch_order",
           "evaluation_batches", "evaluation_draws", "load", "load_for", "normalise", "normalised_as", "pad_crop_flip",
           "split", "steps_per_epoch"]

PAD = RunConfig.crop_pad  # pixels on each side before the random crop, unless a run says otherwise
AUGMENTATIONS = tuple(name for name in CHOICES["augment"] if name != "auto")


@dataclass(frozen=True, eq=False)
class ImageSet:
    """images: uint8 [N, C, H, W]; labels: int64 [N]. A grey image has C = 1 even where the network sees three."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set as a run sees it. `train` and `validation` are disjoint parts of the official training images."""

    name: str
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    classes: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]  # one for each stored channel, or each that the network sees; of pixels / 255
    std: tuple[float, ...]
    image_shape: tuple[int, int, int]  # (C, H, W) as the network sees it
    sha256: str  # of the raw arrays, before any split or limit


def split(n: int) -> tuple[Tensor, Tensor]:
    """Positions (train, validation), int64, in n official training images: the last tenth of one fixed permutation.

    Every run and every seed validates on the same images.
    """
    order = torch.randperm(n, generator=generator("split", 0))
    return order[: n - n // 10], order[n - n // 10:]


def load(name: str, *, root: Path | str | None = None, image_format: str = "rgb32", device: torch.device | str = "cpu",
         train_limit: int = 0, download: bool = True) -> Dataset:
    """Load a data set onto the device.

    root: folder of .npz or official files (default: $REGROW_DATA, else ~/.cache/regrow/data).
    image_format: "rgb32" gives 3 x 32 x 32 (grey images padded by 2 with black, then repeated), "native" as they are.
    train_limit: keep only the first so many images of the (shuffled) training split; 0 keeps all.
    Raises DataError for an unknown name, missing or damaged files, and a limit above what there is.
    """
    facts = known(name)
    if image_format not in ("rgb32", "native"):
        raise DataError(f"image_format must be rgb32 or native, not {image_format!r}.")
    raw = read(name, root, download)
    train, validation = split(len(raw.y_train))
    if train_limit > len(train):
        raise DataError(f"train_limit={train_limit} is more than the {len(train)} training images of {name}.")
    train = train[:train_limit or None]

    def images_of(x: np.ndarray, y: np.ndarray) -> ImageSet:
        images = torch.from_numpy(x)
        images = images[:, None] if facts.shape[0] == 1 else images.permute(0, 3, 1, 2).contiguous()
        if image_format == "rgb32" and facts.shape[1:] == (28, 28):
            images = F.pad(images, (2, 2, 2, 2))  # black: zero before normalisation
        return ImageSet(in_large_pages(images).to(device), torch.from_numpy(y).to(device))

    return Dataset(
        name=name,
        train=images_of(raw.x_train[train.numpy()], raw.y_train[train.numpy()]),
        validation=images_of(raw.x_train[validation.numpy()], raw.y_train[validation.numpy()]),
        test=images_of(raw.x_test, raw.y_test),
        classes=facts.classes,
        class_names=facts.class_names,
        mean=facts.mean,
        std=facts.std,
        image_shape=(3, 32, 32) if image_format == "rgb32" else facts.shape,
        sha256=raw.sha256(),
    )


def load_for(config: RunConfig, *, root: Path | str | None = None) -> Dataset:
    """The data set of a run, normalised as it says, in the processor's memory."""
    images = load(config.dataset, root=root, image_format=config.image_format, train_limit=config.train_limit)
    return normalised_as(images, config.normalise)


def normalised_as(dataset: Dataset, normalise: str) -> Dataset:
    """The same images, to be normalised with other constants: see `datasets.constants`.

    Raises DataError if there are more of them than channels that the network sees.
    """
    mean, std = constants(dataset.name, normalise)
    if len(mean) > dataset.image_shape[0]:
        raise DataError(f"normalise={normalise} has constants for {len(mean)} channels, and the network sees "
                        f"{dataset.image_shape[0]}: use image_format=rgb32, or normalise=own or half.")
    return replace(dataset, mean=mean, std=std)


def in_large_pages(images: Tensor) -> Tensor:
    """A copy in memory of numpy's, which asks Linux for large pages; PyTorch does not.

    Batches are gathered from all over the images, and with small pages the processor looks up addresses for as long as
    it gathers: at 99 % sparsity that was a third of a whole step.
    """
    return torch.from_numpy(np.array(images.numpy()))


@lru_cache(maxsize=16)
def scale_and_shift(mean: tuple[float, ...], std: tuple[float, ...], dtype: torch.dtype,
                     device: torch.device) -> tuple[Tensor, Tensor]:
    """(pixel / 255 - mean) / std as pixel * scale + shift, each [C, 1, 1]."""
    # Cached because a copy to a GPU makes the host wait for it, which a training step should not.
    scale = [1 / (255 * s) for s in std]
    shift = [-m / s for m, s in zip(mean, std, strict=True)]
    return tuple(torch.tensor(v, dtype=dtype, device=device)[:, None, None] for v in (scale, shift))  # type: ignore[return-value]


def normalise(images: Tensor, dataset: Dataset, dtype: torch.dtype = torch.float32) -> Tensor:
    """(pixel / 255 - mean) / std per channel: uint8 [..., C, H, W] -> dtype [..., C', H, W] as the network sees it."""
    scale, shift = scale_and_shift(dataset.mean, dataset.std, dtype, images.device)
    x = images.to(dtype)
    x = x.mul_(scale).add_(shift) if x.shape[-3] == len(scale) else x * scale + shift  # grey with constants of colours
    channels = dataset.image_shape[0]
    if x.shape[-3] == channels:
        return x
    return x.expand(*x.shape[:-3], channels, *x.shape[-2:]).contiguous()  # grey: three equal channels


def epoch_order(n: int, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch visits n training images: a permutation, int64 [n], the same for all strategies."""
    return torch.randperm(n, generator=generator("order", seed, epoch))


def epoch_augmentation(n: int, seed: int, epoch: int, pad: int = PAD) -> tuple[Tensor, Tensor]:
    """Crop offsets (y, x) in 0..2 pad, int64 [n, 2], and flips, bool [n], of each of n training images in an epoch."""
    return _augmentation(n, generator("augmentation", seed, epoch), pad)


def _augmentation(n: int, chance: torch.Generator, pad: int) -> tuple[Tensor, Tensor]:
    return torch.randint(0, 2 * pad + 1, (n, 2), generator=chance), torch.randint(0, 2, (n,), generator=chance).bool()


def pad_crop_flip(images: Tensor, offsets: Tensor, flips: Tensor, pad: int = PAD, mirrored: bool = False) -> Tensor:
    """Pad, crop to the old size at `offsets`, flip left to right where `flips`: [B, C, H, W] -> [B, C, H, W].

    offsets: int64 [B, 2], (y, x) in 0..2 pad; an offset of `pad` leaves the image where it is. flips: bool [B]. The
    border is black or, if `mirrored`, the image reflected at its outermost pixels.
    """
    b, c, h, w = images.shape
    rows = offsets[:, :1] + torch.arange(h, device=images.device)
    columns = offsets[:, 1:] + torch.arange(w, device=images.device)
    padded = images if mirrored else F.pad(images, (pad, pad, pad, pad))
    if mirrored:
        rows, columns, pad = _reflected(rows - pad, h), _reflected(columns - pad, w), 0
    columns = torch.where(flips[:, None], columns.flip(1), columns)
    source = rows[:, :, None] * (w + 2 * pad) + columns[:, None, :]  # [B, H, W], the same for every channel
    return padded.flatten(2).gather(2, source.view(b, 1, h * w).expand(b, c, h * w)).view(b, c, h, w)


def _reflected(position: Tensor, n: int) -> Tensor:
    """-1, -2 -> 1, 2 and n, n + 1 -> n - 2, n - 3."""
    return (n - 1) - ((n - 1) - position.abs()).abs()


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Batches in an epoch of n images; the last may be smaller (45,000 / 128 -> 352, facts of Section 5.1)."""
    return math.ceil(n / batch_size)


@dataclass(frozen=True, eq=False)
class Draw:
    """What chance decides of a batch: which training images, and how each one is cropped and flipped."""

    chosen: Tensor  # int64 [B]
    offsets: Tensor | None = None  # int64 [B, 2], (y, x) in 0..2 pad; None: no augmentation
    flips: Tensor | None = None  # bool [B]
    mirrored: bool = False  # what lies beyond the border; see pad_crop_flip
    pad: int = PAD


def draws(dataset: Dataset, *, batch_size: int, seed: int | Sequence[int], epoch: int, augment: str = "none",
          pad: int = PAD, start: int = 0) -> Iterator[Draw]:
    """The batches of one epoch, on the data's device; the last may be smaller. Those of several seeds follow each other
    in one draw.

    augment: as in choices.CHOICES. start: the batch to begin with; the rest is what it would have been without
    a break, since order and augmentation depend only on (seed, epoch).
    """
    n, seeds = len(dataset.train.labels), _each(seed)
    orders = torch.stack([epoch_order(n, one, epoch) for one in seeds])
    chances = [generator("augmentation", one, epoch) for one in seeds]
    yield from _draws(orders, batch_size, augment, pad, chances, start, dataset.train.labels.device)


def evaluation_draws(images: ImageSet, *, batch_size: int, augment: str = "none", pad: int = PAD,
                     seed: int | Sequence[int] = 0) -> Iterator[Draw]:
    """Batches of validation or test images in stored order. With an `augment` other than none each image is cropped
    and flipped once and for all, as the seed has it, so that every epoch is judged on the same images. Batches of
    several seeds as in `draws`."""
    seeds = _each(seed)
    orders = torch.arange(len(images)).expand(len(seeds), -1)
    chances = [generator("evaluation", one, len(images)) for one in seeds]
    return _draws(orders, batch_size, augment, pad, chances, 0, images.labels.device)


def _each(seed: int | Sequence[int]) -> Sequence[int]:
    return (seed,) if isinstance(seed, int) else seed


def _draws(orders: Tensor, batch_size: int, augment: str, pad: int, chances: Sequence[torch.Generator], start: int,
           device: torch.device) -> Iterator[Draw]:
    """Batches of the images `orders` [seeds, n], cropped and flipped as every seed's chance has it."""
    if augment not in AUGMENTATIONS:
        raise DataError(f"augment must be {', '.join(AUGMENTATIONS[:-1])} or {AUGMENTATIONS[-1]}, not {augment!r}.")
    n = orders.shape[1]
    if augment != "none":
        augmented = [_augmentation(n, chance, pad) for chance in chances]
        # In the order of the visits: a batch is then a slice, which on a GPU is one kernel less to start.
        offsets, flips = (torch.stack([part.index_select(0, order) for part, order in zip(parts, orders, strict=True)])
                          .to(device) for parts in zip(*augmented, strict=True))
        if augment == "flip":
            offsets = torch.full_like(offsets, pad)  # the crop that leaves an image where it is
    orders = orders.to(device)
    for first in range(start * batch_size, n, batch_size):
        here = slice(first, first + batch_size)
        chosen = orders[:, here].flatten()
        if augment != "none":
            yield Draw(chosen, offsets[:, here].flatten(0, 1), flips[:, here].flatten(), augment == "mirror_crop_flip",
                       pad)
        else:
            yield Draw(chosen)


def drawn(images: Tensor, draw: Draw) -> Tensor:
    """The images of a draw, gathered, cropped and flipped: uint8 [N, C, H, W] -> [B, C, H, W]."""
    x = images.index_select(0, draw.chosen)
    if draw.offsets is None or draw.flips is None:
        return x
    return pad_crop_flip(x, draw.offsets, draw.flips, draw.pad, mirrored=draw.mirrored)


def batches(dataset: Dataset, *, batch_size: int, seed: int | Sequence[int], epoch: int, augment: str = "none",
            pad: int = PAD, dtype: torch.dtype = torch.float32, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Training batches (x [B, C, H, W], y int64 [B]) of one epoch, as `draws` decides them."""
    images, labels = dataset.train.images, dataset.train.labels
    for draw in draws(dataset, batch_size=batch_size, seed=seed, epoch=epoch, augment=augment, pad=pad, start=start):
        yield normalise(drawn(images, draw), dataset, dtype), labels.index_select(0, draw.chosen)


def evaluation_batches(image_set: ImageSet, dataset: Dataset, batch_size: int = 1000,
                       dtype: torch.dtype = torch.float32, *, augment: str = "none", pad: int = PAD,
                       seed: int | Sequence[int] = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches (x, y) of validation, test or training images, as `evaluation_draws` decides them."""
    for draw in evaluation_draws(image_set, batch_size=batch_size, augment=augment, pad=pad, seed=seed):
        yield (normalise(drawn(image_set.images, draw), dataset, dtype),
               image_set.labels.index_select(0, draw.chosen))


def percent(correct: int, total: int) -> float:
    """Accuracy in percent; nan for an empty set."""
    return 100 * correct / total if total else math.nan
