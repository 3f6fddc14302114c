"""The passes of a step as one CUDA graph: hundreds of small kernels that the host would otherwise start one by one.

What is captured is forward and backward pass, loss and gradient averages: all of it stays at the same addresses for a
whole run, updates of the topology included. Masks and SGD are two kernels more and stay outside, so that neither an
update nor a new learning rate needs another graph. The kernels are the same ones, and so are their results.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

VARIABLE = "REGROW_CUDA_GRAPH"  # "off": the way out for whoever cannot capture
WARM_UP = 3  # steps on the side before the capture, as PyTorch asks: libraries choose and allocate in them


def wanted(device: torch.device) -> bool:
    """Whether an engine should capture its passes: on a GPU, unless the environment says REGROW_CUDA_GRAPH=off."""
    asked = os.environ.get(VARIABLE, "").lower() not in ("off", "0")
    return asked and device.type == "cuda" and torch.cuda.is_available()


class Passes:
    """Calls passes(images, labels) -> gradients as it is or, if `capture` is True, captures it once and replays it.

    Only batches of `batch_size` labels a run are captured: the last one of an epoch may be smaller. The gradients of
    replays are the same tensors every time. `capture` may be set to False at any time.
    """

    def __init__(self, device: torch.device, batch_size: int, *, capture: bool) -> None:
        self.device, self.batch_size, self.capture = device, batch_size, capture
        self.steps = 0  # of the warm-up
        self.replay: Callable[[], None] | None = None
        self.inputs: tuple[Tensor, Tensor] | None = None
        self.gradients: list[Tensor] = []

    def __call__(self, passes: Callable[[Tensor, Tensor], list[Tensor]], images: Tensor,
                 labels: Tensor) -> list[Tensor]:
        """Gradients of a batch, images [...] and labels [..., B]. `passes` is handed over every time and not kept, as
        it belongs to an engine that owns this, and both would outlive the run."""
        if not self.capture or labels.shape[-1] != self.batch_size:
            return passes(images, labels)
        if self.replay is None and self.steps < WARM_UP:
            self.steps += 1
            return beside(lambda: passes(images, labels), self.device)
        if self.replay is None or self.inputs is None:
            inputs = self.inputs = images.clone(), labels.clone()
            self.replay, self.gradients = captured(lambda: passes(*inputs), self.device)
        for ours, given in zip(self.inputs, (images, labels), strict=True):
            ours.copy_(given)
        self.replay()
        return self.gradients


@lru_cache(maxsize=8)
def side_stream(device: torch.device) -> torch.cuda.Stream:
    """The one on which a device warms up and captures: memory that one stream has freed is not another's."""
    return torch.cuda.Stream(device)


def beside(function: Callable[[], list[Tensor]], device: torch.device) -> list[Tensor]:
    """Called on the side stream, after what this stream has been given and before what comes next."""
    here, side = torch.cuda.current_stream(device), side_stream(device)
    side.wait_stream(here)
    with torch.cuda.stream(side):
        results = function()
    here.wait_stream(side)
    return results


def captured(function: Callable[[], list[Tensor]], device: torch.device) -> tuple[Callable[[], None], list[Tensor]]:
    """What runs the kernels of `function` again, and the tensors that they write. Nothing is computed yet."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.device(device), torch.cuda.graph(graph, stream=side_stream(device)):
            results = function()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        error.add_note(f"The step could not be captured in a CUDA graph: set {VARIABLE}=off to train without one.")
        raise
    return graph.replay, results
