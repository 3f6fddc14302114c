"""Does a plain step ever wait for the device? Then the GPU would idle while the processor prepares the next one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count

import torch

from regrow import train
from regrow.config import RunConfig
from regrow_companion.selftest import environment
from regrow_companion.selftest.following import CNN, MLP, RBM, SIX, images
from regrow_companion.selftest.report import Check, Found, Skipped, Where

BEFORE, WATCHED = 8, 8  # steps that fill caches, compile or capture; steps that must not wait


def checks(where: Where) -> list[Check]:
    """Every engine that a GPU has."""
    cases: list[tuple[str, Sequence[RunConfig]]] = [("dense", [MLP.but(grow="momentum")]), ("batched", SIX),
                                                    ("dense", [CNN]), ("dense", [RBM]), ("compiled", [MLP])]
    return [Check(f"waiting: {engine} {configs[0].model}", partial(_waits, configs, engine, where), 120)
            for engine, configs in cases]


def _waits(configs: Sequence[RunConfig], engine: str, where: Where) -> Found:
    if not where.on_gpu:
        raise Skipped("needs a GPU")
    if engine == "compiled" and not environment.compiles(where):
        raise Skipped("there is no compiler")
    step = plain_steps(configs, where.device, engine)
    for _ in range(BEFORE):
        step()
    torch.cuda.synchronize(where.device)
    try:
        with no_waiting():
            for _ in range(WATCHED):
                step()
    except RuntimeError as error:
        if "synchroniz" not in str(error):
            raise
        return Found("a step waits for the device", f"{WATCHED} steps without", ok=False)
    return Found(f"{WATCHED} steps without waiting")


def plain_steps(configs: Sequence[RunConfig], device: str, engine: str) -> partial[None]:
    """Call it for one step more, of those that no update follows; the first batch is drawn already."""
    configs = [config.but(update_interval=10_000, dtype="float32") for config in configs]
    dataset = images(configs[0], (BEFORE + WATCHED + 2) * configs[0].batch_size, device)
    run = train.started(configs, dataset, device, engine)
    batches = (batch for epoch in count() for batch in run.engine.batches(epoch, start=0))
    first = [next(batches)]  # an epoch begins with a copy of its order
    number = count(1)

    def step() -> None:
        run.engine.backward(*(first.pop() if first else next(batches)), next(number))
        run.engine.step()

    return partial(step)


@contextmanager
def no_waiting() -> Iterator[None]:
    """Whatever makes the processor wait for the GPU raises RuntimeError meanwhile."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
