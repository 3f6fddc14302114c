"""Files of named arrays and a JSON head: written atomically, checked when read, no pickle.

A file is an ordinary `.npz`; its member `head` is UTF-8 JSON. Anybody can read it with numpy alone:
`z = np.load(path); json.loads(bytes(z["head"]))`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from regrow.errors import RegrowError, StoreError

HEAD = "head"
WRITING = ".writing-"  # begins the name of a file that is not finished


def digest(arrays: Mapping[str, np.ndarray], head: Mapping[str, Any]) -> str:
    """SHA-256 of names, types, shapes, bytes and head."""
    total = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        total.update(array.data if array.size else b"")
    return total.hexdigest()


def write(path: Path, arrays: Mapping[str, np.ndarray], head: Mapping[str, Any], compression: int) -> None:
    """Write atomically: a temporary file in the same folder, fsync, rename. Raises StoreError if it cannot.

    `compression` is one of zipfile's: ZIP_STORED, ZIP_DEFLATED or ZIP_LZMA. The same contents give the same bytes.
    """
    sealed = json.dumps({**head, "sha256": digest(arrays, head)}, sort_keys=True)
    members = {**arrays, HEAD: np.frombuffer(sealed.encode(), np.uint8)}
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{WRITING}{path.stem}-", delete=False) as file:
            temporary = Path(file.name)
            with zipfile.ZipFile(file, "w", compression) as archive:
                for name, array in members.items():
                    info = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, whatever the clock says
                    info.compress_type = compression
                    with archive.open(info, "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise StoreError(f"Cannot write {path}: {error.strerror or error}; free some space, mend the permissions, "
                         "or choose another folder with --store.") from error


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
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

