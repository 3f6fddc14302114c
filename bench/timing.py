"""The stop-watch: everything that is compared takes turns in one process, so that a busy machine slows all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Seconds per call, one number a round."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third; both the number itself if there is only one."""
        if len(self.seconds) == 1:
            return self.seconds[0], self.seconds[0]
        first, _, third = quantiles(self.seconds, n=4, method="inclusive")
        return first, third

    def columns(self, per: float = 1.0) -> dict[str, Any]:
        """Cells of a table: milliseconds for each of `per` units in a call, their quartiles, and the repeats."""
        first, third = self.quartiles
        return {"ms": 1e3 * self.median / per, "ms_q1": 1e3 * first / per, "ms_q3": 1e3 * third / per,
                "repeats": len(self.seconds)}


TIMED_COLUMNS = ("ms", "ms_q1", "ms_q3", "repeats")


def interleaved(cases: Mapping[str, Callable[[], object]], *, rounds: int, calls: int = 1, warm_up: int = 1,
                prepare: Callable[[], object] | None = None) -> dict[str, Timing]:
    """Time the cases in turn, A B A B ..., `rounds` times each after `warm_up` untimed calls (which also compile).

    A turn is `calls` calls on end, as in use: the first one refills the caches, the others find their data there.
    `prepare` is called before every turn, untimed.
    """
    for case in cases.values():
        for _ in range(warm_up):
            case()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            if prepare is not None:
                prepare()
            began = time.perf_counter()
            for _ in range(calls):
                case()
            seconds[name].append((time.perf_counter() - began) / calls)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}
