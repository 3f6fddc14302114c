"""The one exception that means: the user can mend this. The command line prints its sentence and exits with 2.

Also what becomes one: memory that does not suffice and a GPU that fails, which libraries say in many ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager


class RegrowError(Exception):
    """A mistake or a missing thing that the message explains in one sentence, with the remedy."""


class ConfigError(RegrowError, ValueError):
    """A run was described with an unknown key, an impossible value or values that clash."""


class DataError(RegrowError):
    """A data set is missing, truncated, foreign or of the wrong shape."""


class StoreError(RegrowError):
    """The store cannot be written, or holds something that is not a record of ours."""


class UnwritableError(StoreError):
    """The store's disk is full, read-only or closed to us: no run is to blame, so a sweep ends and fails none."""


def left_alone(path: object, by: str = "regrow") -> str:
    """The sentence for a file of somebody else's that writing would replace; `by` is what writes such files."""
    return f"{path} is there already and was not written by {by}, so it is left alone: choose another name."


class NotRecorded(RegrowError):
    """A figure needs records that do not exist, and this profile does not train."""


MEMORY, DEVICE = "memory", "device"  # the kinds of trouble
# Classes by name, because torch is not imported here; texts, because drivers and libraries raise plain RuntimeErrors.
# On a part of a GPU (MIG), PyTorch fails while it looks up, in NVML, what to say of memory that does not suffice.
_TROUBLES = (
    (MEMORY, {"OutOfMemoryError", "MemoryError"},
     re.compile(r"out of memory|not enough memory|can('|no)t allocate memory|ALLOC(ATION)?_FAILED|NVML_SUCCESS ==",
                re.I)),
    (DEVICE, {"AcceleratorError", "CudaError"},
     re.compile(r"\b(CUDA|HIP|cuBLAS|cuDNN|cuFFT|cuSOLVER|cuSPARSE|Triton)\b[^\n]*\berror\b|device-side assert|"
                r"\b(CUBLAS|CUDNN|CUFFT|CUSOLVER|CUSPARSE)_STATUS_", re.I)),
)


def trouble_of(error: BaseException) -> str:
    """MEMORY if memory, of a GPU or not, did not suffice; DEVICE if the GPU failed, after which its process is of no
    more use; else ''. The errors behind an error count as well."""
    chain = list(_chain(error))
    return next((kind for kind, names, text in _TROUBLES for link in chain if _is(link, names, text)), "")


def _is(error: BaseException, names: set[str], text: re.Pattern[str]) -> bool:
    if names & {ancestor.__name__ for ancestor in type(error).__mro__}:
        return True
    return not isinstance(error, RegrowError) and text.search(str(error)) is not None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from, to the first cause."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def sentence_of(error: BaseException, device: str, runs: int) -> str:
    """What to tell of an error that `trouble_of` knows, while so many runs trained together."""
    if trouble_of(error) == MEMORY:
        what = "this run" if runs == 1 else f"these {runs} runs together"
        remedy = "end other programs, or give a smaller --jobs" if device == "cpu" else \
            "end what else uses it (nvidia-smi shows that), or take a larger GPU"
        return (f"The memory of {device} does not suffice for {what}: {remedy}, and run the same command again, in a "
                "sweep with --retry-failed.")
    first = next((link for link in _chain(error) if not isinstance(link, RegrowError)), error)
    line = (str(first).strip() or type(first).__name__).splitlines()[0].strip().rstrip(".")[:200]
    return (f"The GPU failed ({line}): run the same command again, in a sweep with --retry-failed, and it goes on from "
            "the last checkpoint; if it fails again, nvidia-smi or the log of the system may say why.")


@contextmanager
def in_a_sentence(device: str, runs: int) -> Iterator[None]:
    """Whatever `trouble_of` knows becomes a RegrowError of one sentence, with the error as its cause."""
    try:
        yield
    except Exception as error:
        if not trouble_of(error):
            raise
        raise RegrowError(sentence_of(error, device, runs)) from error
