"""What `status` makes of a store: counts, rates, time left, errors."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from regrow import compact
from regrow.config import RunConfig
from regrow.store import Store
from regrow_companion import cli, study
from regrow_companion.sweep import status

TINY = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, batch_size=64, update_interval=2)
OTHER = TINY.but(grow="random")


def sign(root: Path, *configs: RunConfig, step: int = 25, rate: float | None = 5.0, process: int = 0) -> None:
    folder = root / "running"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{configs[0].key}.json").write_text(json.dumps({
        "keys": [config.key for config in configs], "step": step, "steps": 100, "rate": rate,
        "where": "machine, cpu, sparse", "writer": [socket.gethostname(), process or os.getpid()]}))


def test_counts_and_the_last_hour(tmp_path):
    store = Store(tmp_path)
    runs = [TINY.but(seed=seed) for seed in range(4)]
    for run in runs[:2]:
        store.ensure(run)
    os.utime(store.record_path(runs[0].key), (time.time() - 5000,) * 2)
    store.fail(runs[2], "Traceback\nValueError: no luck")
    found = status.standing(store, runs)
    assert found.counts(runs) == {"done": 2, "running": 0, "failed": 1, "interrupted": 0, "waiting": 1}
    assert found.finished_last_hour == 1 and found.failures == {runs[2].key: "ValueError: no luck"}
    assert found.eta is None and found.running == ()


def test_time_left_by_arithmetic(tmp_path):
    """One run in flight has 75 of 100 steps at 5 a second before it; another of its kind takes 20 seconds."""
    store = Store(tmp_path)
    sign(tmp_path, TINY)
    assert status.standing(store, [TINY]).eta == pytest.approx(15)
    found = status.standing(store, [TINY, TINY.but(seed=1)])
    assert found.eta == pytest.approx(15 + 20) and found.unknown == 0
    sign(tmp_path, OTHER, step=60, rate=2.0)  # two at work: 20 more seconds of its own
    assert status.standing(store, [TINY, TINY.but(seed=1), OTHER]).eta == pytest.approx((15 + 20 + 20) / 2)
    found = status.standing(store, [TINY, OTHER, TINY.but(sparsity=0.8)])
    assert found.unknown == 1 and found.eta == pytest.approx(20), "the slowest alone takes as long"
    store.fail(TINY.but(seed=1), "no luck")
    assert status.standing(store, [TINY, TINY.but(seed=1)]).eta == pytest.approx(15), "nothing tries it again"


def test_an_interrupted_run_has_less_before_it(tmp_path):
    store, second = Store(tmp_path), TINY.but(seed=1)
    sign(tmp_path, TINY)
    sign(tmp_path, second, step=90, process=2**22 + 1)
    found = status.standing(store, [TINY, second])
    assert found.statuses[second] == "interrupted" and found.eta == pytest.approx(15 + 0.1 * 20)


def test_finished_runs_tell_how_long_their_like_takes(tmp_path):
    store = Store(tmp_path)
    taken = store.ensure(TINY).provenance["seconds"]
    sign(tmp_path, OTHER, rate=None)
    found = status.standing(store, [TINY, TINY.but(seed=1), OTHER])
    assert found.eta == pytest.approx(taken) and found.unknown == 1  # OTHER has no rate yet


def test_who_only_looks_changes_nothing(tmp_path):
    store = Store(tmp_path)
    path = store.record_path(TINY.key)
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    sign(tmp_path, OTHER)
    before = sorted(tmp_path.rglob("*"))
    status.standing(store, [TINY, TINY.but(seed=1), OTHER])
    assert sorted(tmp_path.rglob("*")) == before and path.read_bytes() == b"damaged"


def test_a_batch_is_shared_by_its_runs(tmp_path):
    runs = [TINY.but(seed=seed) for seed in range(5)]
    sign(tmp_path, *runs[:4])
    found = status.standing(Store(tmp_path), runs)
    assert [found.statuses[run] for run in runs] == ["running"] * 4 + ["waiting"]
    assert found.eta == pytest.approx(15 + 20 / 4) and len(found.running) == 1


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    """A study of three runs: one running, one failed, one waiting."""
    runs = (TINY, TINY.but(seed=1), TINY.but(seed=2))
    monkeypatch.setattr(study, "distinct", lambda needs, profile: runs)
    monkeypatch.setattr(study, "runs", lambda need, profile: runs)
    sign(tmp_path, TINY)
    Store(tmp_path).fail(runs[1], "RegrowError\nno luck")
    return Store(tmp_path)


def test_for_people(three, capsys):
    assert cli.main(["status", "--only", "fig05", "--store", str(three.root)]) == 0
    out = capsys.readouterr().out
    assert f"{TINY.key} mlp fashion_mnist_small gradient seed 0" in out and "5.0" in out and "0:15" in out
    assert "no luck" in out and str(three.failure_path(TINY.but(seed=1).key)) in out and "--retry-failed" in out
    assert out.splitlines()[-1] == "0 of these runs finished in the last hour; 2 are left: about 0:35 with 1 at work " \
                                   "as now."


def test_for_programs(three, capsys):
    assert cli.main(["status", "--only", "fig05", "--store", str(three.root), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["total"] == {"done": 0, "running": 1, "failed": 1, "interrupted": 0, "waiting": 1}
    assert said["running"][0]["steps_per_second"] == 5 and said["running"][0]["where"] == "machine, cpu, sparse"
    assert said["failed"][TINY.but(seed=1).key]["error"] == "no luck" and said["eta_seconds"] == pytest.approx(35)


def test_watching_ends_when_all_is_done(three, capsys, monkeypatch):
    slept: list[float] = []

    def finish(seconds: float) -> None:
        slept.append(seconds)
        for run in study.distinct([], ""):
            three.ensure(run)
        (three.root / "running" / f"{TINY.key}.json").unlink(missing_ok=True)

    monkeypatch.setattr(status.time, "sleep", finish)
    assert cli.main(["status", "--only", "fig05", "--store", str(three.root), "--watch", "7"]) == 0
    out = capsys.readouterr().out
    assert slept == [7] and out.count("---- ") == 2 and out.splitlines()[-1].endswith("nothing is left to train.")
    assert cli.main(["status", "--watch", "0"]) == 2
    assert "--watch" in capsys.readouterr().err


def test_nothing_runs(three, capsys):
    (three.root / "running" / f"{TINY.key}.json").unlink()
    assert cli.main(["status", "--only", "fig05", "--store", str(three.root)]) == 0
    assert "2 are left, and nothing is running." in capsys.readouterr().out


def test_runs_that_went_wrong_by_themselves_are_done_and_named(tmp_path, capsys):
    """A loss that is no number and an accuracy at chance: seen without reading whole records, as those say it."""
    store = Store(tmp_path)
    runs = [TINY.but(sparsity=0.5, epochs=8), TINY.but(lr=1e6),
            TINY.but(lr=1e-12, sparsity=0.99, grow="random", epochs=1, seed=1)]
    records = [store.ensure(run) for run in runs]
    assert [(record.diverged, record.collapsed) for record in records] == [(False, False), (True, True), (False, True)]
    found = status.standing(store, runs)
    assert found.misfortunes == {runs[1].key: "diverged", runs[2].key: "collapsed"}
    assert found.counts(runs)["done"] == 3
    compact.save(records[1], tmp_path / "shipped" / "records" / f"{runs[1].key}.npz", topology=False)
    assert status.standing(Store(tmp_path / "own", read_also=[tmp_path / "shipped"]), runs).misfortunes == {
        runs[1].key: "diverged"}
    store.record_path(runs[1].key).write_bytes(b"not a record")
    assert runs[1].key not in status.standing(store, runs).misfortunes
    status._print({}, found.counts(runs), found, store, {run.key: run for run in runs})
    said = capsys.readouterr().out
    assert f"{runs[1].key} mlp fashion_mnist_small gradient: the loss became NaN or infinite" in said
    assert f"{runs[2].key} mlp fashion_mnist_small random: collapsed to chance" in said


def test_the_time_of_a_kind_is_the_median_of_its_runs(tmp_path):
    store = Store(tmp_path)
    made = store.ensure(TINY)
    for seed, seconds in enumerate((10.0, 90.0, 20.0)):
        run = replace(made, config=TINY.but(seed=seed), provenance={"seconds": seconds})
        run.save(store.record_path(run.key))
    sign(tmp_path, OTHER, rate=None)
    assert status.standing(store, [*(TINY.but(seed=seed) for seed in range(4)), OTHER]).eta == pytest.approx(20)
