"""Eq. 10 without a dense gradient in every step: the running average as one sum over the steps before an update.

v = sum over k of (1 - beta) beta^(n - k) dy_k x_k^T. A gradient whose weight beta^(n - k) is below LIMIT is left out;
the outer products of BLOCK steps are added up together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from regrow.engines.outer_products import add_outer_products

LIMIT = 1e-6
BLOCK = 16


def window(beta: float) -> int:
    """The smallest K with beta^K < LIMIT, at least 1: 132 steps for beta = 0.9."""
    return 1 if beta == 0 else math.floor(math.log(LIMIT) / math.log(beta)) + 1


class GradientAverage:
    """The running average v [n_out, n_in] of one layer's dense gradient."""

    def __init__(self, n_out: int, n_in: int, batch: tuple[int, int], beta: float, dtype: torch.dtype) -> None:
        """A step has at most batch[0] tiles, of batch[1] images each."""
        tiles, images = batch
        self.beta, self.pending = beta, 0
        self.value = torch.zeros(n_out, n_in, dtype=dtype)
        self.dy = torch.zeros(BLOCK, tiles, n_out, images, dtype=dtype)
        self.x = torch.zeros(BLOCK, tiles, n_in, images, dtype=dtype)

    def add(self, dy: np.ndarray, x: np.ndarray) -> None:
        """One step's gradient sum over tiles t of dy[t] x[t]^T; dy [tiles, n_out, images], x [tiles, n_in, images]."""
        tiles = len(dy)
        self.dy[self.pending, :tiles], self.x[self.pending, :tiles] = torch.from_numpy(dy), torch.from_numpy(x)
        self.dy[self.pending, tiles:] = 0
        self.pending += 1
        if self.pending == BLOCK:
            self.flush()

    def flush(self) -> Tensor:
        """Add the pending steps and return v."""
        n = self.pending
        if n:
            ages = torch.arange(n - 1, -1, -1, dtype=self.value.dtype)
            self.dy[:n] *= ((1 - self.beta) * self.beta**ages)[:, None, None, None]
            self.value *= self.beta**n
            add_outer_products(*(part.numpy() for part in (self.value, self.dy[:n].flatten(0, 1),
                                                           self.x[:n].flatten(0, 1))))
            self.pending = 0
        return self.value

    def reset(self) -> None:
        """Forget everything: the next window begins."""
        self.value.zero_()
        self.pending = 0

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs; pending steps stay pending, so that sums are formed in the same order."""
        n = self.pending
        return {"value": self.value, "dy": self.dy[:n], "x": self.x[:n]}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.value.copy_(state["value"])
        self.pending = len(state["dy"])
        self.dy[:self.pending], self.x[:self.pending] = state["dy"], state["x"]
