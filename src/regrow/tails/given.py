"""What callers give, checked by kind and by value: data as whole numbers, ends of a tail, numbers of sets, keys.

Whatever is not understood is refused in one sentence that names it, since a guess would be a wrong statistic.
"""

from __future__ import annotations

import decimal
import numbers
import warnings
from collections.abc import Iterable, Iterator, Mapping, Set, ValuesView
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.errors import ConfigError, DataError, RegrowError

LARGEST = 2**53  # whole numbers are exact in double precision up to here


def whole_numbers(x: Any, axes: int = 1) -> NDArray[np.int64]:
    """x as int64 with so many axes: a list, a view of a dictionary's values, an iterator, an array, a tensor on any
    device, a series. Masked values of one sequence are left out.

    Raises DataError for anything but whole numbers 0 ... 2 ** 53, which includes missing values.
    """
    given = _array(x)
    if given.ndim != axes:
        raise DataError(f"A tail needs {'one sequence' if axes == 1 else 'an array [times, n]'} of whole numbers, "
                        f"not {_named(x) if given.ndim == 0 else f'an array of shape {given.shape}'}.")
    if given.size == 0:
        return np.empty(given.shape, np.int64)
    if given.dtype.kind == "O":
        return np.array([_whole_value(value) for value in given.ravel()], dtype=np.int64).reshape(given.shape)
    if given.dtype.kind not in "iuf":
        what = "truth values" if given.dtype.kind == "b" else "text" if given.dtype.kind in "US" else given.dtype.name
        raise DataError(f"A tail needs whole numbers, not {what} such as {given.flat[0]!s:.60}; convert them first.")
    if given.dtype.kind == "f":
        if np.isnan(given).any():
            raise DataError("A tail needs whole numbers, but NaN is among them; leave missing values out.")
        fractional = given[given != np.floor(given)]
        if fractional.size:
            raise DataError(f"A tail needs whole numbers, but {fractional.flat[0]:g} is among them; round or count "
                            "first.")
    if given.min() < 0:
        raise DataError(f"A tail needs whole numbers of 0 or more, but {given.min():g} is among them.")
    if given.max().item() > LARGEST:
        raise DataError(f"A tail needs whole numbers up to 2 ** 53, but {given.max():g} is among them.")
    return given.astype(np.int64)


def _array(x: Any) -> NDArray[Any]:
    """x as an array of whatever kind; of kind object if that is what it holds."""
    if isinstance(x, Mapping):
        raise DataError(f"A tail needs a sequence of whole numbers, not {_named(x)}; pass its values().")
    if isinstance(x, Set):
        raise DataError(f"A tail needs a sequence of whole numbers, not {_named(x)}, which keeps equal values only "
                        "once; pass a list of all.")
    if isinstance(x, Iterator | ValuesView):
        x = list(x)
    try:
        if hasattr(x, "detach"):  # a tensor of torch, which this package does not import
            x = x.detach().cpu()
            x = x.to_dense() if "sparse" in str(x.layout) else x
            x = (x.double() if x.dtype.is_floating_point else x).numpy()
        if np.ma.isMaskedArray(x) and x.mask.any():
            if x.ndim != 1:
                raise DataError("Masked values are among the rows of the series; pass rows without them.")
            x = x.compressed()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a masked value in a list becomes nan, which is refused
            given = np.asarray(x)
            if given.ndim == 0 and given.dtype.kind == "O" and hasattr(x, "to_numpy"):
                given = np.asarray(x.to_numpy())
    except RegrowError:
        raise
    except Exception as error:  # of numpy, torch or the object's own conversion, whichever that is
        if "inhomogeneous" in str(error):
            raise DataError("The rows of a series must all have the same length.") from None
        raise DataError(f"A tail needs a sequence of whole numbers, and {_named(x)} cannot be made an array "
                        f"({' '.join(str(error).split())[:150].rstrip('.')}); pass a list.") from None
    return given


def _whole_value(value: Any) -> int:
    """One entry of an array of objects."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # a tensor or array of one number
    if value is None or str(value) in ("nan", "NaN", "<NA>", "NaT", "--"):
        raise DataError(f"A tail needs whole numbers, but {value} is among them; leave missing values out.")
    if not _is_number(value):
        raise DataError(f"A tail needs whole numbers, but {_named(value)} is among them; convert it first.")
    if not 0 <= value <= LARGEST:
        raise DataError(f"A tail needs whole numbers from 0 to 2 ** 53, but {value!s:.60} is among them.")
    if value != int(value):
        raise DataError(f"A tail needs whole numbers, but {value} is among them; round or count first.")
    return int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real | decimal.Decimal) and not isinstance(value, bool)


def whole(name: str, value: Any, least: int = 1, *, why: str = "") -> int:
    """`value` of the argument `name` as an int. Raises ConfigError unless it is a whole number, `least` or more."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if not _is_number(value) or value != value or abs(value) == np.inf or value != int(value):
        raise ConfigError(f"{name} must be a whole number, not {_named(value)}{why and f'; {why}'}.")
    if value > LARGEST:
        raise ConfigError(f"{name} must be 2 ** 53 or less, not {value!s:.60}.")
    if value < least:
        raise ConfigError(f"{name} must be {least} or more, not {value!s:.60}.")
    return int(value)


def bounds(xmin: Any, xmax: Any) -> tuple[int, int | None]:
    """Both ends of a tail as ints, xmax None if there is no end. Raises ConfigError for anything else."""
    low = whole("xmin", xmin, -LARGEST, why="select_xmin chooses one" if xmin is None or isinstance(xmin, str) else "")
    if low < 1:
        raise ConfigError(f"xmin must be 1 or more, not {low}: a power law has no probability at 0.")
    high = None if xmax is None else whole("xmax", xmax, -LARGEST, why="None stands for no upper end")
    if high is not None and high < low:
        raise ConfigError(f"xmax = {high} lies below xmin = {low}; nothing is left between them.")
    return low, high


def words(key: Any) -> tuple[Any, ...]:
    """The parts of a key, of which a generator is made. Raises ConfigError for what is not the same every time."""
    parts = key if isinstance(key, tuple) else (key,)
    for part in parts:
        if not isinstance(part, str | numbers.Real | np.bool_):
            raise ConfigError(f"key must be a whole number, a text or a tuple of them, not {_named(part)}.")
    return parts


def at_whole_numbers(log_mass: Any, k: Any, start: float, end: float) -> NDArray[np.float64]:
    """log_mass(k), where start <= k < end and k is whole; -inf elsewhere, nan where k is nan. k has any shape."""
    ks = np.asarray(k, dtype=np.float64)
    inside = (ks >= start) & (ks < end) & (ks == np.floor(ks)) & np.isfinite(ks)
    out = np.where(np.isnan(ks), np.nan, -np.inf)
    if inside.any():
        out[inside] = log_mass(ks[inside])
    return out[()]


def _named(value: Any) -> str:
    """A value in a sentence: short, on one line, with its kind where it is no number."""
    if value is None or (isinstance(value, numbers.Number) and not isinstance(value, Iterable)):
        return f"{value!s:.60}"
    if isinstance(value, str | bytes):
        return f"{value!r:.60}"
    return f"a {type(value).__module__.partition('.')[0]}.{type(value).__name__}".replace("a builtins.", "a ")
