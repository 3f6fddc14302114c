"""Choosing where to grow: the n largest of the first layer's 3.1 million scores."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bench.table import Table
from bench.timing import TIMED_COLUMNS, interleaved
from regrow.rules import largest

COLUMNS = ("positions", "chosen", "method", *TIMED_COLUMNS, "times_ours")
SIZES: dict[str, dict[str, Any]] = {"tiny": {"shape": (32, 64), "chosen": (50,), "rounds": 2},
                                    "full": {"shape": (1024, 3072), "chosen": (650, 6_500, 65_000), "rounds": 9}}


def run(size: str) -> Table:
    """n from 65,000 (half of the layer's connections, the first update) down to what late updates move."""
    options, chance, rows = SIZES[size], torch.Generator().manual_seed(0), []
    scores = torch.randn(options["shape"], generator=chance).abs()
    among = torch.rand(options["shape"], generator=chance) > 0.05
    for n in options["chosen"]:
        cases = {name: partial(method, scores, among, n) for name, method in METHODS.items()}
        timings = interleaved(cases, rounds=options["rounds"])
        rows += [{"positions": scores.numel(), "chosen": n, "method": name, **timing.columns(),
                  "times_ours": timing.median / timings["rules.largest"].median} for name, timing in timings.items()]
    return Table("selection", "ms to choose the largest scores among the empty positions, one thread", COLUMNS, rows,
                 notes=("All return a boolean mask. Only rules.largest promises what happens to equal scores.",))


def by_topk(scores: Tensor, among: Tensor, n: int) -> Tensor:
    return _mask(among, scores.masked_fill(~among, -torch.inf).flatten().topk(n, sorted=False).indices)


def by_sort(scores: Tensor, among: Tensor, n: int) -> Tensor:
    return _mask(among, scores.masked_fill(~among, -torch.inf).flatten().argsort(descending=True)[:n])


def _mask(among: Tensor, positions: Tensor) -> Tensor:
    chosen = torch.zeros(among.numel(), dtype=torch.bool)
    chosen[positions] = True
    return chosen.reshape(among.shape)


METHODS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "rules.largest": largest, "torch.topk": by_topk, "full sort": by_sort}
