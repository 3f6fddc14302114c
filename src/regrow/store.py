"""A folder of records, addressed by what was asked for. `ensure` returns a run's record, finishing or training it if
need be. Nothing is ever overwritten with something else, and nothing damaged is used or deleted."""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from regrow import arrayfile, compact, provenance
from regrow.config import RunConfig
from regrow.errors import NotRecorded, RegrowError, StoreError
from regrow.record import Record

if TYPE_CHECKING:
    from regrow.data import Dataset

CHECKPOINT_SECONDS = 20.0


class Store:
    """`root`/records, /checkpoints, /failed and /damaged, each file named after the key of its run."""

    def __init__(self, root: Path | str, *, read_also: tuple[Path, ...] = ()) -> None:
        self.root = Path(root)
        self.read_also = tuple(Path(path) for path in read_also)

    def record_path(self, key: str) -> Path:
        return self.root / "records" / f"{key}.npz"

    def checkpoint_path(self, key: str) -> Path:
        return self.root / "checkpoints" / f"{key}.npz"

    def failure_path(self, key: str) -> Path:
        return self.root / "failed" / f"{key}.txt"

    def has(self, config: RunConfig) -> bool:
        """Whether a record file is there; it is checked when it is read."""
        return any(path.is_file() for path in self._places(config.key))

    def get(self, config: RunConfig) -> Record | None:
        """The record of a config, or None. A damaged one in this store is moved aside with a warning."""
        for path in self._places(config.key):
            try:
                record = compact.load(path)
                if record.config != config:
                    raise StoreError(f"{path} holds another run than its name says.")
                return record
            except FileNotFoundError:
                continue
            except StoreError as error:
                self._move_aside(path, error)
        return None

    def status(self, config: RunConfig) -> str:
        """'done', 'failed', 'running' (a checkpoint is there) or 'waiting', from the store alone."""
        if self.has(config):
            return "done"
        if self.failure_path(config.key).is_file():
            return "failed"
        return "running" if self.checkpoint_path(config.key).is_file() else "waiting"

    def ensure(self, config: RunConfig, *, device: str = "cpu", engine: str = "auto", data_root: Path | None = None,
               progress: Callable[[int], None] | None = None,
               checkpoint_seconds: float = CHECKPOINT_SECONDS) -> Record:
        """The record of a config: read, or resumed from its checkpoint, or trained from the start.

        Several processes may ask for the same config; one trains, the others wait for it. Raises RegrowError for what
        the user can mend (data missing, store not writable).
        """
        record = self.get(config)
        if record is not None:
            return record
        with self._lock(config.key):
            record = self.get(config)  # another process may have finished it while we waited
            return record or self._train(config, device, engine, data_root, progress, checkpoint_seconds)

    def _train(self, config: RunConfig, device: str, engine: str, data_root: Path | None,
               progress: Callable[[int], None] | None, checkpoint_seconds: float) -> Record:
        import torch

        from regrow import checkpoint, train

        check_trainable(config, device)
        engine = train.chosen_engine(config, device, engine)
        for unfinished in self.root.glob(f"*/{arrayfile.WRITING}{config.key}-*"):
            unfinished.unlink(missing_ok=True)  # of a killed process: nobody else writes while we hold the lock
        dataset = _dataset(config, device, data_root)
        run = train.start(config, dataset, device, engine)
        path, resumed = self.checkpoint_path(config.key), False
        if path.is_file():
            try:
                checkpoint.restore(run, path, engine)
                resumed = True
            except StoreError as error:
                self._move_aside(path, error)
                run = train.start(config, dataset, device, engine)
        last = time.monotonic()

        def save(run: train.Run) -> None:
            nonlocal last
            if time.monotonic() - last >= checkpoint_seconds:
                checkpoint.save(run, path, engine)
                last = time.monotonic()

        with _one_thread(device):
            made = provenance.of_run(device=device, engine=engine, threads=torch.get_num_threads(),
                                     data_sha256=dataset.sha256)
            record = train.train(run, dataset, save=save, progress=progress, provenance=made | {"resumed": resumed})
        record.save(self.record_path(config.key))
        path.unlink(missing_ok=True)
        self.failure_path(config.key).unlink(missing_ok=True)
        return record

    def fail(self, config: RunConfig, text: str) -> None:
        """Keep the error of a run that failed."""
        path = self.failure_path(config.key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        except OSError as error:
            raise StoreError(f"Cannot write {path}: {error.strerror}; free space or mend the permissions.") from error

    def check_writable(self) -> None:
        """Raise StoreError, in one sentence, if nothing can be written here."""
        probe = self.root / f".probe-{os.getpid()}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"regrow")
            probe.unlink()
        except OSError as error:
            raise StoreError(f"The store {self.root} cannot be written ({error.strerror}): mend its permissions or "
                             "choose another folder with --store.") from error

    def _places(self, key: str) -> list[Path]:
        return [self.record_path(key), *(root / "records" / f"{key}.npz" for root in self.read_also)]

    def _move_aside(self, path: Path, error: Exception) -> None:
        if self.root not in path.parents:
            warnings.warn(f"{error} It is not used.", stacklevel=3)
            return
        target = self.root / "damaged" / f"{path.parent.name}-{path.name}.{time.time_ns()}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        except FileNotFoundError:
            return  # another process was faster
        except OSError as blocked:
            raise StoreError(f"{error} It could not be moved aside ({blocked.strerror}).") from blocked
        warnings.warn(f"{error} It was moved to {target}.", stacklevel=3)

    @contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        """An advisory lock that the operating system drops when the process ends, however it ends."""
        self.check_writable()
        try:
            import fcntl
        except ImportError:  # no such locks on Windows: two processes may then train the same run, harmlessly
            yield
            return
        path = self.root / "locks" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@contextmanager
def _one_thread(device: str) -> Iterator[None]:
    """On a CPU the number of threads changes the order of sums; one thread gives the same bits everywhere.

    Parallelism goes across runs.
    """
    import torch

    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_trainable(config: RunConfig, device: str = "cpu") -> None:
    """Raise RegrowError, in one sentence, for a run that this version or this machine cannot train."""
    import torch

    if config.is_rbm:
        raise RegrowError(f"{config.model} is in the plan (Appendix D), but this version does not train RBMs yet; "
                          "leave them out with --only.")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise RegrowError(f"There is no device {device!r}; use --device cpu, cuda, or cuda:1 for the second GPU.")
    number = int(device.partition(":")[2] or 0)
    if device != "cpu" and number >= torch.cuda.device_count():
        raise RegrowError(f"There is no CUDA device {number} here (found {torch.cuda.device_count()}); "
                          "leave --device out or use --device cpu.")


@lru_cache(maxsize=2)
def _load(name: str, image_format: str, train_limit: int, device: str, data_root: Path | None) -> Dataset:
    from regrow import data

    return data.load(name, root=data_root, image_format=image_format, device=device, train_limit=train_limit)


def _dataset(config: RunConfig, device: str, data_root: Path | None) -> Dataset:
    return _load(config.dataset, config.image_format, config.train_limit, device, data_root)


def require(store: Store, configs: list[RunConfig], remedy: str) -> list[Record]:
    """All records, or NotRecorded with how many are missing and the command that makes them."""
    found = [store.get(config) for config in configs]
    missing = sum(record is None for record in found)
    if missing:
        raise NotRecorded(f"{missing} of {len(configs)} records are missing in {store.root}: {remedy}")
    return [record for record in found if record is not None]
