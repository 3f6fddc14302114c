"""SIGKILL at random moments over sweeps of short runs, and eight processes that want the same twenty runs at once.

What was complete stays, nothing half-written is used, each run is trained once, and in the end every record is, bit for
bit, what an undisturbed sweep makes.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from torture import nursery, victims
from torture.nursery import Nursery
from torture.promises import Stage, Tally, Watch, environment

LONGEST = 0.8  # seconds until a forked sweep is killed; undisturbed it takes about two
PATIENCE = 20.0  # seconds that workers may go on for after their parent was killed
CHECKPOINT_SECONDS = (0.0, 0.0, 0.05)  # 0: after every step, so that many kills fall in a write


def run(stage: Stage, nursery: Nursery) -> Tally:
    """Sweeps of two processes, killed with both of them, again and again until they get through; then new ones."""
    tally, chance = Tally("kills of sweeps", stage.planned), random.Random(stage.seed)
    turn = 0
    while tally.tried < stage.planned and not stage.over:
        turn += 1
        watch = Watch(stage.folder / f"sweep{turn}", nursery.undisturbed)
        order: dict[str, Any] = {"store": watch.root, "seed": stage.seed + turn,
                                 "checkpoint_seconds": chance.choice(CHECKPOINT_SECONDS)}
        killed = True
        while killed and tally.tried < stage.planned and not stage.over:
            answer = nursery("sweep", after=chance.uniform(0.02, LONGEST), **order)
            killed = answer["signal"] == signal.SIGKILL
            if killed:
                tally.tried += 1
                for phase in answer["phases"]:
                    tally.count(phase)
                tally.count("half-written files left", len(watch.unfinished))
            tally.broken += _troubles(answer, watch, killed)
        if killed:  # the last one goes through undisturbed
            tally.broken += _troubles(nursery("sweep", **order), watch, killed=False)
        tally.broken += watch.untidy()
        tally.count("sweeps finished")
        missing = {config.key for configs, _ in victims.SWEEP for config in configs} - watch.seen.keys()
        tally.broken += [f"record {key} is missing from a finished sweep" for key in sorted(missing)]
    tally.note = f"{victims.WORKERS} processes each; where each of them was is counted"
    return tally


def _troubles(answer: dict[str, Any], watch: Watch, killed: bool) -> list[str]:
    wrong = watch.look()
    if not killed and answer["code"]:
        wrong.append(f"a sweep ended with code {answer['code']}")
    if answer["errors"]:
        wrong.append(f"a sweep said {answer['errors'].splitlines()[-1]!r}")
    return wrong


def commands(stage: Stage, nursery: Nursery) -> Tally:
    """The sweep that `python -m regrow run` makes, in real worker processes: all of them killed, or a worker, or only
    the process that gives them work."""
    tally, chance = Tally("kills of commands", stage.planned), random.Random(stage.seed)
    wanted, turn = {config.key for config in victims.CONTENDED[:8]}, 0
    while tally.tried < stage.planned and not stage.over:
        turn += 1
        watch = Watch(stage.folder / f"command{turn}", nursery.undisturbed)
        done, tries = False, 0
        while not done:
            tries += 1
            last = tally.tried >= stage.planned or stage.over or tries > 6
            whom = "nobody" if last else chance.choice(("all", "all", "a worker", "the parent"))
            done, killed, errors = _one_command(watch.root, whom, chance)
            if killed:
                tally.tried += 1
                tally.count(f"killed: {whom}")
            if "Traceback" in errors:
                tally.broken.append(f"after {whom} was killed, the rest said {errors.strip().splitlines()[-1]!r}")
            tally.broken += watch.look()
            if last and not done:
                tally.broken.append(f"an undisturbed command did not finish: {errors.strip()[-200:]!r}")
                break
        tally.broken += [f"record {key} is missing" for key in sorted(wanted - watch.seen.keys())] + watch.untidy()
        tally.count("sweeps finished")
    return tally


def _one_command(store: Path, whom: str, chance: random.Random) -> tuple[bool, bool, str]:
    """(whether everything was there in the end, whether somebody was killed, what was said on stderr)."""
    log = store.with_name(f"{store.name}.log")
    with log.open("w+") as said:
        command = subprocess.Popen([sys.executable, "-m", "torture.victims", str(store), "2"],
                                   stdout=subprocess.DEVNULL, stderr=said, env=environment(),
                                   start_new_session=True)
        killed = False
        if whom != "nobody":
            _wait_for_work(command, store)
            with suppress(subprocess.TimeoutExpired):
                command.wait(chance.uniform(0.0, 1.5))
            if command.poll() is None:
                killed = _kill(command, whom, chance)
        done = command.wait() == 0
        if not nursery.gone(command.pid, PATIENCE):  # workers whose parent was killed notice and end by themselves
            done = False
            said.write(f"Traceback: workers went on for {PATIENCE:g} seconds after {whom} was killed")
            said.flush()
        return done, killed, log.read_text(errors="replace")


def _wait_for_work(command: subprocess.Popen, store: Path) -> None:
    """Most of a command's life is importing torch, where a kill is dull: wait for a worker to take a lock."""
    before = {path.name: path.stat().st_mtime_ns for path in (store / "locks").glob("*")}
    while command.poll() is None:
        if any(before.get(path.name) != path.stat().st_mtime_ns for path in (store / "locks").glob("*")):
            return
        time.sleep(0.005)


def _kill(command: subprocess.Popen, whom: str, chance: random.Random) -> bool:
    if whom == "all":
        os.killpg(command.pid, signal.SIGKILL)
        return True
    if whom == "the parent":
        command.kill()
        return True
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(command.pid).children()  # multiprocessing's tracker of resources is one, too
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        if workers:
            chance.choice(workers).kill()
            return True
    return False


PROCESSES = 8


def contention(stage: Stage, nursery: Nursery) -> Tally:
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
