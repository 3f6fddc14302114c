"""Tables computed from records, kept as `.csv.gz`: readable anywhere, and gzip's checksum tells when one is damaged."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pandas as pd

from regrow.errors import RegrowError, StoreError
from regrow.figures import write_atomically

END = ".csv.gz"


def write(path: Path, table: pd.DataFrame, float_format: str = "%.6g") -> None:
    """Write atomically, without the index; the same table gives the same bytes."""
    text = table.to_csv(index=False, lineterminator="\n", float_format=float_format)
    write_atomically(path, gzip.compress(text.encode(), mtime=0))


def read(path: Path) -> pd.DataFrame:
    """A table as it was written.

    Raises StoreError, in one sentence, if it is damaged or foreign, and RegrowError if it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:  # says nothing of what is in it, so it must not count as damaged
        raise RegrowError(f"{path} cannot be read ({error.strerror}): mend the disk or its permissions.") from error
    try:
        return pd.read_csv(io.BytesIO(gzip.decompress(content)))
    except Exception as error:  # gzip, zlib, end of file, csv
        raise StoreError(f"{path} is truncated, damaged or not a table of ours ({type(error).__name__}).") from error
