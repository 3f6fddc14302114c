"""What a kind of torture is given, and what it reports: how much was tried, and every promise that was broken."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """An empty folder to work in, how many trials are planned, and the time at which it has to stop anyway."""

    folder: Path
    planned: int
    seed: int = 0
    deadline: float = float("inf")  # on time.monotonic()

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.deadline


@dataclass
class Tally:
    """The outcome of a stage. `counts` says what the trials met, `broken` is a sentence for every broken promise."""

    kind: str
    planned: int
    tried: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0
    note: str = ""

    def count(self, what: str, times: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + times
