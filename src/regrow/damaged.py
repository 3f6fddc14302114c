"""Where damaged files go: aside, whole, with one sentence. Nothing damaged is used or deleted."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

from regrow.errors import StoreError


def move_aside(path: Path, root: Path, error: Exception) -> None:
    """Move a damaged file of the store at `root` to its folder `damaged`; a file of another store is left alone.

    Warns with the error's sentence and what was done. Raises StoreError if it cannot be moved.
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
        raise StoreError(f"{error} It could not be moved aside ({blocked.strerror}).") from blocked
    warnings.warn(f"{error} It was moved to {target}.", stacklevel=4)
