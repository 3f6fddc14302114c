"""Eight processes that want the same twenty runs at once: each is trained once, and all get the same record."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from regrow.torture import victims
from regrow.torture.nursery import Nursery
from regrow.torture.soundness import Watch
from regrow.torture.tally import Stage, Tally

PROCESSES = 8


def run(stage: Stage, nursery: Nursery) -> Tally:
    """As many rounds as planned. Trainings are counted where they happen: the first step of each is a line in a log."""
    tally = Tally("contention", stage.planned)
    keys = {config.key for config in victims.CONTENDED}
    for turn in range(stage.planned):
        if stage.over:
            break
        watch, log = Watch(stage.folder / f"store{turn}", nursery.undisturbed), stage.folder / f"log{turn}"
        answer = nursery("contend", store=watch.root, log=log, processes=PROCESSES, seed=stage.seed + turn)
        tally.tried += 1
        if answer["code"] or answer["errors"]:
            tally.broken.append(f"a process ended with {answer['code']} and said {answer['errors'].strip()!r}")
        trained = Counter(_lines(log))
        tally.broken += [f"run {key} was trained {trained[key]} times" for key in sorted(keys) if trained[key] != 1]
        given = [log.with_name(f"{log.name}-{number}") for number in range(PROCESSES)]
        answers = [line.split() for path in given for line in _lines(path)]
        tally.broken += [f"a process was given another record of {key}" for key, checksum in answers
                         if checksum != nursery.undisturbed[key]]
        if len(answers) != PROCESSES * len(keys):
            tally.broken.append(f"{len(answers)} answers instead of {PROCESSES * len(keys)}")
        tally.broken += watch.look() + watch.untidy()
        tally.broken += [f"record {key} is missing" for key in sorted(keys - watch.seen.keys())]
        tally.count("processes", PROCESSES)
        tally.count("records asked for", len(answers))
        tally.count("trainings", sum(trained.values()))
        tally.count("records", len(watch.seen))
    return tally


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []
