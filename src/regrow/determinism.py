"""Same config, same result: one seeded generator per purpose, and one thread for every numerical library.

Purposes in use: init, mask, order, augmentation, growth, split, gibbs. Runs of one seed that differ only in their
strategy therefore share initial weights, initial masks and data order. Parallelism goes across processes, not inside
them: the number of threads changes the order of sums.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def generator(purpose: str, seed: int, counter: int = 0) -> torch.Generator:
    """A fresh generator that depends only on (purpose, seed, counter); `counter` is an epoch, a step or a run number.

    Stateless use is what makes resuming exact: nothing has to be saved but the counter. It is the processor's, whatever
    the device: a GPU's would draw other numbers. What is drawn goes to the GPU afterwards.
    """
    import torch  # here: commands that start others, or read records, do without it

    digest = hashlib.sha256(f"{purpose}/{seed}/{counter}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") & (2**63 - 1))


@contextmanager
def global_chance(seed: int) -> Iterator[None]:
    """PyTorch's global generator (the CPU's), numpy's and Python's start from `seed`; afterwards they are as before."""
    import torch  # as above

    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])


@contextmanager
def tensor_float(device: torch.device, allowed: bool) -> Iterator[None]:
    """Whether a GPU may round factors of float32 products and convolutions to TF32 meanwhile, 10 bits instead of 23.

    PyTorch's own answer is no for matrix products and yes for convolutions. On the CPU there is no TF32.
    """
    if device.type != "cuda":
        yield
        return
    import torch  # as above

    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = allowed
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
ONE_EACH = dict.fromkeys(VARIABLES, "1")


def one_thread_each() -> AbstractContextManager[None]:
    """Processes that start meanwhile have one thread in each library, which reads its variable when it is imported."""
    return environment(ONE_EACH)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """These environment variables meanwhile, for processes that start; afterwards they are as before."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch has one thread here meanwhile."""
    import torch  # as above

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
