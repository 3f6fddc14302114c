"""How fast this device is at full size: steps, updates, evaluation, checkpoints, and the hours of the paper's grid."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch

from regrow import determinism, train
from regrow.config import RunConfig
from regrow.engines import graphs
from regrow.errors import DEVICE, trouble_of
from regrow_companion import study
from regrow_companion.selftest import environment
from regrow_companion.selftest.agreement import NETWORKS
from regrow_companion.selftest.following import RULES, images
from regrow_companion.selftest.report import Check, Found, Skipped, Where
from regrow_companion.sweep import step_times
from regrow_companion.sweep.step_times import StepKind, StepTimes, Times
from regrow_companion.sweep.task import Task, divided

WARM, TIMED, PROFILED = 8, 30, 5  # steps
NO_GRAPH = "no graph"
BATCHES = (1, 4, 16)  # runs at once
UPDATE = 1000  # the step of the only update that is timed; the steps before it are fewer


@dataclass
class Kept:
    """What gpu.json keeps beside the lines of the checks."""

    hardware: str
    full_size: list[dict[str, Any]] = field(default_factory=list)
    times: dict[StepKind, Times] = field(default_factory=dict)
    seconds: float = 0.0  # that `times` took
    hours: float | None = None  # of the paper's grid, by `times`

    def measured(self, where: Where) -> StepTimes:
        """As `plan --save-times` has them."""
        return StepTimes(self.hardware, where.device.partition(":")[0], 1, self.seconds, self.times)


def checks(where: Where, kept: Kept) -> list[Check]:
    """The grid of the paper first, then every network and engine by itself, what needs a compiler last."""
    found = [Check("times: the paper's runs", partial(_grid, where, kept), 120)]
    if not where.on_gpu or where.quick:
        return [*found, Check("times: full size", partial(_nothing, where))]
    cases = [("mlp", f"batched, {n} run{'s' * (n > 1)}", "batched", n) for n in BATCHES]
    for network in ("mlp", *NETWORKS):
        cases += [(network, what, "dense", 1) for what in ("dense", NO_GRAPH, "amp")]
    cases += [(network, "compiled", "compiled", 1) for network in ("mlp", *NETWORKS[:2])]
    return found + [Check(f"times: {network} {name}", partial(_full_size, network, name, engine, runs, where, kept), 90)
                    for network, name, engine, runs in cases]


def _nothing(where: Where) -> Found:
    raise Skipped("left out of --quick" if where.on_gpu else "needs a GPU")


def _grid(where: Where, kept: Kept) -> Found:
    if where.quick:
        raise Skipped("left out of --quick")
    # Convolutions take minutes on a processor; there `plan` measures what is needed.
    needs = study.NEEDS if where.on_gpu else ["table4"]
    tasks = [task for task in divided(study.distinct(needs, "paper"), where.device, "auto")
             if where.on_gpu or task[0].model == "mlp"]
    return measured_grid(tasks, where, kept)


def measured_grid(tasks: Sequence[Task], where: Where, kept: Kept) -> Found:
    """Step every kind among the tasks, a network at a time so that what was measured is kept."""
    for model in dict.fromkeys(task[0].model for task in tasks):
        made = step_times.measure([task for task in tasks if task[0].model == model], where.device)
        kept.times |= made.times
        kept.seconds += made.seconds
    every = kept.measured(where)
    taken = [every.of(task) for task in tasks]
    told = f"{len(kept.times)} kind{'s' * (len(kept.times) > 1)} of steps"
    if None in taken:
        return Found(told, ok=False)
    hours = sum(second for second in taken if second is not None) / 3600
    kept.hours = hours if where.on_gpu else None
    unit = "GPU-hours for all of the paper's runs" if where.on_gpu else "CPU-hours for the MLPs of Table 4"
    return Found(f"{told}, {hours:,.0f} {unit}")


def _full_size(network: str, name: str, engine: str, runs: int, where: Where, kept: Kept) -> Found:
    if engine == "compiled" and not environment.compiles(where):
        raise Skipped("there is no compiler")
    config = RunConfig(model=network, dataset="cifar10", grow="momentum", amp=name == "amp", update_interval=UPDATE)
    configs = [config.but(seed=number // len(RULES), grow=RULES[number % len(RULES)]) if runs > 1 else config
               for number in range(runs)]
    with determinism.environment({graphs.VARIABLE: "off"}) if name == NO_GRAPH else nullcontext():
        row = {"network": network, "what": name, "runs": runs, **timed(configs, where.device, engine)}
    kept.full_size.append(row)
    told = f"step {row['step_ms']:.2f} ms, update {row['update_ms']:.0f} ms, peak {row['peak_mib']:.0f} MiB"
    if row["kernels"]:
        told += f", {row['kernels']:.0f} kernels a step, busy {100 * row['busy']:.0f} %"
    return Found(told)


def timed(configs: Sequence[RunConfig], device: str, engine: str, steps: int = TIMED) -> dict[str, Any]:
    """Milliseconds of plain steps with their images, of an update, an evaluation and a checkpoint; peak memory."""
    batch, on_gpu = configs[0].batch_size, device != "cpu"
    dataset = images(configs[0], (WARM + steps + 2) * batch, device)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    with nullcontext() if on_gpu else determinism.one_thread():
        run, number = train.started(configs, dataset, device, engine), count(1)
        batches = (batch for epoch in count() for batch in run.engine.batches(epoch, start=0))

        def step(many: int) -> None:
            for _ in range(many):
                run.engine.backward(*next(batches), next(number))
                run.engine.step()

        step(WARM)
        plain = _milliseconds(lambda: step(steps), device) / steps
        kernels, busy = _profiled(lambda: step(PROFILED), device) if on_gpu else (0.0, 0.0)
        run.engine.backward(*next(batches), UPDATE)
        run.engine.step()
        update = _milliseconds(lambda: run.engine.update(UPDATE), device)
        evaluation = _milliseconds(lambda: run.engine.accuracy(dataset.train), device) / len(dataset.train)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "checkpoint.npz"
            checkpoint = _milliseconds(lambda: train.save_checkpoint(run, path, engine), device)
            size = path.stat().st_size / 2**20
    return {"step_ms": plain, "update_ms": update, "evaluation_ms_per_1000": 1000 * evaluation,
            "checkpoint_ms": checkpoint, "checkpoint_mib": size, "kernels": kernels / PROFILED,
            "busy": busy / PROFILED / plain,
            "peak_mib": torch.cuda.max_memory_allocated(device) / 2**20 if on_gpu else 0.0}


def _milliseconds(what: Callable[[], object], device: str) -> float:
    step_times.wait_for(device)
    began = time.perf_counter()
    what()
    step_times.wait_for(device)
    return 1000 * (time.perf_counter() - began)


def _profiled(what: Callable[[], object], device: str) -> tuple[float, float]:
    """How many kernels run on the GPU meanwhile, and for how many milliseconds; 0 where profiling is not allowed."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    try:
        with torch.profiler.profile(activities=activities) as profile:
            what()
            step_times.wait_for(device)
        events = [event for event in profile.events() or () if event.device_type == torch.autograd.DeviceType.CUDA]
    except Exception as error:
        if trouble_of(error) == DEVICE:
            raise
        return 0.0, 0.0  # the driver may keep its counters for administrators
    kernels = [event for event in events
               if not event.name.startswith("Mem") and not getattr(event, "is_user_annotation", False)]
    return float(len(kernels)), sum(event.time_range.elapsed_us() for event in kernels) / 1000
