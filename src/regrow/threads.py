"""One thread for every numerical library: parallelism goes across processes, not inside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
ONE_EACH = dict.fromkeys(VARIABLES, "1")


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes that start meanwhile have one thread in each library, which reads its variable when it is imported."""
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(ONE_EACH)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch has one thread here meanwhile: the number of threads changes the order of sums, and so the result."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
