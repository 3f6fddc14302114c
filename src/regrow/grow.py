"""Where new connections come: a score per rule (Section 4.3.3). RigL differs from SET by one line, SNFS by another."""

from __future__ import annotations

import torch
from torch import Tensor

from regrow.rules import LayerState, growth


@growth("random")
def random_score(layer: LayerState) -> Tensor:
    """Any inactive position, all alike (Eq. 8; SET)."""
    return torch.rand(layer.mask.shape, generator=layer.generator, device=layer.mask.device)


@growth("gradient", needs="gradient")
def gradient_score(layer: LayerState) -> Tensor:
    """The magnitude of the loss's gradient at the position (Eq. 9; RigL)."""
    assert layer.gradient is not None
    return layer.gradient.abs()


@growth("momentum", needs="average")
def momentum_score(layer: LayerState) -> Tensor:
    """The magnitude of the running average of that gradient (Eqs. 10 and 11; SNFS)."""
    assert layer.average is not None
    return layer.average.abs()
