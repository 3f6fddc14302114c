"""Runs on a Ray cluster. Its nodes send records back to the driver, which alone writes the store: no shared disk.

A run whose worker or node dies is started again elsewhere, on the same node from its checkpoint. Ray comes with the
extra `cluster` and is imported only here. First what happens on a node: a task comes, is trained in a scratch folder,
and its records go back; then the driver.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow import __version__, cost, files, train
from regrow.config import RunConfig
from regrow.engines import chosen_engine
from regrow.errors import RegrowError, StoreError
from regrow.store import Store
from regrow_companion.sweep import heartbeat
from regrow_companion.sweep.local import default_jobs
from regrow_companion.sweep.task import DISK, Ended, Event, How, Share, Task, again, told

NEWS_SECONDS = 1.0  # between the steps that a worker tells, and between two looks at them


@dataclass(frozen=True)
class Order:
    """One task on its way to a node."""

    task: Task
    number: int
    home: str  # of this store's sweeps, the same on every node
    device: str
    engine: str
    data_root: Path | None
    version: str = __version__


@dataclass(frozen=True)
class Answer:
    files: tuple[bytes, ...]  # records as files, in the order of the task
    error: str
    where: str
    trouble: str = ""


class Board:
    """An actor to which the workers tell their steps and from which the driver reads them."""

    def __init__(self) -> None:
        self.news: dict[int, tuple[int, str]] = {}

    def tell(self, number: int, step: int, where: str) -> None:
        self.news[number] = step, where

    def read(self) -> dict[int, tuple[int, str]]:
        news, self.news = self.news, {}
        return news


def trained(order: Order, board: Any) -> Answer:
    """A worker: train, or read what an earlier worker of this node finished, and send the records."""
    where, last = f"{socket.gethostname()}, {order.device}, ray", 0.0

    def report(step: int) -> None:
        nonlocal last
        if time.monotonic() - last > NEWS_SECONDS:
            board.tell.remote(order.number, step, where)
            last = time.monotonic()

    if order.version != __version__:
        return Answer((), f"{socket.gethostname()} has regrow {__version__}, the driver has {order.version}: install "
                           "the same version on every node.", where)
    try:
        store = Store(scratch() / order.home)
        records = store.ensure_all(order.task, device=order.device, engine=order.engine, data_root=order.data_root,
                                   progress=report)
        paths = [store.path_for(record.config, record.provenance.get("data_sha256")) for record in records]
        return Answer(tuple(path.read_bytes() for path in paths), "", where)
    except Exception as error:
        text, trouble = told(error, order.device, len(order.task))
        if trouble == DISK:
            text = f"On {socket.gethostname()}, where REGROW_SCRATCH may name another folder: {text}"
        return Answer((), text, where, trouble)


def scratch() -> Path:
    """This user's folder on the node, $REGROW_SCRATCH or below the temporary folder; nobody else may write there."""
    user = os.getuid() if hasattr(os, "getuid") else "scratch"
    folder = files.place(os.environ.get("REGROW_SCRATCH") or Path(tempfile.gettempdir()) / f"regrow-{user}",
                         "write it in full in REGROW_SCRATCH")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
        raise RegrowError(f"{folder} belongs to somebody else: set REGROW_SCRATCH to a folder of your own there.")
    return folder


def remove(home: str) -> None:
    """Take away what this node kept of a sweep that is over."""
    shutil.rmtree(scratch() / home, ignore_errors=True)


RETRIES = 10  # of a run whose worker or node dies; each goes on from a checkpoint where one is left


def sweep(tasks: Sequence[Task], how: How, address: str) -> Generator[Event]:
    """Train the tasks on the cluster, in their order as far as it has room. '' starts a cluster on this machine.

    A task whose GPU failed is sent once more, to a new worker as Ray ends one after each task on a GPU; a batch that
    does not fit into memory is sent in halves.
    Raises RegrowError, in one sentence, if Ray is not installed, the cluster cannot be reached or has no GPU.
    """
    ray = _connected(how, address)
    all_went_well = True
    try:
        for event in _followed(ray, tasks, how):
            all_went_well &= not (isinstance(event, Ended) and event.error)
            yield event
        if all_went_well:  # else a checkpoint may be worth something
            _forget(ray, _home(how.store))
    finally:
        ray.shutdown()  # ends the tasks of this driver, and a cluster that it started


