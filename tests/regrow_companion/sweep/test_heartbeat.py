"""Signs of life: what others can read while a run trains, and after it stopped."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest

from regrow.config import RunConfig
from regrow.store import Store
from regrow_companion.sweep import heartbeat
from regrow_companion.sweep.heartbeat import Heart, beating, read
from regrow_companion.sweep.status import statuses

TINY = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, batch_size=64, update_interval=2)


def written(root: Path, name: str = "a", *, host: str = "", process: int = 0, age: float = 0, **more) -> None:
    said = {"keys": [name], "step": 5, "steps": 10, "rate": 2.0, "where": "here",
            "writer": [host or socket.gethostname(), process], **more}
    path = root / "running" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(said))
    os.utime(path, (time.time() - age,) * 2)


def test_what_a_training_says(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    steps: list[int] = []
    with beating(tmp_path, "together-x", ["k1", "k2"], 1000, "machine, cpu, batched", steps.append) as beat:
        assert read(tmp_path) == []  # it may wait for another's training
        beat(200)
        (first,) = read(tmp_path)
        assert (first.keys, first.step, first.steps, first.rate) == (("k1", "k2"), 200, 1000, None) and first.alive
        for step in range(201, 221):  # resumed at 200, a step a second
            now[0] += 1
            beat(step)
        (later,) = read(tmp_path)
        assert later.rate == pytest.approx(1) and 215 <= later.step <= 220
        assert later.seconds_left == pytest.approx(1000 - later.step)
    assert steps == list(range(200, 221)) and read(tmp_path) == []


def test_it_writes_only_now_and_then(tmp_path, monkeypatch):
    heart = Heart(tmp_path, "a", ["a"], 10, "here")
    writes: list[int] = []
    monkeypatch.setattr(heart, "_write", lambda process, now: writes.append(heart.step))
    for step in range(1000):
        heart.beat(step)
    assert writes == [0]


def test_one_that_stopped_short_is_not_alive(tmp_path):
    with pytest.raises(KeyboardInterrupt), beating(tmp_path, "a", ["a"], 10, "here") as beat:
        beat(3)
        raise KeyboardInterrupt
    (left,) = read(tmp_path)
    assert left.step == 3 and not left.alive


@pytest.mark.parametrize(("sign", "alive"), [
    ({"process": os.getpid()}, True), ({"process": 2**22 + 1}, False), ({"process": os.getpid(), "age": 1000}, False),
    ({"host": "elsewhere", "process": 1}, True), ({"host": "elsewhere", "process": 1, "age": 1000}, False),
    ({"host": "elsewhere", "process": 0}, False), ({"process": os.getpid(), "age": -1000}, True)], ids=range(7))
def test_alive(tmp_path, sign, alive):
    """A process that exists, or one elsewhere that was heard of lately; a clock that is ahead does no harm."""
    written(tmp_path, **sign)
    assert read(tmp_path)[0].alive is alive
    heartbeat.forget_dead(tmp_path)
    assert len(read(tmp_path)) == alive


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keys": 3}', "null"])
def test_nonsense_is_left_out(tmp_path, text):
    written(tmp_path, process=os.getpid())
    (tmp_path / "running" / "b.json").write_text(text)
    assert [beat.name for beat in read(tmp_path)] == ["a"]


def test_a_folder_that_cannot_be_written_stops_no_training(tmp_path):
    (tmp_path / "running").write_text("a file")
    assert Store(tmp_path).ensure(TINY).key == TINY.key


def test_the_store_says_how_runs_stand(tmp_path):
    store, seen = Store(tmp_path), []
    runs = [TINY.but(seed=seed) for seed in range(5)]
    written(tmp_path, "together-1", process=os.getpid(), keys=[runs[1].key, runs[2].key])
    written(tmp_path, "together-2", process=0, keys=[runs[3].key])
    store.fail(runs[2], "an earlier time")
    store.ensure(runs[0], progress=lambda step: seen.append(store.status(runs[0])))
    assert set(seen) == {"running"}
    assert statuses(store, runs, read(tmp_path)) == ["done", "running", "running", "interrupted", "waiting"]
    assert store.failure(runs[2]) == "an earlier time" and store.failure(runs[0]) is None


def test_a_locked_run_is_running(tmp_path):
    """As of a version that gave no signs of life."""
    pytest.importorskip("fcntl")
    store = Store(tmp_path)
    path = store.checkpoint_path(TINY.key)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a checkpoint")
    assert store.status(TINY) == "interrupted"
    with store._locks([TINY.key]):
        assert store.status(TINY) == "running"
    assert store.status(TINY) == "interrupted"
