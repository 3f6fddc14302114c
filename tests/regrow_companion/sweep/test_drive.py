"""Many runs at once: one failure or one killed process costs one run, and its error is kept."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from regrow import cost, determinism
from regrow.config import RunConfig
from regrow.errors import ConfigError, RegrowError, StoreError
from regrow.store import Store
from regrow_companion.console import Progress
from regrow_companion.sweep import cluster, drive, local
from regrow_companion.sweep.task import Ended, How, Share

TINY = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, batch_size=64, update_interval=2)
LONG = TINY.but(epochs=5_000, seed=9)
BAD_DATA = TINY.but(dataset="mnist")
BAD_LIMIT = TINY.but(train_limit=10_801)

pytestmark = pytest.mark.slow  # worker processes import torch


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory):
    """Three good runs, two bad ones, one that is there already; two workers."""
    root, data = tmp_path_factory.mktemp("sweep"), tmp_path_factory.mktemp("data")
    (data / "mnist.npz").write_bytes(b"no images")
    store = Store(root)
    store.ensure(TINY)
    configs = [TINY, BAD_DATA, TINY.but(seed=1), BAD_LIMIT, TINY.but(seed=2), TINY.but(grow="random"), TINY.but(seed=1)]
    moved: list[tuple[float, str]] = []

    class Watched(Progress):
        def set(self, done: float, note: str = "") -> None:
            moved.append((done / self.total, note))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drive, "Progress", Watched)
        result = drive.run(configs, store, jobs=2, data_root=data)
    return store, configs, result, moved


def test_good_runs_are_trained_whatever_the_others_do(swept):
    store, configs, result, _ = swept
    assert (result.trained, result.present, len(result.failed)) == (3, 1, 2)
    for config in configs:
        assert store.status(config) == ("failed" if config in (BAD_DATA, BAD_LIMIT) else "done")


def test_a_worker_gives_the_same_bits_as_this_process(swept, tmp_path):
    store = swept[0]
    assert store.get(TINY.but(seed=1)).result_sha256 == Store(tmp_path).ensure(TINY.but(seed=1)).result_sha256


def test_errors_are_kept(swept):
    store, _, result, _ = swept
    assert result.failed.keys() == {BAD_DATA.key, BAD_LIMIT.key}
    assert "mnist.npz" in result.failed[BAD_DATA.key] and "train_limit=10801" in result.failed[BAD_LIMIT.key]
    for config in (BAD_DATA, BAD_LIMIT):
        assert result.failed[config.key] in store.failure_path(config.key).read_text()
        assert "\n" not in result.failed[config.key]


def test_progress_moves_and_counts_every_run(swept):
    shares, notes = zip(*swept[3], strict=True)
    assert list(shares) == sorted(shares) and 0 < shares[-1] <= 1
    assert notes[-1] == "5 of 5 runs done"


def test_nothing_to_do_starts_no_process(swept, monkeypatch):
    monkeypatch.setattr(local, "_start", None)
    assert drive.run([TINY, TINY.but(seed=2)], swept[0]) == drive.Result(0, 2, {})


def test_failed_runs_are_tried_again(swept):
    """The data has come since: the next sweep trains the run and takes the old error away."""
    store = swept[0]
    config = TINY.but(seed=5)
    store.fail(config, "out of memory")
    assert drive.run([config, TINY], store, jobs=1) == drive.Result(1, 1, {})
    assert store.status(config) == "done"


def test_failed_runs_can_be_left_out(swept):
    """So that a sweep that is started again does not spend hours on what fails each time."""
    store, config = swept[0], TINY.but(seed=6)
    store.fail(config, "Traceback\nout of memory\n")
    assert drive.run([config, TINY], store, jobs=1, retry_failed=False) == drive.Result(
        0, 1, {}, {config.key: "out of memory"})
    assert store.status(config) == "failed"


def test_the_log_of_a_failed_run(swept):
    store = swept[0]
    log = store.failure_path(BAD_LIMIT.key).read_text()
    assert BAD_LIMIT.key in log and "train_limit=10801" in log and "epochs=2" in log and "cpu, engine auto" in log
    assert store.failure(BAD_LIMIT) == swept[2].failed[BAD_LIMIT.key]
    words = next(line for line in log.splitlines() if line.startswith("config")).split()[1:]
    assert RunConfig.from_strings(words) == BAD_LIMIT


def test_workers_have_one_thread_and_the_parent_what_it_had(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with determinism.one_thread_each():
        assert {os.environ[name] for name in determinism.VARIABLES} == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "7" and "MKL_NUM_THREADS" not in os.environ


# ---- a Ray cluster that cannot be had; one that can is in test_cluster.py ----


@pytest.mark.parametrize(("options", "named"), [
    ({"address": "auto"}, "--engine ray"), ({"engine": "ray", "address": "nowhere"}, "HOST:PORT"),
    ({"engine": "ray", "address": "127.0.0.1:1"}, "Nothing answers"),
    ({"engine": "ray", "address": "ray://127.0.0.1:99999"}, "Nothing answers"),
    ({"engine": "ray", "address": "auto", "jobs": 2}, "--num-cpus")])
def test_wrong_addresses_are_one_sentence(options, named, tmp_path):
    if options.get("engine") == "ray":
        pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.raises(RegrowError, match=named) as error:
        drive.run([TINY], Store(tmp_path), **options)
    assert "\n" not in str(error.value) and not Store(tmp_path).has(TINY)


def test_without_ray_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RegrowError, match=r"pip install .*cluster"):
        drive.run([TINY], Store(tmp_path), engine="ray")


def test_a_damaged_record_from_a_node_is_not_taken(swept, tmp_path):
    store, data = Store(tmp_path), swept[0].record_path(TINY.key).read_bytes()
    with pytest.warns(UserWarning, match="moved to"), pytest.raises(StoreError, match="came damaged"):
        cluster._keep(store, TINY, data[:-100])
    store.fail(TINY, "an earlier time")
    cluster._keep(store, TINY, data)
    assert store.record_path(TINY.key).read_bytes() == data and store.status(TINY) == "done"
    assert not store.failure_path(TINY.key).exists() and not list(tmp_path.rglob(".writing-*"))


def test_scratch_is_ones_own(tmp_path, monkeypatch):
    monkeypatch.setenv("REGROW_SCRATCH", str(tmp_path / "scratch"))
    assert cluster.scratch().stat().st_mode & 0o077 == 0
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(RegrowError, match="REGROW_SCRATCH"):
        cluster.scratch()


def test_a_new_store_has_a_new_name_on_the_nodes(tmp_path):
    one, other = Store(tmp_path), Store(tmp_path / "other")
    other.check_writable()
    assert cluster._home(one) == cluster._home(one) != cluster._home(other)


@pytest.mark.slow
def test_a_killed_worker_costs_only_its_run(tmp_path):
    """As the out-of-memory killer does it. The longest run starts first, in the only worker; the others wait."""
    store, others = Store(tmp_path), [TINY.but(seed=seed) for seed in (1, 2)]
    before = set(multiprocessing.active_children())

    def kill() -> None:
        lock = tmp_path / "locks" / LONG.key
        deadline = time.monotonic() + 60
        while not lock.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        for child in set(multiprocessing.active_children()) - before:
            os.kill(child.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    result = drive.run([*others, LONG], store, jobs=1)
    killer.join()
    assert "killed" in result.failed[LONG.key] and store.status(LONG) == "failed"
    assert result == drive.Result(2, 0, {LONG.key: result.failed[LONG.key]})
    assert all(store.status(config) == "done" for config in others)


@pytest.mark.parametrize("in_order", [False, True])
def test_the_longest_run_starts_first_unless_the_order_is_kept(tmp_path, monkeypatch, in_order):
    begun = []

    def sweeping(tasks, how):
        begun.extend(tasks)
        yield from ()

    monkeypatch.setattr(local, "sweep", sweeping)
    short = [TINY.but(seed=seed) for seed in (1, 2)]
    drive.run([short[0], LONG, short[1]], Store(tmp_path), in_order=in_order)
    assert [config for task in begun for config in task] == (
        [short[0], LONG, short[1]] if in_order else [LONG, *short])


def test_what_checkpoints_held_says_nothing_of_the_time_left(tmp_path, monkeypatch):
    """A run goes on at half, another begins, dies and begins anew from the start."""
    first, second = (TINY.but(seed=seed) for seed in (1, 2))
    seen = []

    class Watched(Progress):
        def set(self, done: float, note: str = "") -> None:
            seen.append((done / self.total, self.before / self.total))

    def sweeping(tasks, how):
        yield from (Share((first,), 0.5), Share((first,), 0.75), Share((second,), 0.25), Ended((first,)),
                    Share((second,), 0.0), Share((second,), 0.5), Ended((second,)))

    monkeypatch.setattr(local, "sweep", sweeping)
    monkeypatch.setattr(drive, "Progress", Watched)
    drive.run([first, second], Store(tmp_path))
    assert seen == [(0.25, 0.25), (0.375, 0.25), (0.5, 0.375), (0.625, 0.375), (0.5, 0.25), (0.75, 0.25), (1.0, 0.25)]


@pytest.mark.slow
def test_the_first_share_says_where_a_run_goes_on(tmp_path):
    store, config = Store(tmp_path), TINY.but(epochs=20, seed=5)

    def stop(step: int) -> None:
        if step == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.ensure(config, checkpoint_seconds=0, progress=stop)
    (task,) = drive.divided([config], "cpu", "auto")
    first, *_, last = local.sweep([task], How(store, "cpu", "auto", None, 1))
    assert (first, last.error) == (Share(task, 30 / cost.total_steps(config)), "")


def test_a_damaged_record_counts_as_missing(swept, tmp_path):
    store = Store(tmp_path)
    path = store.record_path(TINY.key)
    path.parent.mkdir(parents=True)
    path.write_bytes(swept[0].record_path(TINY.key).read_bytes()[:-100])
    with pytest.warns(UserWarning, match="moved to"):
        result = drive.run([TINY], store, jobs=1)
    assert result == drive.Result(1, 0, {})


def test_a_store_that_cannot_be_written_is_said_before_any_process_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_start", None)
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        drive.run([TINY], Store(tmp_path / "store"))


def test_ctrl_c_ends_the_workers_at_once(tmp_path, monkeypatch):
    def interrupted(self: Progress, done: float, note: str = "") -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "set", interrupted)
    before = set(multiprocessing.active_children())
    with pytest.raises(KeyboardInterrupt):
        drive.run([LONG], Store(tmp_path), jobs=1)
    assert not set(multiprocessing.active_children()) - before
    assert not Store(tmp_path).has(LONG) and not Store(tmp_path).failure_path(LONG.key).exists()


@pytest.mark.slow
def test_runs_that_fit_train_together(tmp_path):
    """Asked for on the CPU; on a GPU it is what auto does. The records are those of runs trained alone."""
    runs = [TINY.but(grow=grow, seed=seed) for seed in (1, 2) for grow in ("random", "gradient")]
    assert [len(task) for task in drive.divided([*runs, RunConfig(model="convnet")], "cuda", "auto")] == [1, 4]
    assert [len(task) for task in drive.divided(runs, "cpu", "auto")] == [1, 1, 1, 1]
    store = Store(tmp_path)
    assert drive.run(runs, store, jobs=1, engine="batched") == drive.Result(4, 0, {})
    for config in runs:
        record, alone = store.get(config), Store(tmp_path / "alone").ensure(config, engine="dense")
        assert record.provenance["together"] == 4
        np.testing.assert_allclose(record.train_loss, alone.train_loss, rtol=1e-3)
    with pytest.raises(ConfigError, match="did you mean 'batched'"):
        drive.run([TINY.but(seed=9)], store, engine="batch")


def test_one_worker_per_usable_core():
    assert 1 <= drive.default_jobs() <= (os.cpu_count() or 1)


def test_own_files_only(swept):
    store: Store = swept[0]
    folders = {path.name for path in Path(store.root).iterdir()}
    assert folders <= {"records", "checkpoints", "failed", "locks", "running"}
    assert not list(store.root.rglob(".writing-*"))
    shutil.rmtree(store.root / "locks")  # of no consequence
    assert store.has(TINY)


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so(tmp_path):
    """Its workers import it again, start training themselves, and are refused by Python: not for ever."""
    script = tmp_path / "mine.py"
    script.write_text("from regrow.config import RunConfig\nfrom regrow.store import Store\n"
                      "from regrow_companion.sweep import drive as sweep\n"
                      "run = RunConfig(hidden=(20, 10), train_limit=256, epochs=2, batch_size=64, update_interval=2)\n"
                      f"sweep.run([run.but(seed=s) for s in range(9)], Store({str(tmp_path / 'store')!r}), jobs=2)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode and local.STILLBORN in done.stderr
    assert not list(tmp_path.glob("store/failed/*")), "the runs are not to blame"


def test_an_unexpected_error_is_told_and_costs_no_worker(tmp_path, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr(Store, "ensure_all", broken)
    ours, theirs = multiprocessing.Pipe()
    said = local._ensure((TINY,), How(Store(tmp_path), "cpu", "auto", None, 1), theirs).error
    assert said.startswith("Traceback") and said.strip().endswith("ZeroDivisionError: by nought")
    assert not ours.poll(), "nothing else was sent"
