"""One progress bar that behaves in a terminal, in a notebook and in a log file."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

LOG_SECONDS = 15.0


def interactive() -> bool:
    """True in a terminal or in a notebook, False when output goes to a file or a pipe."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()


def clock(seconds: float) -> str:
    """4125 -> '1:08:45', 65 -> '1:05'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """`set(done)` moves it: a tqdm bar on a terminal or in a notebook; in a log a line with the ETA now and then.

    `before` of what is done was done before this began, and says nothing of the time left.
    """

    def __init__(self, total: float, label: str, *, stream: Any = None) -> None:
        self.total, self.label, self.began, self.stream = total, label, time.monotonic(), stream
        self.said, self.before, self.stepped = self.began, 0.0, False
        self.bar: Any = None
        if interactive():
            from tqdm.auto import tqdm  # in a notebook it brings widgets

            self.bar = tqdm(total=total, desc=label, leave=False, mininterval=0.5,
                            smoothing=0,  # the rate is that of all steps since `initial`
                            bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}")

    def set(self, done: float, note: str = "") -> None:
        """`done` of `total` is done; `note` says what goes on."""
        now = time.monotonic()
        if self.bar is not None:
            if note:
                self.bar.set_postfix_str(note, refresh=False)
            self.bar.initial = self.before
            self.bar.update(done - self.bar.n)
        elif now - self.said >= LOG_SECONDS and done > self.before:
            self.said = now
            elapsed = now - self.began
            share = (done - self.before) / (self.total - self.before)
            known = share > 0.02 or elapsed > 60
            left = f"about {clock(elapsed / share - elapsed)} left" if known else "time left not known yet"
            print(f"{self.label}: {100 * done / self.total:.0f} %, {clock(elapsed)} so far, {left}"
                  + (f" ({note})" if note else ""), file=self.stream or sys.stderr, flush=True)

    def step(self, step: int) -> None:
        """One training is at this step; all before the first that it tells was done by an earlier process."""
        if not self.stepped:
            self.stepped, self.before = True, step - 1
        self.set(step)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    table = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for row in table:
        print("  ".join(cell.ljust(w) if i in (0, len(head) - 1) else cell.rjust(w)
                        for i, (cell, w) in enumerate(zip(row, widths, strict=True))).rstrip())
