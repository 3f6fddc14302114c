"""Numba's kernels, compiled once on a machine and kept on its disk.

Numba's own cache has gaps that this closes. It goes on using a kernel when one in another file changed that it calls.
Where it finds no folder to write to, a read-only installation without a home, the import fails; on a disk that is full,
or with a damaged file, the first call does. What cannot be kept or read is compiled anew here.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core.caching import FunctionCache

NOT_KEPT = ("Compiled kernels cannot be kept: neither the folder of regrow can be written nor the one for caches below "
            "your home folder. Every process compiles them anew, which takes up to a minute; set NUMBA_CACHE_DIR to a "
            "folder that can be written.")


class KernelCache(FunctionCache):
    """The compiled forms of one function on disk. They hold for one text of all files whose kernels it may call.

    Raises RuntimeError, as numba does, where no folder can be written.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        file = self._cache_file  # its stamp is that of the function's own file alone
        file._source_stamp = (file._source_stamp, _digest(_room(Path(function.__code__.co_filename))))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What was compiled for a signature; None if nothing was, or if it cannot be read."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever a damaged pickle raises
            with suppress(OSError):
                self.flush()  # its index may be damaged, too
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep it, if the disk lets us."""
        with suppress(OSError):
            super().save_overload(sig, data)


def compiles() -> bool:
    """Whether kernels are compiled at all: NUMBA_DISABLE_JIT=1, for debuggers, runs them as Python."""
    return not config.DISABLE_JIT  # type: ignore[attr-defined]  # set when it is imported


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` with these options, without the interpreter's lock, and with a `KernelCache`."""

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = njit(nogil=True, **options)(function)
        try:
            dispatcher._cache = KernelCache(function)
        except RuntimeError:  # no place for it
            _say_not_kept()
        return dispatcher

    return compiled


def kept_in() -> Path | None:
    """The folder where this package's compiled kernels are; None if none can be written."""
    with suppress(RuntimeError):
        return Path(FunctionCache(kept_in).cache_path)
    return None


@cache  # said once, and not by every worker
def _say_not_kept() -> None:
    if multiprocessing.parent_process() is None:
        warnings.warn(NOT_KEPT, stacklevel=4)


@cache
def _digest(folder: Path) -> str:
    """Of the text of all Python files in a folder and below."""
    texts = (path.read_bytes() for path in sorted(folder.rglob("*.py")))
    return hashlib.blake2b(b"\0".join(texts), digest_size=16).hexdigest()


def _room(file: Path) -> Path:
    """The folder whose kernels call each other: regrow's engines, its tails, or the one that the file is in."""
    package = Path(__file__).parent
    return package / file.relative_to(package).parts[0] if file.is_relative_to(package) else file.parent
