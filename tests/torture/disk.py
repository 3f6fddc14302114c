"""Disks that are full or read-only, a store that is not there, a clock that goes backwards.

Real file systems where the system lets us mount one in a name space of our own (they vanish with it); everywhere, a
limit on the size of files, which ends a write in its middle just the same.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

from regrow.config import RunConfig
from regrow.errors import RegrowError
from regrow.store import Store
from torture.damage import CONFIG
from torture.promises import Stage, Tally, environment
from torture.said import command, words

OTHER = CONFIG.but(seed=1)


def run(stage: Stage) -> Tally:
    """`planned` disks without room, half of them real ones if that can be; then the other places and the clock."""
    tally = Tally("disk, place, clock", stage.planned + 10)  # of places and clocks
    chance = random.Random(stage.seed)
    store = Store(stage.folder / "undisturbed")
    sound = {config.key: store.ensure(config).result_sha256 for config in (CONFIG, OTHER)}
    real = _mountable()
    if real:
        _merge(tally, _inside(stage, stage.planned // 2, store.record_path(OTHER.key), sound))
    size = store.record_path(CONFIG.key).stat().st_size
    while tally.tried < stage.planned and not stage.over:
        folder = stage.folder / f"limited{tally.tried}"
        _copy(store.record_path(OTHER.key), folder)
        with _files_at_most(chance.randrange(1, size)):
            refused = _ask(folder, chance.choice((0.0, 1e9)))
        _judge(tally, "files limited in size", folder, refused, sound)
    _places(stage.folder, store, sound, tally)
    _clock(stage.folder, store, sound, tally)
    tally.note = "" if real else "no file system can be mounted here: files limited in size stand for all full disks"
    return tally


def _ask(root: Path, checkpoint_seconds: float) -> str | None:
    """None if the run came out; else the sentence, or what should not have come through."""
    try:
        Store(root).ensure(CONFIG, checkpoint_seconds=checkpoint_seconds)
    except RegrowError as error:
        return str(error)
    except Exception as error:
        return f"Traceback: {type(error).__name__}: {error}"
    return None


def _judge(tally: Tally, kind: str, root: Path, refused: str | None, sound: dict[str, str],
           recover: Callable[[], object] = lambda: None) -> None:
    """After a refusal nothing half-written may be there, and once there is room the same command must come through."""
    tally.tried += 1
    tally.count(kind)
    tally.count("refused" if refused else "there was room")
    if refused and (refused.startswith("Traceback") or "\n" in refused or not refused.endswith(".")):
        tally.broken.append(f"{kind}: not one sentence: {refused!r}")
    if list((root / "records").glob(f"*{CONFIG.key}*")) and refused:
        tally.broken.append(f"{kind}: something of the refused record is there")
    recover()
    for config in (OTHER, CONFIG):
        if (record := Store(root).ensure(config)).result_sha256 != sound[record.key]:
            tally.broken.append(f"{kind}: another record than undisturbed, once there was room")
    if list((root / "damaged").glob("*")):
        tally.broken.append(f"{kind}: a file was found damaged")


@contextmanager
def _files_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))  # Python ignores the signal: the write fails
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _copy(record: Path, root: Path) -> None:
    (root / "records").mkdir(parents=True, exist_ok=True)
    shutil.copy(record, root / "records" / record.name)


# ---- in a name space of our own -------------------------------------------------------------------------------------

def _unshare() -> list[str]:
    return ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


def _mountable() -> bool:
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        return False
    probe = [*_unshare(), "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(probe, capture_output=True).returncode == 0


def _inside(stage: Stage, planned: int, record: Path, sound: dict[str, str]) -> dict:
    folder = stage.folder / "mounted"
    folder.mkdir(parents=True)
    order = {"folder": str(folder), "planned": planned, "seed": stage.seed, "record": str(record), "sound": sound,
             "seconds": min(1e6, stage.deadline - time.monotonic())}
    done = subprocess.run([*_unshare(), sys.executable, "-m", "torture.disk", json.dumps(order)],
                          capture_output=True, text=True, env=environment())
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        return {"tried": 0, "counts": {}, "broken": [f"the mounted disks ended with {last!r}"]}
    return json.loads(done.stdout)


def _merge(tally: Tally, other: dict) -> None:
    tally.tried += other["tried"]
    tally.broken += other["broken"]
    for what, times in other["counts"].items():
        tally.count(what, times)


def main(arguments: Sequence[str]) -> int:
    """Inside: small disks with some kibibytes or some names left, then one that is read-only."""
    order = json.loads(arguments[0])
    folder, sound, record = Path(order["folder"]), order["sound"], Path(order["record"])
    chance, tally = random.Random(order["seed"]), Tally("mounted", order["planned"])
    deadline, largest = time.monotonic() + order["seconds"], 2 * record.stat().st_size
    while tally.tried < order["planned"] and time.monotonic() < deadline:
        few_names = tally.tried % 4 == 3
        options = f"size=4m,nr_inodes={chance.randrange(6, 14)}" if few_names else "size=4m"
        with _mounted(folder, options):
            _copy(record, folder)
            ballast = folder / "ballast"
            if not few_names:
                _fill(ballast, leave=chance.randrange(0, largest))
            refused = _ask(folder, chance.choice((0.0, 1e9)))

            def make_room(few_names: bool = few_names, ballast: Path = ballast) -> None:
                ballast.unlink(missing_ok=True)
                if few_names:
                    subprocess.run(["mount", "-o", "remount,nr_inodes=1000", str(folder)], check=True)

            _judge(tally, "no names left (tmpfs)" if few_names else "no room left (tmpfs)", folder, refused, sound,
                   make_room)
    _read_only(folder, record, sound, tally)
    print(json.dumps({"tried": tally.tried, "counts": tally.counts, "broken": tally.broken}))
    return 0


def _read_only(folder: Path, record: Path, sound: dict[str, str], tally: Tally) -> None:
    with _mounted(folder, "size=4m"):
        _copy(record, folder)
        damaged = folder / "records" / f"{CONFIG.but(seed=2).key}.npz"
        damaged.write_bytes(record.read_bytes()[:999])
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        tally.tried += 3
        tally.count("read-only (tmpfs)", 3)
        if Store(folder).ensure(OTHER).result_sha256 != sound[OTHER.key]:
            tally.broken.append("read-only: a record that is there cannot be read")
        for config in (CONFIG, CONFIG.but(seed=2)):
            said = _train(config, folder, folder.parent)
            if said:
                tally.broken.append(f"read-only: {said}")


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _fill(ballast: Path, leave: int) -> None:
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(ballast, max(0, ballast.stat().st_size - leave))


# ---- places and the clock -------------------------------------------------------------------------------------------

def _train(config: RunConfig, root: Path, folder: Path) -> str:
    """What is wrong with the answer of the command line to a store that cannot be written; empty if nothing."""
    said = command(["train", *words(config), "--store", str(root)], folder)
    lines = said.err.splitlines()
    if said.code != 2 or said.raised or len(lines) != 1 or not lines[0].startswith("regrow: ") or said.out:
        return f"not one sentence and exit code 2: {said}"
    return ""


def _places(folder: Path, store: Store, sound: dict[str, str], tally: Tally) -> None:
    """A store that does not exist yet is made; where none can be made, one sentence says so and nothing changes."""
    folder = folder / "places"
    folder.mkdir()
    (folder / "file").write_text("mine")
    (folder / "dangling").symlink_to(folder / "nowhere" / "store")
    (folder / "loop").symlink_to(folder / "loop")
    for place in ("file", "file/below", "file/far/below", "loop", "x" * 300):
        tally.tried += 1
        tally.count("places where no store can be")
        if trouble := _train(CONFIG, folder / place, folder):
            tally.broken.append(f"store {place[:20]}: {trouble}")
    if (folder / "file").read_text() != "mine":
        tally.broken.append("a file in the place of the store was changed")
    for place in ("a/new/store", "with a blank/ünïcode"):
        tally.tried += 1
        tally.count("stores made where there was none")
        if Store(folder / place).ensure(CONFIG).result_sha256 != sound[CONFIG.key]:
            tally.broken.append(f"store {place}: another record than undisturbed")


def _clock(folder: Path, store: Store, sound: dict[str, str], tally: Tally) -> None:
    """A clock that goes back an hour whenever it is read, one that stands still, and files from the future."""
    now = time.time()
    backwards = iter(range(10**9))
    trials: tuple[tuple[str, Callable[[], float]], ...] = (
        ("clock going backwards", lambda: now - 3600.0 * next(backwards)), ("clock standing still", lambda: now))
    for number, (kind, clock) in enumerate(trials):
        root = folder / f"clock{number}"
        with patch("time.time", clock), patch("time.time_ns", lambda clock=clock: int(clock() * 1e9)):
            for part in (300, 600):  # damaged twice: both are kept
                _copy(store.record_path(OTHER.key), root)
                path = Store(root).record_path(OTHER.key)
                path.write_bytes(path.read_bytes()[:part])
                said = command(["train", *words(OTHER), "--store", str(root)], folder)
                if said.code or len(said.err.splitlines()) != 1:
                    tally.broken.append(f"{kind}: {said}")
                path.unlink()
            if _ask(root, 0.0) or Store(root).ensure(CONFIG).result_sha256 != sound[CONFIG.key]:
                tally.broken.append(f"{kind}: another record than undisturbed")
            if command(["status", "--store", str(root)], folder).code:
                tally.broken.append(f"{kind}: status fails")
        kept = sorted(path.stat().st_size for path in (root / "damaged").glob("*"))
        if kept != [300, 600]:
            tally.broken.append(f"{kind}: damaged files of {kept} bytes were kept, not of 300 and 600")
        tally.tried += 1
        tally.count(kind)
    root = folder / "future"
    _copy(store.record_path(OTHER.key), root)
    for path in root.rglob("*"):
        os.utime(path, (now + 1e8, now + 1e8))
    tally.tried += 1
    tally.count("files from the future")
    if any(Store(root).ensure(config).result_sha256 != sound[config.key] for config in (OTHER, CONFIG)):
        tally.broken.append("files from the future: another record than undisturbed")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
