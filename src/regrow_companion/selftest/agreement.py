"""Do all engines do what the dense one does on the processor, in double precision?"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, partial

import torch

from regrow.config import CHOICES, RunConfig
from regrow.determinism import one_thread
from regrow.engines.sparse import supports
from regrow_companion.selftest.following import (
    CNN,
    MLP,
    RBM,
    SIX,
    Trace,
    first_difference,
    followed,
    images_of,
    largest_difference,
    of_all,
)
from regrow_companion.selftest.report import Check, Found, Skipped, Where

LOSSES, WEIGHTS = 1e-9, 1e-8  # what may differ after a dozen steps in double precision
NETWORKS = ("convnet", "vgg16", "resnet50-cifar", "resnet56", "resnet50")
BUILT_IN = ("magnitude", "set", "set_legacy", "random")


def checks(where: Where) -> list[Check]:
    """Batches, every pruning rule, every network and a Boltzmann machine."""
    other = "dense" if where.on_gpu else "sparse"  # what there is to compare with the dense engine on a processor
    found = [Check("agreement: batched, 6 runs", partial(agrees, SIX, where.device, "batched")),
             Check("agreement: batched, 1 run", partial(agrees, SIX[2:3], where.device, "batched"))]
    assert set(BUILT_IN) <= set(CHOICES["prune"])
    for prune, grow in zip(BUILT_IN, ("momentum", "gradient", "random>gradient", "random"), strict=True):
        config = MLP.but(prune=prune, grow=grow)
        found.append(Check(f"agreement: {other} MLP, prune={prune}", partial(agrees, (config,), where.device, other)))
    found.append(Check(f"agreement: {other} MLP, static",
                       partial(agrees, (MLP.but(prune="none", grow="none"),), where.device, other)))
    for network in NETWORKS[:1] if where.quick else NETWORKS:
        found.append(Check(f"agreement: {other} {network}", partial(_convolutional, network, where, other)))
    found.append(Check(f"agreement: {other} RBM", partial(agrees, (RBM,), where.device, other)))
    return found


def _convolutional(network: str, where: Where, engine: str) -> Found:
    config = CNN.but(model=network, hidden=RunConfig.hidden, padding="auto")
    if engine == "sparse" and not supports(config):
        raise Skipped("needs a GPU: on a processor the dense engine alone trains it")
    return agrees((config,), where.device, engine)


def agrees(configs: Sequence[RunConfig], device: str, engine: str) -> Found:
    """Train on both; compare masks and explored positions at every update, losses, and weights at the end."""
    with deterministic(), one_thread() if device == "cpu" else nullcontext():
        expected = of_all([_reference(config) for config in configs])
        found = followed(configs, images_of(configs[0], device), device, engine)
    return compared(found, expected)


def compared(found: Trace, expected: Trace, losses: float = LOSSES, weights: float = WEIGHTS) -> Found:
    """The same wiring, and numbers within these limits."""
    limit = f"equal, {losses:.0e}, {weights:.0e}" if losses else "equal, to the bit"
    if apart := first_difference(found, expected):
        return Found(apart, limit, ok=False)
    loss, weight = largest_difference(found, expected)
    return Found(f"masks equal at {len(expected.masks)} updates, losses to {loss:.0e}, weights to {weight:.0e}", limit,
                 ok=loss <= losses and weight <= weights)  # not so if either is no number


@cache
def _reference(config: RunConfig) -> Trace:
    return followed((config,), images_of(config, "cpu"), "cpu", "dense")


@contextmanager
def deterministic() -> Iterator[None]:
    """PyTorch's deterministic algorithms where there are some meanwhile; sums then have one order."""
    before = (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of operations that have none
            torch.use_deterministic_algorithms(True, warn_only=True)
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
