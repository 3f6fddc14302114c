"""How convolutions lie in memory: steps of the dense engine with channels first, PyTorch's default, and last.

On a CPU. The engine itself takes channels_last for every network but the MLP; this says what that brings.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.table import Table
from bench.timing import TIMED_COLUMNS, interleaved
from bench.workload import engine_stream, images
from regrow.config import RunConfig
from regrow.engines.dense import DenseEngine

COLUMNS = ("network", "memory_format", "batch_size", *TIMED_COLUMNS, "times_last")
NETWORKS = ("convnet", "resnet56", "resnet50-cifar", "vgg16", "resnet50")
SIZES: dict[str, dict[str, Any]] = {"tiny": {"networks": NETWORKS[:1], "batch": 4, "rounds": 2},
                                    "full": {"networks": NETWORKS, "batch": 128, "rounds": 5}}
FORMATS = {"channels_first": False, "channels_last": True}


def run(size: str) -> Table:
    """A step is a turn. Both networks start from the same weights and get the same batches."""
    options, rows = SIZES[size], []
    for network in options["networks"]:
        config = RunConfig(model=network, dataset="cifar10", batch_size=options["batch"])
        timings = interleaved({name: stepping(config, last) for name, last in FORMATS.items()},
                              rounds=options["rounds"])
        rows += [{"network": network, "memory_format": name, "batch_size": config.batch_size, **timing.columns(),
                  "times_last": timing.median / timings["channels_last"].median} for name, timing in timings.items()]
    return Table("memory_format", "ms per step of the dense engine, one thread", COLUMNS, rows)


def stepping(config: RunConfig, channels_last: bool) -> partial[None]:
    """Call it for one step more of a new engine."""
    engine = DenseEngine(config, images(4 * config.batch_size), 1000, torch.device("cpu"), channels_last=channels_last)
    return partial(_step, engine, engine_stream(engine))


def _step(engine: DenseEngine, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
    x, labels = next(batches)
    engine.backward(x, labels, 1)
    engine.step()
