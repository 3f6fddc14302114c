"""A folder of records, addressed by what was asked for. `ensure` returns a run's record, finishing or training it if
need be. Nothing is ever overwritten with something else, and nothing damaged is used or deleted."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from regrow import arrayfile, compact
from regrow.config import RunConfig
from regrow.errors import NotRecorded, StoreError
from regrow.record import Record

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
        return self.ensure_all([config], device=device, engine=engine, data_root=data_root, progress=progress,
                               checkpoint_seconds=checkpoint_seconds)[0]

    def ensure_all(self, configs: Sequence[RunConfig], *, device: str = "cpu", engine: str = "batched",
                   data_root: Path | None = None, progress: Callable[[int], None] | None = None,
                   checkpoint_seconds: float = CHECKPOINT_SECONDS) -> list[Record]:
        """The same for several runs of one kind (see `together.groups`), in their order; they train together on the
        batched engine and one after the other on any other."""
        found = {config: self.get(config) for config in configs}
        if None in found.values():
            with self._locks(config.key for config in configs):
                # Another process may have finished some of them while we waited.
                found = {config: record or self.get(config) for config, record in found.items()}
                missing = [config for config, record in found.items() if record is None]
                if missing:
                    found |= self._train(missing, device, engine, data_root, progress, checkpoint_seconds)
        return [record for record in found.values() if record is not None]

    def _train(self, configs: list[RunConfig], device: str, engine: str, data_root: Path | None,
               progress: Callable[[int], None] | None, checkpoint_seconds: float) -> dict[RunConfig, Record]:
        from regrow import training
        from regrow.engines.engine import chosen_engine

        for config in configs:
            training.check_trainable(config, device)
            for unfinished in self.root.glob(f"*/{arrayfile.WRITING}{config.key}-*"):
                unfinished.unlink(missing_ok=True)  # of a killed process: nobody else writes while we hold the lock
        engine = chosen_engine(configs[0], device, engine)
        done: dict[RunConfig, Record] = {}
        for task in [configs] if engine == "batched" else [[config] for config in configs]:
            path = self.checkpoint_path(training.checkpoint_key(task, engine))
            records = training.trained(task, device=device, engine=engine, data_root=data_root, checkpoint_path=path,
                                       checkpoint_seconds=checkpoint_seconds, damaged=self._move_aside,
                                       progress=progress)
            for config, record in zip(task, records, strict=True):
                record.save(self.record_path(config.key))
                self.failure_path(config.key).unlink(missing_ok=True)
                done[config] = record
            path.unlink(missing_ok=True)
        return done

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
    def _locks(self, keys: Iterable[str]) -> Iterator[None]:
        """Advisory locks that the operating system drops when the process ends, however it ends."""
        self.check_writable()
        try:
            import fcntl
        except ImportError:  # no such locks on Windows: two processes may then train the same run, harmlessly
            yield
            return
        with ExitStack() as files:
            for key in sorted(keys):  # always in the same order, so that two processes never wait for each other
                path = self.root / "locks" / key
                path.parent.mkdir(parents=True, exist_ok=True)
                fcntl.flock(files.enter_context(path.open("w")), fcntl.LOCK_EX)
            yield


def require(store: Store, configs: list[RunConfig], remedy: str) -> list[Record]:
    """All records, or NotRecorded with how many are missing and the command that makes them."""
    found = [store.get(config) for config in configs]
    missing = sum(record is None for record in found)
    if missing:
        raise NotRecorded(f"{missing} of {len(configs)} records are missing in {store.root}: {remedy}")
    return [record for record in found if record is not None]
