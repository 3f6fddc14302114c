"""SIGKILL at any moment, even in the middle of writing, costs seconds and changes no bit of the result."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regrow import files
from regrow.config import RunConfig
from regrow.store import Store

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")

CONFIG = RunConfig(hidden=(20, 10), train_limit=256, epochs=4, batch_size=64, update_interval=2, grow="momentum")
LAST = 16  # optimizer steps

# Imports torch once and forks a child for every request, which trains and is killed: {store, where, count}.
DRIVER = """
import json, os, signal, sys, tempfile, time
from regrow import RunConfig, Store, record

CONFIG = RunConfig(hidden=(20, 10), train_limit=256, epochs=4, batch_size=64, update_interval=2, grow="momentum")

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def nth(count, before, then):
    # Call `then` at the count-th call, `before` at all others.
    calls = 0
    def counting(*a, **k):
        nonlocal calls
        calls += 1
        return then(*a, **k) if calls == count else before(*a, **k)
    return counting

def half(descriptor_or_path, *_):
    # Leave half of the file's bytes, as a crash between two writes does.
    os.truncate(descriptor_or_path, os.stat(descriptor_or_path).st_size // 2)
    die()

def child(store, where, count):
    progress = None
    if where == "step":
        progress = lambda step: die() if step == count else None
    elif where == "slow":
        progress = lambda step: time.sleep(0.004)
    elif where == "checkpoint rename":
        os.replace = nth(count, os.replace, die)
    elif where == "checkpoint half":
        os.fsync = nth(count, os.fsync, half)
    elif where == "checkpoint sync":
        os.fsync = nth(count, os.fsync, die)
    elif where == "record half":
        replace = os.replace
        os.replace = lambda a, b: half(a) if "records" in str(b) else replace(a, b)
    elif where == "record rename":
        replace = os.replace
        os.replace = lambda a, b: die() if "records" in str(b) else replace(a, b)
    elif where == "record there":  # before the checkpoint is taken away
        save = record.Record.save
        record.Record.save = lambda self, path: (save(self, path), die())
    Store(store).ensure(CONFIG, checkpoint_seconds=0, progress=progress)

with tempfile.TemporaryDirectory() as warm:  # imports and compiled code, once for all children
    Store(warm).ensure(CONFIG.but(epochs=1))
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid == 0:
        child(job["store"], job["where"], job["count"])
        os._exit(0)
    if "after" in job:
        time.sleep(job["after"])
        os.kill(pid, signal.SIGKILL)
    print(json.dumps(-os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])), flush=True)
