"""A folder of records, addressed by what was asked for. `ensure` returns a run's record, finishing or training it if
need be. Nothing is ever overwritten with something else, and nothing damaged is used or deleted."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path

from filelock import FileLock, Timeout

from regrow import compact, datasets, files
from regrow.config import RunConfig, same_keys
from regrow.errors import NotRecorded, StoreError, UnwritableError, in_a_sentence
from regrow.files import move_aside
from regrow.record import Record

CHECKPOINT_SECONDS = 20.0


class Store:
    """`root`/records, /checkpoints, /failed and /damaged, each file named after the key of its run."""

    def __init__(self, root: Path | str, *, read_also: tuple[Path, ...] = ()) -> None:
        self.root = files.place(root)
        self.read_also = tuple(files.place(path) for path in read_also)

    def record_path(self, key: str) -> Path:
        return self.root / "records" / f"{key}.npz"

    def checkpoint_path(self, key: str) -> Path:
        return self.root / "checkpoints" / f"{key}.npz"

    def failure_path(self, key: str) -> Path:
        return self.root / "failed" / f"{key}.txt"

    def has(self, config: RunConfig) -> bool:
        """Whether a record file is there; it is checked when it is read."""
        return self.find(config.key) is not None

    def get(self, config: RunConfig) -> Record | None:
        """The record of a config, or None, whatever data are at hand; see `made_here`. A damaged one in this store is
        moved aside with a warning."""
        return next(self.read(config, self._places(config.key)), None)

    def made_here(self, config: RunConfig, data_root: Path | None = None) -> Record | None:
        """The record of a config on the data at hand: those under its data set's name in `data_root`.

        The first one there is, if they cannot be read or it does not say what it was made of. Warns, once in a process,
        that a record was made of other data.
        """
        record = self.get(config)
        made_of = record and record.provenance.get("data_sha256")
        here = datasets.at_hand(config.dataset, data_root) if made_of else None
        if not made_of or here in (None, made_of):
            return record
        _say_other_data(self.root, config.dataset, made_of, str(here))
        places = self._places(config.key) + self._places(_beside(config.key, str(here)))
        return next((other for other in self.read(config, places) if other.provenance.get("data_sha256") == here), None)

    def path_for(self, config: RunConfig, data_sha256: str | None) -> Path:
        """Where the record of a run on these data is or belongs: beside the first one, if that was made of others."""
        first = self.find(config.key)
        made_of = files.head_of(first).get("provenance", {}).get("data_sha256") if first else None
        other = made_of and data_sha256 and made_of != data_sha256
        return self.record_path(_beside(config.key, str(data_sha256)) if other else config.key)

    def read(self, config: RunConfig, places: Iterable[Path]) -> Iterator[Record]:
        """The sound records of a config in these files; damaged ones are dealt with as `get` says."""
        for path in places:
            try:
                record = compact.load(path)
                if record.config != config:
                    raise StoreError(f"{path} holds another run than its name says.")
                yield record
            except FileNotFoundError:
                continue
            except StoreError as error:
                self._move_aside(path, error)

    def status(self, config: RunConfig) -> str:
        """'done', 'running', 'failed', 'interrupted' or 'waiting', from this folder alone.

        Running is what somebody holds the lock of, interrupted what was begun and is not running.
        """
        if self.has(config):
            return "done"
        if self._is_locked(config.key):
            return "running"
        if self.failure(config) is not None:
            return "failed"
        return "interrupted" if self.checkpoint_path(config.key).is_file() else "waiting"

    def ensure(self, config: RunConfig, *, device: str = "cpu", engine: str = "auto", data_root: Path | None = None,
               progress: Callable[[int], None] | None = None,
               checkpoint_seconds: float = CHECKPOINT_SECONDS) -> Record:
        """The record of a config on the data at hand: read, or resumed from its checkpoint, or trained from the start.

        Several processes may ask for the same config; one trains, the others wait for it. Raises RegrowError for what
        the user can mend (data missing, store not writable, too little memory, a GPU that fails). Checkpoints come
        every `checkpoint_seconds`, or less often where one takes long; 0 means after every step.
        """
        return self.ensure_all([config], device=device, engine=engine, data_root=data_root, progress=progress,
                               checkpoint_seconds=checkpoint_seconds)[0]

    @same_keys()
    def ensure_all(self, configs: Sequence[RunConfig], *, device: str = "cpu", engine: str = "batched",
                   data_root: Path | None = None, progress: Callable[[int], None] | None = None,
                   checkpoint_seconds: float = CHECKPOINT_SECONDS) -> list[Record]:
        """The same for several runs of one kind (see `batched.groups`), in their order; they train together on the
        batched engine and one after the other on any other."""
        found = {config: self.made_here(config, data_root) for config in configs}
        lacking = [config for config, record in found.items() if record is None]
        if lacking:
            from regrow.train import check_ready  # imports torch, which reading does not need

            with in_a_sentence(device, len(lacking)):
                check_ready(lacking, device, engine, data_root)
                with self._locks(config.key for config in configs):
                    # Another process may have finished some of them while we waited.
                    found = {config: record or self.made_here(config, data_root) for config, record in found.items()}
                    missing = [config for config, record in found.items() if record is None]
                    if missing:
                        found |= self._train(missing, device, engine, data_root, progress, checkpoint_seconds)
        return [record for record in found.values() if record is not None]

    def _train(self, configs: list[RunConfig], device: str, engine: str, data_root: Path | None,
               progress: Callable[[int], None] | None, checkpoint_seconds: float) -> dict[RunConfig, Record]:
        from regrow.engines import chosen_engine  # imports torch, as above
        from regrow.train import checkpoint_key, data_sha256, trained

        engine = chosen_engine(configs[0], device, engine)
        for name in {*(config.key for config in configs), checkpoint_key(configs, engine)}:
            for unfinished in self.root.glob(f"*/{files.WRITING}{name}-*"):
                unfinished.unlink(missing_ok=True)  # of a killed process: nobody else writes while we hold the lock
        done: dict[RunConfig, Record] = {}
        for task in [configs] if engine == "batched" else [[config] for config in configs]:
            data = data_sha256(task[0], device, data_root)
            path = self._checkpoint_for(checkpoint_key(task, engine), data)
            records = trained(task, device=device, engine=engine, data_root=data_root, checkpoint_path=path,
                              checkpoint_seconds=checkpoint_seconds, damaged=self._move_aside, progress=progress)
            for config, record in zip(task, records, strict=True):
                record.save(self.path_for(config, data))
                self.failure_path(config.key).unlink(missing_ok=True)
                done[config] = record
            path.unlink(missing_ok=True)
        return done

    def _checkpoint_for(self, name: str, data: str) -> Path:
        """Of a run on these data; one that was begun on others is left for them."""
        path = self.checkpoint_path(name)
        fits = files.head_of(path).get("data_sha256") in (None, data)
        return path if fits else self.checkpoint_path(_beside(name, data))

    def failure(self, config: RunConfig) -> str | None:
        """The error of a run that failed, the last line of what was kept; None if it did not fail."""
        try:
            lines = self.failure_path(config.key).read_text(errors="replace").split("\n")
        except OSError:
            return None
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def fail(self, config: RunConfig, text: str) -> None:
        """Keep the error of a run that failed: a log that ends in one line which says it."""
        path = self.failure_path(config.key)
        try:
            files.write(path, text.encode())
        except OSError as error:
            raise files.unwritable(path, error) from error

    def check_writable(self) -> None:
        """Raise UnwritableError, in one sentence, if nothing can be written here."""
        probe = self.root / f".probe-{os.getpid()}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"regrow")
            probe.unlink()
        except OSError as error:
            raise UnwritableError(f"The store {self.root} cannot be written ({error.strerror}): free some space, mend "
                                  "its permissions, or choose another folder with --store.") from error

    def find(self, key: str) -> Path | None:
        """The file of a record, its own first; None if there is none."""
        return next((path for path in self._places(key) if path.is_file()), None)

    def _places(self, key: str) -> list[Path]:
        return [self.record_path(key), *(root / "records" / f"{key}.npz" for root in self.read_also)]

    def _move_aside(self, path: Path, error: Exception) -> None:
        move_aside(path, self.root, error)

    def _is_locked(self, key: str) -> bool:
        """Whether a process of this machine, or of one with the same disk, trains this run."""
        path = self.root / "locks" / key
        try:
            if path.is_file():
                # Somebody else who only looks holds it for no longer than this takes.
                FileLock(path).acquire(timeout=0.02, poll_interval=0.005).lock.release()
        except Timeout:
            return True
        except (OSError, NotImplementedError):  # nothing can be said
            return False
        return False

    @contextmanager
    def _locks(self, keys: Iterable[str]) -> Iterator[None]:
        """Advisory locks that the operating system drops when the process ends, however it ends."""
        self.check_writable()
        with ExitStack() as held:
            for key in sorted(keys):  # always in the same order, so that two processes never wait for each other
                path = self.root / "locks" / key
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    held.enter_context(FileLock(path))
                except (OSError, NotImplementedError) as error:
                    reason = getattr(error, "strerror", None) or error
                    raise UnwritableError(f"Cannot lock {path} ({reason}): free some space, mend the permissions, or "
                                          "choose another folder with --store.") from error
            yield


def _beside(name: str, data_sha256: str) -> str:
    """What is called `name`, but of other data."""
    return f"{name}-{data_sha256[:8]}"


@lru_cache(maxsize=64)  # said once
def _say_other_data(root: Path, dataset: str, made_of: str, here: str) -> None:
    warnings.warn(f"{root} has records of dataset={dataset} that were made of other data than those at hand (sha256 "
                  f"{made_of[:8]} there, {here[:8]} here): runs on these are kept beside them, in files that end in "
                  f"-{here[:8]}.npz, and figures go on reading the first ones, so give --store another folder to keep "
                  "the two apart.", stacklevel=4)


def require(store: Store, configs: list[RunConfig], remedy: str) -> list[Record]:
    """All records, or NotRecorded with how many are missing and the command that makes them."""
    found = [store.get(config) for config in configs]
    missing = sum(record is None for record in found)
    if missing:
        raise NotRecorded(f"{missing} of {len(configs)} records are missing in {store.root}: {remedy}")
    return [record for record in found if record is not None]
