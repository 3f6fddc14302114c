"""Convolutions with their normalisation, and what they see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from regrow.engines.conv.batchnorm import Norm
from regrow.engines.conv.layer import SparseConv
from regrow.engines.conv.rows import JOINED, NORMALISED, POOLED, READY, Sizes, Source
from regrow.engines.conv.vectors import WIDE

BORDER = 1  # of every map of inputs


@dataclass(eq=False)
class Inputs:
    """What a unit sees: images, or the normalised outputs of another unit, with a shortcut added or pooled."""

    maps: np.ndarray  # one for every tile, or one
    of: Unit | None = None
    pooled: bool = False
    shortcut: Inputs | Unit | None = None

    def source(self) -> Source:
        """With the scale and shift of now."""
        if self.of is None:
            nothing = np.zeros((0, WIDE), self.maps.dtype)
            return Source(READY, self.maps, BORDER, self.maps, nothing, nothing, self.maps, 0, nothing)
        norm = self.of.norm
        how, shift, other, border, factor = NORMALISED, norm.shift, self.of.y, 0, norm.scale
        if self.pooled:
            how = POOLED
        elif isinstance(self.shortcut, Inputs):
            how, other, border, factor = JOINED, self.shortcut.maps, BORDER, norm.one
        elif self.shortcut is not None:
            theirs = self.shortcut.norm
            how, other, factor, shift = JOINED, self.shortcut.y, theirs.scale, shift + theirs.shift
        return Source(how, self.maps, BORDER, self.of.y, norm.scale, shift, other, border, factor)


@dataclass(eq=False)
class Unit:
    """A convolution and its normalisation. `y` [tiles, H, C, W, WIDE] are the convolution's outputs."""

    conv: SparseConv
    norm: Norm
    inputs: Inputs
    sizes: Sizes
    y: np.ndarray
    dy: np.ndarray  # a map for the gradient of one tile's y
    dz: np.ndarray  # as y, the gradient of what is normalised; units share it
    first: bool  # of those that see its inputs: it makes them

    def __post_init__(self) -> None:
        self.totals = np.zeros((2, self.y.shape[2]))  # sums of dz and of dz * y over a batch
