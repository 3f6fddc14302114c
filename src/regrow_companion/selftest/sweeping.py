"""A sweep whose workers are killed, run out of memory and lose their device: are all records there in the end?"""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from regrow import train
from regrow.config import OWN_RULES, RunConfig
from regrow.determinism import environment
from regrow.store import Store
from regrow_companion.selftest.following import images
from regrow_companion.selftest.report import Check, Found, Skipped, Where
from regrow_companion.sweep import drive

KILL, FAULT = "kill", "fault"
# Runs in every worker, as a file of rules does. Whoever takes a flag away first does what it says, in its second step.
TROUBLE = '''
import os
import signal
from itertools import count
from pathlib import Path

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

import regrow

FLAGS, FRACTION, STEPS = Path({flags!r}), {fraction!r}, count(1)


@regrow.growth("selftest-never-used")
def nothing(layer):
    return layer.weight


def claimed(name):
    try:
        (FLAGS / name).unlink()
    except FileNotFoundError:
        return False
    return True


def trouble(*_):
    step = next(STEPS)
    if step == 1 and FRACTION:
        for number in range(torch.cuda.device_count()):
            torch.cuda.set_per_process_memory_fraction(FRACTION, number)
    if step == 2 and claimed("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if step == 2 and claimed("fault"):
        error = getattr(torch, "AcceleratorError", RuntimeError)
        raise error("CUDA error: an illegal memory access was encountered (injected by the selftest)")


register_optimizer_step_pre_hook(trouble)
'''


def checks(where: Where) -> list[Check]:
    """One sweep with all kinds of trouble that the device knows."""
    return [Check("sweep: 4 MLPs, 1 ConvNet, 2 jobs", partial(_sweep, where), 150)]


def _sweep(where: Where) -> Found:
    if where.quick:
        raise Skipped("left out of --quick")
    return troubled(sweep_runs(where.on_gpu), where.device, [KILL, FAULT] if where.on_gpu else [KILL])


def sweep_runs(full_size: bool) -> list[RunConfig]:
    """Four MLPs that can train together, and a ConvNet."""
    hidden = RunConfig.hidden if full_size else (100, 50)
    mlp = RunConfig(hidden=hidden, train_limit=1000, batch_size=100, epochs=1, update_interval=4)
    few = RunConfig(model="convnet", train_limit=300, batch_size=50, epochs=1, update_interval=4)
    return [*(mlp.but(seed=seed, grow=rule) for seed in (0, 1) for rule in ("random", "momentum")), few]


def troubled(configs: Sequence[RunConfig], device: str, flags: Sequence[str]) -> Found:
    """Sweep with trouble, then once more without: every record must be there, every failure said in one sentence."""
    limit = _memory_limit(configs[:4], device) if device != "cpu" else 0.0
    engine = "dense" if device == "cpu" else "auto"  # whose optimizer meets the trouble
    with tempfile.TemporaryDirectory() as folder:
        store, flagged = Store(Path(folder) / "store"), Path(folder) / "flags"
        flagged.mkdir()
        for flag in flags:
            (flagged / flag).touch()
        rules = Path(folder) / "trouble.py"
        rules.write_text(TROUBLE.format(flags=str(flagged), fraction=limit))
        with environment({OWN_RULES: os.pathsep.join(filter(None, (os.environ.get(OWN_RULES), str(rules))))}):
            first = drive.run(configs, store, jobs=2, device=device, engine=engine, label="selftest")
        untouched = [flag for flag in flags if (flagged / flag).exists()]
        logs = [store.failure_path(key).read_text(errors="replace") for key in first.failed]
        drive.run(configs, store, jobs=2, device=device, engine=engine, label="selftest")
        there = sum(store.get(config) is not None for config in configs)
    unsaid = sum("Traceback" in log for log in logs)
    told = f"{there} of {len(configs)} records, {len(first.failed)} at the second attempt"
    if unsaid:
        told += f", {unsaid} with a traceback instead of a sentence"
    if untouched:
        told += f", no {' and no '.join(untouched)} happened"
    return Found(told, f"{len(configs)}", ok=there == len(configs) and not unsaid and not untouched)


def _memory_limit(configs: Sequence[RunConfig], device: str) -> float:
    """A fraction of the GPU's memory that one of these runs fits into, and all of them together do not."""
    one, every = _peak(configs[:1], device), _peak(configs, device)
    return (one + every) / 2 / torch.cuda.get_device_properties(device).total_memory


def _peak(configs: Sequence[RunConfig], device: str) -> int:
    """Bytes that a batch of runs takes from the GPU up to its first update."""
    gc.collect()  # of what was there before
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_reserved(device)
    config = configs[0]
    dataset = images(config, (config.update_interval + 1) * config.batch_size, device)
    run = train.started(configs, dataset, device, "batched")
    for step, batch in zip(range(1, config.update_interval + 1), run.engine.batches(0, 0), strict=False):
        run.engine.backward(*batch, step)
        run.engine.step()
        if step == config.update_interval:
            run.engine.update(step)
    return torch.cuda.max_memory_reserved(device) - before