def _followed(ray: Any, tasks: Sequence[Task], how: How) -> Generator[Event]:
    home = _home(how.store)
    board = ray.remote(Board).options(num_cpus=0, max_restarts=-1, resources={_HEAD: 0.001}).remote()
    share = {"num_gpus": 1 / (how.jobs or 1)} if how.device != "cpu" else {}
    remote = ray.remote(trained).options(num_cpus=1, max_retries=RETRIES, **share)
    running: dict[Any, int] = {}
    sent: list[Task] = []

    def send(task: Task) -> None:
        order = Order(task, len(sent), home, how.device, how.engine, how.data_root)
        running[remote.remote(order, board)] = order.number
        sent.append(task)

    hearts: dict[int, heartbeat.Heart] = {}
    faulted: set[Task] = set()
    try:
        for task in tasks:
            send(task)
        while running:
            ready, _ = ray.wait(list(running), num_returns=1, timeout=NEWS_SECONDS)
            for number, (step, where) in _news(ray, board).items():
                if number not in running.values():
                    continue  # it ended meanwhile
                if number not in hearts:
                    hearts[number] = _heart(how, sent[number])
                hearts[number].where = where
                hearts[number].beat(step)
                yield Share(sent[number], step / hearts[number].steps)
            for reference in ready:
                number = running.pop(reference)
                ended = _ended(ray, reference, sent[number], how)
                heart = hearts.pop(number, None)
                if heart is not None:
                    heart.stop(finished=not ended.error)
                more = again(ended, faulted)
                for task in more:
                    send(task)
                if not more:
                    yield ended
    finally:
        for heart in hearts.values():
            heart.stop(finished=False)


_HEAD = "node:__internal_head__"  # where the board stays: if that node goes, so does the cluster


def _news(ray: Any, board: Any) -> dict[int, tuple[int, str]]:
    try:
        return ray.get(board.read.remote(), timeout=30)
    except (ray.exceptions.RayError, TimeoutError):  # it starts again; the steps are only for people
        return {}


def _heart(how: How, task: Task) -> heartbeat.Heart:
    engine = chosen_engine(task[0], how.device, how.engine)
    return heartbeat.Heart(how.store.root, train.checkpoint_key(task, engine), [config.key for config in task],
                           cost.total_steps(task[0]), "")


def _ended(ray: Any, reference: Any, task: Task, how: How) -> Ended:
    """Write what a node sent into the store, or tell what went wrong."""
    try:
        answer: Answer = ray.get(reference)
    except ray.exceptions.RayError as error:
        return Ended(task, f"{error}\nIts workers or nodes died, or could not start; --retry-failed tries again.",
                     "the cluster")
    if not answer.error:
        for config, data in zip(task, answer.files, strict=True):
            _keep(how.store, config, data)
    return Ended(task, answer.error, answer.where, trouble=answer.trouble)


def _keep(store: Store, config: RunConfig, data: bytes) -> None:
    """Put a record that came as bytes into the store, atomically, if it is sound."""
    path = store.path_for(config, files.head_of(io.BytesIO(data)).get("provenance", {}).get("data_sha256"))
    try:
        files.write(path, data)
    except OSError as error:
        raise files.unwritable(path, error) from error
    if next(store.read(config, [path]), None) is None:
        raise StoreError(f"The record of run {config.key} came damaged from its node; run the same command again.")
    store.failure_path(config.key).unlink(missing_ok=True)


def _connected(how: How, address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not address:
        # Whoever reaches Ray's ports and has its token can run any code here, so a cluster that nobody asked to share
        # listens on the loopback interface only. By default Ray listens on all of them.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import ray  # an extra
    except ImportError as error:
        raise RegrowError("--engine ray needs Ray: install it with python -m pip install -c constraints.txt -e "
                          "'.[cluster]'.") from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address:
        if how.device == "cpu" and how.jobs:
            raise RegrowError("How many runs a node trains at once is said where it joins (ray start --num-cpus N): "
                              "leave --jobs out.")
        _check_reachable(address)
    try:
        if address:
            ray.init(address, **quiet)
        else:
            cores = how.jobs or default_jobs() if how.device == "cpu" else None
            ray.init("local", num_cpus=cores, include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RegrowError(f"No Ray cluster could be reached at {address or 'this machine'}: see that 'ray start' has "
                          "run there, with the same versions of Ray and Python.") from error
    if how.device != "cpu" and not ray.cluster_resources().get("GPU"):
        ray.shutdown()
        raise RegrowError("The Ray cluster has no GPU: leave --device out, or start Ray where there is one.")
    return ray


def _check_reachable(address: str) -> None:
    """A wrong address is one sentence at once; Ray itself would try for a minute."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise RegrowError(f"--address must be auto, HOST:PORT or ray://HOST:PORT, not {address!r}.")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise RegrowError(f"Nothing answers at {address}: see that 'ray start --head' runs there and that no firewall "
                          "is between.") from error


def _home(store: Store) -> str:
    """A name for this store's work on the nodes. A new store gets a new one, so that nothing old is taken for its."""
    path = store.root / "cluster-id"
    with suppress(FileNotFoundError):
        return path.read_text().strip()
    files.write(path, secrets.token_hex(8).encode())
    return path.read_text().strip()


def _forget(ray: Any, home: str) -> None:
    """Take away what the nodes kept of a sweep that is over; a node that cannot be asked keeps it."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # an extra

    there = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in ray.nodes() if node["Alive"]]
    asked = [ray.remote(remove).options(num_cpus=0, max_retries=0, scheduling_strategy=node).remote(home)
             for node in there]
    ray.wait(asked, num_returns=len(asked), timeout=30)
