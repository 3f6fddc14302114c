"""The sweep on a real Ray cluster of several nodes on this machine: whatever dies, every run ends with one record,
equal to the one that it gets alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from regrow.config import RunConfig
from regrow.errors import RegrowError
from regrow.store import Store
from regrow_companion.sweep import drive, heartbeat

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: python -m pip install -c constraints.txt -e '.[cluster]'")]

RUN = RunConfig(hidden=(20, 10), train_limit=256, epochs=240, batch_size=64, update_interval=2)
RUNS = [RUN.but(seed=seed) for seed in range(4)]
DRIVER = """
import sys
from regrow_companion.sweep import drive
from regrow.config import RunConfig
from regrow.store import Store

RUN = RunConfig(hidden=(20, 10), train_limit=256, epochs=240, batch_size=64, update_interval=2)
drive.run([RUN.but(seed=seed) for seed in range(4)], Store(sys.argv[1]), engine="ray", address=sys.argv[2])
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Checksums of the plain records, by key."""
    store = Store(tmp_path_factory.mktemp("alone"))
    return {run.key: store.ensure(run).result_sha256 for run in RUNS}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head without cores and two nodes with one each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGROW_SCRATCH", str(tmp_path_factory.mktemp("scratch")))
        soon = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000}
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False,
                                                             "_system_config": soon})
        for _ in range(2):
            made.add_node(num_cpus=1)
        yield made
        made.shutdown()


def wait_for(what: Callable[[], Any], seconds: float = 90) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
    return found


def check(root: Path, alone: dict[str, str]) -> None:
    """One record each, the plain one's bits, and nothing else left in the store."""
    store = Store(root)
    assert sorted(path.name for path in (root / "records").iterdir()) == sorted(f"{key}.npz" for key in alone)
    assert {run.key: store.get(run).result_sha256 for run in RUNS} == alone
    assert not [path for name in ("running", "failed", "damaged") if (root / name).is_dir()
                for path in (root / name).iterdir()]


def swept(store: Store, address: str, disturb: Callable[[], None]) -> drive.Result:
    """A sweep of RUNS; `disturb` is called when it is under way on both nodes."""
    def later() -> None:
        wait_for(lambda: len(heartbeat.read(store.root)) == 2)
        disturb()

    thread = threading.Thread(target=later)
    thread.start()
    result = drive.run(RUNS, store, engine="ray", address=address)
    thread.join()
    return result


def test_a_killed_worker_is_started_again(cluster, alone, tmp_path):
    killed: list[int] = []

    def kill() -> None:
        workers = [process for process in psutil.process_iter(["cmdline"])
                   if process.info["cmdline"] and process.info["cmdline"][0].startswith("ray::trained")]
        os.kill(workers[0].pid, signal.SIGKILL)
        killed.append(workers[0].pid)

    assert swept(Store(tmp_path), cluster.address, kill) == drive.Result(4, 0, {})
    assert killed
    check(tmp_path, alone)


def test_a_killed_driver_goes_on_when_it_is_started_again(cluster, alone, tmp_path):
    command = [sys.executable, "-c", DRIVER, str(tmp_path), cluster.address]
    first = subprocess.Popen(command)
    wait_for(lambda: list(tmp_path.glob("records/*.npz")))
    first.kill()
    first.wait()
    store, done = Store(tmp_path), {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("records/*.npz")}
    assert 1 <= len(done) < 4
    assert drive.run(RUNS, store, engine="ray", address=cluster.address) == drive.Result(4 - len(done), len(done), {})
    assert all((tmp_path / "records" / name).stat().st_mtime_ns == when for name, when in done.items())
    check(tmp_path, alone)


def test_a_node_lost_in_mid_sweep(cluster, alone, tmp_path):
    lost = next(iter(cluster.worker_nodes))
    result = swept(Store(tmp_path), cluster.address, lambda: cluster.remove_node(lost, allow_graceful=False))
    assert result == drive.Result(4, 0, {}) and len(cluster.worker_nodes) == 1
    check(tmp_path, alone)


def test_a_cluster_without_a_gpu_says_so(cluster, tmp_path):
    with pytest.raises(RegrowError, match="no GPU"):
        drive.run(RUNS, Store(tmp_path), engine="ray", address=cluster.address, device="cuda")


@pytest.fixture
def node_with_a_gpu(cluster: Any) -> Iterator[None]:
    """Ray deals in GPUs as it is told there are some, so half of one can be asked for where there is none."""
    node = cluster.add_node(num_cpus=2, num_gpus=1)
    yield
    cluster.remove_node(node)


def test_runs_that_share_a_gpu_find_their_node(cluster, node_with_a_gpu, tmp_path):
    runs = [RunConfig(model="convnet", image_format="native", train_limit=256, epochs=1, batch_size=64,
                      update_interval=2, seed=seed) for seed in range(3)]
    result = drive.run(runs, Store(tmp_path), engine="ray", address=cluster.address, device="cuda", jobs=2)
    if torch.cuda.is_available():
        assert result == drive.Result(3, 0, {})
    else:
        assert result.trained == 0 and len(result.failed) == 3
        assert all("no CUDA device" in error for error in result.failed.values())
