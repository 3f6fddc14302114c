"""What a kind of torture is given, what it reports, and whether a store is what it promises to be.

Every record sound, the same as undisturbed, and none of them made twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from regrow import compact, files
from regrow.determinism import ONE_EACH
from regrow.errors import RegrowError

TESTS = Path(__file__).parents[1]


def environment() -> dict[str, str]:
    """Of a process that runs a module of this package: it finds it, and has one thread."""
    return os.environ | ONE_EACH | {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))}


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


@dataclass
class Watch:
    """A store that is looked at after every blow. A file that is replaced, if by the same bytes, has another inode."""

    root: Path
    undisturbed: Mapping[str, str]  # key -> checksum of the record
    seen: dict[str, tuple[int, int]] = field(default_factory=dict)

    def look(self) -> list[str]:
        """What is wrong now; records that are there are remembered."""
        wrong = []
        for path in sorted((self.root / "records").glob("[!.]*")):
            key, now = path.stem, (path.stat().st_ino, path.stat().st_mtime_ns)
            if key not in self.seen:
                wrong += self._unsound(path, key)
            elif self.seen[key] != now:
                wrong.append(f"record {key} was complete and was made again")
            self.seen[key] = now
        there = {path.stem for path in (self.root / "records").glob("[!.]*")}
        wrong += [f"record {key} was complete and is gone" for key in self.seen.keys() - there]
        wrong += [f"{path.name} was found damaged" for path in (self.root / "damaged").glob("*")]
        return wrong

    def _unsound(self, path: Path, key: str) -> list[str]:
        try:
            record = compact.load(path)
        except (RegrowError, OSError) as error:
            return [f"record {key} is not whole: {error}"]
        if record.result_sha256 != self.undisturbed.get(key):
            return [f"record {key} is not what an undisturbed run gives"]
        return []

    def untidy(self) -> list[str]:
        """What should not be there when everything is done. A finished run's last checkpoint may stay, unused."""
        return [f"{path.name} was left in {path.parent.name}" for path in self.unfinished]

    @property
    def unfinished(self) -> list[Path]:
        """Temporary files of processes that were killed while they wrote."""
        return sorted(self.root.rglob(f"{files.WRITING}*"))
