"""Does a run that was stopped end as if it had not been?"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from regrow.config import RunConfig
from regrow.determinism import one_thread
from regrow_companion.selftest.agreement import compared, deterministic
from regrow_companion.selftest.following import CNN, MLP, RBM, SIX, followed, images_of
from regrow_companion.selftest.report import Check, Found, Where

STOP = {"mlp": 7, "convnet": 5, "rbm-small": 7}  # the step of the checkpoint: between two updates, in an epoch


def checks(where: Where) -> list[Check]:
    """Every engine that the device has."""
    cases: list[tuple[str, Sequence[RunConfig]]] = [("dense", [MLP.but(grow="momentum")]), ("batched", SIX[:3]),
                                                    ("dense", [RBM])]
    if not where.on_gpu:
        cases += [("sparse", [MLP.but(grow="momentum")]), ("sparse", [RBM])]
    if where.on_gpu or not where.quick:
        cases.append(("dense", [CNN]))
    return [Check(f"resuming: {engine} {configs[0].model}", partial(resumes, configs, where.device, engine))
            for engine, configs in cases]


def resumes(configs: Sequence[RunConfig], device: str, engine: str) -> Found:
    """The same masks and, where algorithms are deterministic, the same numbers; not quite where they are not."""
    exact = device == "cpu"
    configs = [config.but(dtype="float32" if exact else "float64") for config in configs]
    dataset = images_of(configs[0], device)
    with deterministic(), one_thread() if exact else nullcontext(), tempfile.TemporaryDirectory() as folder:
        whole = followed(configs, dataset, device, engine)
        again = followed(configs, dataset, device, engine, stop=STOP[configs[0].model], folder=Path(folder))
    return compared(again, whole, 0, 0) if exact else compared(again, whole)
