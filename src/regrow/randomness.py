"""One seeded generator per purpose, so that no source of chance disturbs another.

Purposes in use: init, mask, order, augmentation, growth, split, gibbs. Runs of one seed that differ only in their
strategy therefore share initial weights, initial masks and data order.
"""

from __future__ import annotations

import hashlib

import torch


def generator(purpose: str, seed: int, counter: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator that depends only on (purpose, seed, counter); `counter` is an epoch, a step or a run number.

    Stateless use is what makes resuming exact: nothing has to be saved but the counter.
    """
    digest = hashlib.sha256(f"{purpose}/{seed}/{counter}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") & (2**63 - 1))
