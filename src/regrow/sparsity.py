"""How many connections each layer gets, and where they are before training (Section 3.2.3, Table 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from regrow.determinism import generator

Shape = tuple[int, ...]


def relative_density(shape: Shape, init: str) -> float:
    """Density of a layer up to a common factor, for a weight of shape (n_out, n_in[, height, width]).

    `erk` has the kernel in the numerator, as Evci et al. (2020) and every public implementation do; `erk_printed` is
    Table 2's formula as it stands in the paper, without it.
    """
    n_out, n_in, *kernel = shape
    area = math.prod(kernel)
    return {
        "uniform": 1.0,
        "er": (n_in + n_out) / (n_in * n_out),
        "erk": (n_in + n_out + sum(kernel)) / (n_in * n_out * area),
        "erk_printed": (n_in + n_out) / (n_in * n_out * area),
    }[init]


def densities(shapes: Mapping[str, Shape], density: float, init: str) -> dict[str, float]:
    """Density per layer such that the whole network has `density` (0 < density <= 1).

    Layers whose density would exceed 1 become dense, all that tie for the largest together; the rest shares what is
    left, until everything fits.
    """
    size = {name: math.prod(shape) for name, shape in shapes.items()}
    relative = {name: relative_density(shape, init) for name, shape in shapes.items()}
    dense: set[str] = set()
    while len(dense) < len(shapes):
        sparse = [name for name in shapes if name not in dense]
        left = density * sum(size.values()) - sum(size[name] for name in dense)
        factor = left / sum(relative[name] * size[name] for name in sparse)
        largest = max(relative[name] for name in sparse)
        if factor * largest <= 1:
            return {name: 1.0 if name in dense else factor * relative[name] for name in shapes}
        dense |= {name for name in sparse if relative[name] == largest}
    return dict.fromkeys(shapes, 1.0)


def connection_counts(shapes: Mapping[str, Shape], density: float, init: str) -> dict[str, int]:
    """Connections per layer, whole numbers whose sum is exactly round(density * all weights).

    The fractions are given to the layers with the largest remainders.
    """
    size = {name: math.prod(shape) for name, shape in shapes.items()}
    exact = {name: share * size[name] for name, share in densities(shapes, density, init).items()}
    counts = {name: math.floor(value) for name, value in exact.items()}
    missing = round(density * sum(size.values())) - sum(counts.values())
    for name in sorted(counts, key=lambda name: counts[name] - exact[name])[:missing]:
        counts[name] += 1
    return counts


def random_masks(shapes: Mapping[str, Shape], counts: Mapping[str, int], seed: int) -> dict[str, Tensor]:
    """Uniformly random boolean masks with exactly `counts` connections, on the CPU.

    They depend on the shapes, the counts and the seed alone, so all strategies of one seed start from the same wiring.
    """
    masks = {}
    for index, (name, shape) in enumerate(shapes.items()):
        mask = torch.zeros(math.prod(shape), dtype=torch.bool)
        mask[torch.randperm(mask.numel(), generator=generator("mask", seed, index))[: counts[name]]] = True
        masks[name] = mask.reshape(shape)
    return masks
