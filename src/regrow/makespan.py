"""How long many runs take on several equal workers when the longest starts first, as `sweep` does it."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Runs assigned to workers; times in the unit of the runs'."""

    loads: tuple[float, ...]  # when each worker is done

    @property
    def makespan(self) -> float:
        """When the last worker is done."""
        return max(self.loads)

    @property
    def efficiency(self) -> float:
        """The share of the workers' time until then in which they work; 1 for no work at all."""
        return sum(self.loads) / (len(self.loads) * self.makespan) if self.makespan else 1.0


def longest_first(seconds: Sequence[float], workers: int) -> Schedule:
    """Every run goes to the worker that is free first, the longest run first (Graham's LPT rule).

    Its makespan is at most 4/3 - 1/(3 workers) of the best possible one. Raises ValueError without a worker.
    """
    if workers < 1:
        raise ValueError(f"There must be a worker, not {workers}.")
    free = [0.0] * workers
    for run in sorted(seconds, reverse=True):
        heapq.heapreplace(free, free[0] + run)
    return Schedule(tuple(sorted(free, reverse=True)))


def lower_bound(seconds: Sequence[float], workers: int) -> float:
    """No schedule is shorter than its longest run, nor than all runs spread evenly."""
    return max(sum(seconds) / workers, max(seconds, default=0.0))
