"""Every file that we write: replaced in one step, checked when read, moved aside when damaged. No pickle.

Arrays with a JSON head are an ordinary `.npz` whose member `head` is UTF-8 JSON; anybody can read it with numpy alone:
`z = np.load(path); json.loads(bytes(z["head"]))`. Tables are `.csv.gz`, readable anywhere; gzip's checksum tells when
one is damaged.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tempfile
import time
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from regrow.errors import ConfigError, RegrowError, StoreError, UnwritableError, left_alone

if TYPE_CHECKING:
    import pandas as pd

HEAD = "head"
TABLE = ".csv.gz"
WRITING = ".writing-"  # begins the name of a file that is not finished


def place(path: Path | str, remedy: str = "write the path in full") -> Path:
    """A path as typed, its ~ replaced; a shell leaves that to us in --store=~/runs, in Python nobody else does it.

    Raises ConfigError with the remedy if the home folder is not known: HOME is not set in some services and containers.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"The home folder in {path} is not known: {remedy}.") from error


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` in one step at the end, or never: no reader, and no killed writer,
    sees or leaves half of it. It is written beside it under a temporary name. Raises OSError if it cannot be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{WRITING}{path.stem}-", delete=False) as file:
        temporary = Path(file.name)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o644)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write(path: Path, content: bytes) -> None:
    """Write or replace a file; see `replacing`."""
    with replacing(path) as file:
        file.write(content)


def unwritable(path: Path, error: OSError) -> StoreError:
    """What a user reads when a store's file cannot be written. A folder in its place says nothing of other files."""
    kind = StoreError if os.path.isdir(path) else UnwritableError  # is_dir raises for some names
    return kind(f"Cannot write {path}: {error.strerror or error}; free some space, mend the permissions, or choose "
                "another folder with --store.")


def digest(arrays: Mapping[str, np.ndarray], head: Mapping[str, Any]) -> str:
    """SHA-256 of names, types, shapes, bytes and head."""
    total = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        total.update(array.data if array.size else b"")
    return total.hexdigest()


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], head: Mapping[str, Any], compression: int) -> None:
    """Arrays and a head as .npz. The same contents give the same bytes.

    Raises StoreError if it cannot be written, or if a file of somebody else's is there.

    `compression` is one of zipfile's: ZIP_STORED, ZIP_DEFLATED or ZIP_LZMA.
    """
    sealed = json.dumps({**head, "sha256": digest(arrays, head)}, sort_keys=True)
    members = {**arrays, HEAD: np.frombuffer(sealed.encode(), np.uint8)}
    if _is_foreign(path):
        raise StoreError(left_alone(path))
    try:
        with replacing(path) as file, zipfile.ZipFile(file, "w", compression) as archive:
            for name, array in members.items():
                info = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, whatever the clock says
                info.compress_type = compression
                with archive.open(info, "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    except OSError as error:
        raise unwritable(path, error) from error


def _is_foreign(path: Path) -> bool:
    """Whether a file is somebody else's. One of ours that is damaged is not, as long as it begins as it should."""
    try:
        with path.open("rb") as file:
            begins = file.read(2)
        if begins == b"PK":
            with zipfile.ZipFile(path) as archive:
                return f"{HEAD}.npy" not in archive.namelist()
        return begins != b""
    except (OSError, zipfile.BadZipFile):
        return False


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and head of a file.

    Raises FileNotFoundError if there is none, StoreError, one sentence, for one that is truncated, changed or foreign,
    and RegrowError for one that the system does not let us read.
    """
    try:
        content = io.BytesIO(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(path) from error
    except IsADirectoryError as error:
        raise StoreError(f"{path} is a folder and not a file of ours.") from error
    except OSError as error:  # says nothing of what is in it, so it must not count as damaged
        raise RegrowError(f"{path} cannot be read ({error.strerror}): mend the disk or its permissions.") from error
    try:
        with warnings.catch_warnings():  # what zipfile and numpy say of a header that is damaged is not for the user
            warnings.simplefilter("ignore")
            with np.load(content, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        head = json.loads(bytes(arrays.pop(HEAD)))
        sealed = head.pop("sha256")
    except Exception as error:  # damaged bytes reach many parsers: zip, zlib, npy headers, JSON
        raise StoreError(f"{path} is truncated, damaged or not a file of ours ({type(error).__name__}).") from error
    if digest(arrays, head) != sealed:
        raise StoreError(f"{path} was changed after it was written: its checksum does not match.")
    return arrays, head


def head_of(file: Path | IO[bytes]) -> dict[str, Any]:
    """The head alone, unchecked and in a moment; {} if there is none that can be read."""
    try:
        with warnings.catch_warnings(), file.open("rb") if isinstance(file, Path) else file as opened:
            warnings.simplefilter("ignore")  # as above
            with np.load(opened, allow_pickle=False) as arrays:
                return dict(json.loads(bytes(arrays[HEAD])))
    except Exception:  # damaged bytes reach many parsers
        return {}


def write_table(path: Path, table: pd.DataFrame, float_format: str = "%.6g") -> None:
    """Write atomically, without the index; the same table gives the same bytes."""
    text = table.to_csv(index=False, lineterminator="\n", float_format=float_format)
    write(path, gzip.compress(text.encode(), mtime=0))


def read_table(path: Path) -> pd.DataFrame:
    """A table as it was written.

    Raises StoreError, in one sentence, if it is damaged or foreign, and RegrowError if it cannot be read.
    """
    import pandas as pd  # takes a while, and records alone do without

    try:
        content = path.read_bytes()
    except OSError as error:
        raise RegrowError(f"{path} cannot be read ({error.strerror}): mend the disk or its permissions.") from error
    try:
        return pd.read_csv(io.BytesIO(gzip.decompress(content)))
    except Exception as error:  # gzip, zlib, end of file, csv
        raise StoreError(f"{path} is truncated, damaged or not a table of ours ({type(error).__name__}).") from error


def move_aside(path: Path, root: Path, error: Exception) -> None:
    """Move a damaged file of the store at `root` to its folder `damaged`; a file of another store is left alone.

    Warns with the error's sentence and what was done. Raises UnwritableError if it cannot be moved.
    """
    if root not in path.parents:
        warnings.warn(f"{error} It is not used.", stacklevel=4)
        return
    folder, name, number = root / "damaged", f"{path.parent.name}-{path.name}", time.time_ns()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while (target := folder / f"{name}.{number}").exists():  # a clock may go backwards
            number += 1
        path.rename(target)
    except FileNotFoundError:
        return  # another process was faster
    except OSError as blocked:
        raise UnwritableError(f"{error} It could not be moved aside ({blocked.strerror}).") from blocked
    warnings.warn(f"{error} It was moved to {target}.", stacklevel=4)