"""


class Killer:
    """Trains CONFIG in a child that is killed, and says which signal ended it (0: none, it was done)."""

    def __init__(self) -> None:
        self.driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       text=True)

    def __call__(self, store: Path, where: str = "slow", count: int = 1, **more: Any) -> int:
        assert self.driver.stdin is not None and self.driver.stdout is not None
        self.driver.stdin.write(json.dumps({"store": str(store), "where": where, "count": count, **more}) + "\n")
        self.driver.stdin.flush()
        return int(json.loads(self.driver.stdout.readline()))


@pytest.fixture(scope="module")
def kill() -> Iterator[Killer]:
    killer = Killer()
    yield killer
    killer.driver.stdin.close()
    assert killer.driver.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return Store(tmp_path_factory.mktemp("undisturbed")).ensure(CONFIG).result_sha256


def finish(root: Path, undisturbed: str, first_step: int | None = None) -> None:
    """Run the same command again: the same bits, from where the last whole checkpoint stands, and a tidy store."""
    store, steps = Store(root), []
    made = store.ensure(CONFIG, progress=steps.append)
    assert made.result_sha256 == undisturbed == store.get(CONFIG).result_sha256
    if first_step is not None:
        assert steps == list(range(first_step, LAST + 1))
    if steps:
        assert made.provenance["resumed"] is (steps[0] != 1) and not store.checkpoint_path(CONFIG.key).exists()
    assert not (root / "damaged").exists() and not list(root.rglob(f"{files.WRITING}*"))


@pytest.mark.parametrize("step", [1, 2, 3, 4, 7, 10, 15, 16])
def test_killed_after_a_step(tmp_path, kill, undisturbed, step):
    assert kill(tmp_path, "step", step) == signal.SIGKILL
    assert Store(tmp_path).status(CONFIG) == "interrupted"
    finish(tmp_path, undisturbed, step + 1)


@pytest.mark.parametrize("where", ["checkpoint half", "checkpoint sync", "checkpoint rename"])
@pytest.mark.parametrize("count", [1, 2, 9, 16])
def test_killed_while_a_checkpoint_is_written(tmp_path, kill, undisturbed, where, count):
    """The count-th checkpoint never gets its name: the one before it stands, or none."""
    assert kill(tmp_path, where, count) == signal.SIGKILL
    leftovers = list((tmp_path / "checkpoints").glob(f"{files.WRITING}*"))
    assert len(leftovers) == 1, "it died between the temporary file and its name"
    finish(tmp_path, undisturbed, count)


@pytest.mark.parametrize("where", ["record half", "record rename"])
def test_killed_while_the_record_is_written(tmp_path, kill, undisturbed, where):
    assert kill(tmp_path, where) == signal.SIGKILL
    assert len(list((tmp_path / "records").glob(f"{files.WRITING}*"))) == 1
    assert not Store(tmp_path).has(CONFIG)
    finish(tmp_path, undisturbed, LAST + 1)  # nothing left to train


def test_killed_between_record_and_clearing_up(tmp_path, kill, undisturbed):
    assert kill(tmp_path, "record there") == signal.SIGKILL
    assert Store(tmp_path).status(CONFIG) == "done" and Store(tmp_path).get(CONFIG).result_sha256 == undisturbed


def test_killed_again_and_again(tmp_path, kill, undisturbed):
    for step, where in ((2, "step"), (3, "checkpoint half"), (9, "step"), (4, "checkpoint rename"), (14, "step")):
        assert kill(tmp_path, where, step) == signal.SIGKILL
    finish(tmp_path, undisturbed, 15)


def test_killed_at_random_moments(tmp_path, kill, undisturbed):
    chance, killed = random.Random(4), 0
    for turn in range(12):
        root = tmp_path / str(turn)
        while kill(root, after=chance.uniform(0.02, 0.35)) == signal.SIGKILL:
            killed += 1
            if killed % 3 == 0:  # do not always wait for it to get through
                break
        finish(root, undisturbed)
    assert killed >= 6


@pytest.mark.slow
def test_killed_on_the_command_line(tmp_path):
    """`python -m regrow train`, killed in the middle of the run, then typed again."""
    words = ["hidden=20,10", "train_limit=256", "batch_size=64", "update_interval=2", "epochs=80"]
    command = [sys.executable, "-m", "regrow", "train", *words, "--json", "--store", str(tmp_path / "store")]
    config = RunConfig.from_strings(words)
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lock = tmp_path / "store" / "locks" / config.key
    deadline = time.monotonic() + 60
    while not lock.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)  # into the run; a checkpoint comes only every 20 s, so it starts afresh
    child.kill()
    assert child.wait() == -signal.SIGKILL and not Store(tmp_path / "store").has(config)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and json.loads(done.stdout)["key"] == config.key
    undisturbed = Store(tmp_path / "other").ensure(config)
    assert Store(tmp_path / "store").get(config).result_sha256 == undisturbed.result_sha256


@pytest.mark.slow
def test_the_command_line_goes_on_from_a_checkpoint(tmp_path, kill, undisturbed):
    assert kill(tmp_path, "step", 10) == signal.SIGKILL
    words = ["hidden=20,10", "train_limit=256", "batch_size=64", "update_interval=2", "epochs=4", "grow=momentum"]
    done = subprocess.run([sys.executable, "-m", "regrow", "train", *words, "--store", str(tmp_path)],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    made = Store(tmp_path).get(CONFIG)
    assert made.provenance["resumed"] and made.result_sha256 == undisturbed
