"""docs/gpu.md. Its kernels are counted here anew, on the CPU; times are modelled, and nobody has measured them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.workload import images
from prose import measures as m
from prose.said import Said, about
from regrow import train
from regrow.config import RunConfig
from regrow.engines import batched
from regrow_companion import study

PAGE = "docs/gpu.md"
MODELLED, COUNTED = "modelled, as the page says", "counted, not measured, as the page says; its rows are below"
EXCUSED = {
    "exits with 0, 1 (a check failed) or 2 (no such device)": "codes",
    "10 bits of mantissa": "of TF32, which has no type in PyTorch",
    "| 1.3 to 1.5 / 1.2 |": MODELLED,
    "| .9 / .35 |": MODELLED,
    "| 2.8 / 2.2 |": MODELLED,
    "| 10 / 3.5 |": MODELLED,
    "MLP 7 ms on a quiet core of an AMD EPYC and some 20 ms on a busy one": "measured once, the page says when",
    "takes some 0.5 GB before it holds any number": COUNTED,
    "16 stays below 2 GB": COUNTED,
    "with 128 images below 3 GB": COUNTED,
}
NOTHING = {"_record_function_enter_new", "_record_function_exit", "as_strided_", "detach", "empty", "empty_like",
           "new_empty", "empty_strided", "_unsafe_view"}  # operations that neither compute nor copy, beside views


class Kernels(TorchDispatchMode):
    """Counts operations that compute or copy."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view and func.overloadpacket.__name__ not in NOTHING
        return func(*args, **(kwargs or {}))


@cache
def kernels(model: str) -> tuple[int, int, int]:
    """Of data, passes and step of an engine, in the second step of an epoch; for the MLP, of the paper's batch of runs.

    How many do not depend on the numbers of neurons and images, which are small here.
    """
    few = images(512)  # of the shape of those of CIFAR-10
    if model == "mlp":
        configs = [run.but(hidden=(20, 10), batch_size=8) for run in study.runs("topology", "paper")]
        run = train.start_together(configs, few)
    else:
        run = train.start(RunConfig(model=model, dataset="cifar10", batch_size=8), few)
    batches = iter(run.engine.batches(1, 0))
    run.engine.backward(*next(batches), 1)
    run.engine.step()

    def counted(work: Callable[[], Any]) -> tuple[int, Any]:
        with Kernels() as seen:
            result = work()
        return seen.count, result

    of_data, batch = counted(lambda: next(batches))
    return of_data, counted(lambda: run.engine.backward(*batch, 2))[0], counted(run.engine.step)[0]


def gigabytes(images: int) -> float:
    """Of CIFAR-10's images, a byte for each channel of a pixel."""
    return images * m.topology("random")[0].shapes["fc1"][1] / 1e9


def batch_gigabytes(runs: int) -> float:
    """Of weights, gradients, momentum, mask and average of so many of the paper's MLP."""
    return 5 * runs * 4 * m.places() / 1e9


SAID = [
    Said("bfloat16 ({} bits of mantissa)", lambda: (-math.log2(torch.finfo(torch.bfloat16).eps),)),
    Said("| MLP, {} runs of {} seeds in a batch | {} / {} / {} |",
         lambda: (m.planned("topology"), m.planned("topology") / len(m.STRATEGIES), *kernels("mlp"))),
    *(Said(f"| {name} | {{}} / {{}} / {{}} |", lambda model=model: kernels(model))
      for name, model in (("ConvNet", "convnet"), ("VGG-16", "vgg16"), ("ResNet-56", "resnet56"))),
    Said("batches up to {} MLPs", lambda: (batched.LARGEST,)),
    Said("at an update, every {} steps", lambda: (RunConfig.update_interval,)),
    Said("the images of CIFAR-10 {} GB", lambda: (gigabytes(60_000),)),
    Said("the paper's MLP {} MB for each of weights, gradients, momentum, mask and average, so a batch of {} stays "
         "below",
         lambda: (about(4 * m.places() / 1e6, 1), batched.LARGEST, batch_gigabytes(batched.LARGEST) < 2)),
]
