"""`python -m regrow torture`: every kind in turn, a table of what was tried and what was lost; 0 if nothing was."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from regrow import provenance
from regrow.config import nearest
from regrow.determinism import ONE_EACH
from regrow.errors import ConfigError
from regrow_companion.console import clock
from torture import bad_input, books, damage, dependencies, disk, kills, odd_files, odd_models, odd_rules
from torture.nursery import Nursery
from torture.promises import Stage, Tally

MINUTES = 10.0  # in which `planned` is tried


@dataclass(frozen=True)
class Kind:
    """A kind of torture: trials planned in ten minutes, and its share of the time at most (unused time goes on)."""

    planned: int
    share: float
    run: Callable[[Stage, Nursery], Tally]


KINDS = {
    "contention": Kind(2, 0.05, kills.contention),
    "disk": Kind(40, 0.07, lambda stage, _: disk.run(stage)),
    "collapse": Kind(8, 0.02, lambda stage, _: damage.misfortunes(stage)),
    "damage": Kind(300, 0.10, lambda stage, _: damage.run(stage)),
    "input": Kind(300, 0.18, lambda stage, _: bad_input.run(stage)),
    "models": Kind(2000, 0.03, lambda stage, _: odd_models.run(stage)),
    "files": Kind(200, 0.04, lambda stage, _: odd_files.run(stage)),
    "rules": Kind(2000, 0.05, lambda stage, _: odd_rules.run(stage)),
    "kills": Kind(200, 0.24, kills.run),
    "commands": Kind(8, 0.11, kills.commands),
    "notebooks": Kind(8, 0.19, lambda stage, nursery: books.run(stage, nursery.undisturbed)),
    "dependencies": Kind(1, 0.0, lambda stage, _: dependencies.run(stage)),
}


def torture(arguments: Namespace) -> int:
    """Run the kinds asked for. Raises ConfigError for a time or a kind that does not exist."""
    minutes = arguments.minutes
    if not (math.isfinite(minutes) and minutes > 0):
        raise ConfigError(f"--minutes must be a number above 0, not {minutes:g}.")
    kinds = _kinds(arguments.only)
    os.environ.update(ONE_EACH)  # for the processes that are started from here
    began = time.monotonic()
    tallies = run(kinds, minutes, arguments.seed, say=None if arguments.json else _say)
    ok = not any(tally.broken for tally in tallies)
    about = {"minutes": round((time.monotonic() - began) / 60, 1), "seed": arguments.seed,
             "date": date.today().isoformat(), "hardware": provenance.hardware("cpu"), "cores": os.cpu_count(),
             "system": platform.platform(terse=True), "python": platform.python_version()}
    if arguments.json:
        print(json.dumps(about | {"ok": ok, "kinds": [asdict(tally) for tally in tallies]}, indent=2))
    else:
        print(text(tallies))
        print(f"\n{about['minutes']} minutes on {about['hardware']}, {about['cores']} cores, {about['system']}, Python "
              f"{about['python']}, {about['date']}, seed {arguments.seed}")
        print("Nothing was lost." if ok else "PROMISES WERE BROKEN, see above.")
    return 0 if ok else 1


def run(kinds: Sequence[str], minutes: float, seed: int, *, say: Callable[[str], None] | None = None) -> list[Tally]:
    """Every kind in turn; a kind may use the time that those before it left over."""
    whole = sum(KINDS[kind].share for kind in kinds) or 1.0
    tallies = []
    with tempfile.TemporaryDirectory(prefix="regrow-torture-") as folder, Nursery() as nursery:
        began, used = time.monotonic(), 0.0
        for kind in kinds:
            used += KINDS[kind].share / whole
            stage = Stage(Path(folder) / kind, max(1, round(KINDS[kind].planned * minutes / MINUTES)), seed,
                          began + 60 * minutes * used)
            stage.folder.mkdir()
            since = time.monotonic()
            tally = KINDS[kind].run(stage, nursery)
            tally.seconds = round(time.monotonic() - since, 1)
            tallies.append(tally)
            if say is not None:
                say(f"{tally.kind}: {tally.tried} of {tally.planned} in {clock(tally.seconds)}, "
                    f"{len(tally.broken)} promises broken")
    return tallies


def text(tallies: Sequence[Tally]) -> str:
    """The table, then what the trials met, then every broken promise."""
    head = ("kind", "planned", "tried", "lost", "seconds")
    rows = [head, *((t.kind, str(t.planned), str(t.tried), str(len(t.broken)), f"{t.seconds:.0f}") for t in tallies)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                       for i, (cell, w) in enumerate(zip(row, widths, strict=True))) for row in rows]
    for tally in tallies:
        met = ", ".join(f"{what} {times}" for what, times in sorted(tally.counts.items()))
        lines += ["", f"{tally.kind}: {met}", *([f"    {tally.note}"] if tally.note else []),
                  *(f"    BROKEN: {promise}" for promise in tally.broken)]
    return "\n".join(lines)


def _kinds(only: str | None) -> list[str]:
    if only is None:
        return list(KINDS)
    kinds = [kind.strip() for kind in only.split(",") if kind.strip()]
    if not kinds:
        raise ConfigError(f"--only names no kind: write one or more of {','.join(KINDS)}, or leave it out.")
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(f"There is no torture {kind!r}{nearest(kind, KINDS)}.")
    return kinds


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
