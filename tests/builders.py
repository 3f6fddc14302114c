"""What tests of several rooms make or try alike."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from torch import Tensor

from regrow import train
from regrow.config import RunConfig
from regrow.data import Dataset, ImageSet

# Few distinct values, zeros of both signs among them, so that ties are the rule and not the exception.
NUMBERS = st.sampled_from([-2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0])
RATES = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0]))


class Killed(Exception):
    """Stands for whatever ends a training."""


def interrupted_everywhere(config: RunConfig, dataset: Dataset, engine: str, steps: Iterable[int],
                           folder: Path) -> set[str]:
    """Checksums of a run's record, undisturbed and killed at each of these steps and resumed: one, if all is well."""
    found = {train.finish(train.start(config, dataset, engine=engine), dataset).result_sha256}
    path = folder / "checkpoint.npz"
    for at in steps:
        def stop(run: train.Run, at: int = at) -> None:
            if run.step == at:
                train.save_checkpoint(run, path, engine)
                raise Killed

        try:
            train.finish(train.start(config, dataset, engine=engine), dataset, save=stop)
            raise AssertionError(f"the run ended before step {at}")
        except Killed:
            run = train.start(config, dataset, engine=engine)
        train.restore_checkpoint(run, path, engine)
        found.add(train.finish(run, dataset).result_sha256)
    return found


class Elsewhere(Tensor):
    """Says that it is on a GPU, which is not there: nothing can be drawn or made on it, and numpy cannot see it."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda:0")

    def numpy(self, **options: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def copies_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors can be moved to that GPU and to the processor with `to`."""
    usual = Tensor.to

    def to(tensor: Tensor, *args: Any, **options: Any) -> Tensor:
        where = torch.device(args[0]).type if args and isinstance(args[0], str | torch.device) else ""
        if where == "cuda":
            return tensor.as_subclass(Elsewhere)
        return usual(tensor.as_subclass(Tensor) if where == "cpu" else tensor, *args, **options)

    monkeypatch.setattr(Tensor, "to", to)


def noise(shape: tuple[int, int, int] = (3, 32, 32), count: int = 64) -> Dataset:
    """Random images. In pictures with black borders many sums are equal but for rounding, and decide which pixel is the
    largest of a pool."""
    rng = np.random.default_rng(0)

    def some(n: int) -> ImageSet:
        return ImageSet(torch.from_numpy(rng.integers(0, 256, (n, *shape), dtype=np.uint8)),
                        torch.from_numpy(rng.integers(0, 10, n)))

    return Dataset(name="noise", train=some(count), validation=some(23), test=some(8), classes=10,
                   class_names=tuple("0123456789"), mean=(0.5,) * shape[0], std=(0.3,) * shape[0], image_shape=shape,
                   sha256="")
