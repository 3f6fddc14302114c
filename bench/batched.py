"""Many runs at once: the paper's 15 topology runs in one batch against one of them, and steps of the larger networks.

On a GPU if there is one. On a CPU the convolutional networks get small batches, and batching runs gains nothing there:
the table then only shows that everything works and how the rows compare.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.loader import loader_stream
from bench.table import Table
from bench.timing import TIMED_COLUMNS, interleaved
from bench.workload import IMAGES, NETWORK, Training, images, on
from regrow import cost
from regrow.config import RunConfig
from regrow_companion import study

COLUMNS = ("case", "engine", "runs", "batch_size", *TIMED_COLUMNS, "run_steps_per_second", "gflops", "busy_percent",
           "times_usual")
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"rounds": 2, "runs": 3, "networks": {"convnet": 4}},
    "full": {"rounds": 7, "runs": 15, "networks": {"convnet": 32, "resnet56": 16, "vgg16": 8}},  # batches on a CPU
}
GPU_STEPS = 50  # in a turn; on a CPU a turn is one step
STEPS_OF_A_RUN = 105_600


def run(size: str) -> Table:
    """Every case in turns with the usual loop on the same device. Updates are left out: `update` times them."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = _rows("mlp", _mlp_cases(size, device), size, device)
    for network, batch in SIZES[size]["networks"].items():
        rows += _rows(network, _network_cases(network, batch, size, device), size, device)
    ms = {(row["engine"], row["runs"]): row["ms"] for row in rows if row["case"] == "mlp"}
    many = SIZES[size]["runs"]
    return Table("batched", f"ms per step of all runs of a row, on {device}", COLUMNS, rows, {
        f"{many} runs in a batch, times one in a batch": ms["batched", many] / ms["batched", 1],
        f"{many} runs in a batch, times one on the dense engine": ms["batched", many] / ms["dense", 1],
        f"minutes for the {STEPS_OF_A_RUN:,} steps of {many} runs, updates and evaluation not counted":
            ms["batched", many] * STEPS_OF_A_RUN / 6e4,
    }, ("usual: DataLoader + torchvision transforms in the same process, a copy to the device, masked-dense step.",
        "gflops: multiply-adds of dense matrices, two operations each, forward and twice that backward.",
        "busy_percent: on a GPU what its driver reports, on a CPU the process's share of one core."))


@dataclass(frozen=True)
class _Case:
    engine: str
    config: RunConfig
    make: Callable[[], Training]
    runs: int = 1

    @property
    def name(self) -> str:
        return f"{self.engine} {self.runs}"


def _mlp_cases(size: str, device: str) -> list[_Case]:
    configs = [config.but(**NETWORK[size]) for config in study.runs("fig05", "paper")][:SIZES[size]["runs"]]
    dataset = on(images(IMAGES[size]), device)

    def together(n: int) -> _Case:
        return _Case("batched", configs[0], lambda: Training(configs[:n], dataset, "batched", device), n)

    return [*_cases(configs[0], size, device), together(1), together(len(configs))]


def _network_cases(network: str, batch: int, size: str, device: str) -> list[_Case]:
    return _cases(RunConfig(model=network, dataset="cifar10", batch_size=128 if device == "cuda" else batch), size,
                  device)


def _cases(config: RunConfig, size: str, device: str) -> list[_Case]:
    dataset = images(IMAGES[size])
    ours = on(dataset, device)

    def usual() -> Training:
        training = Training(config, dataset, "dense", device)
        training.batches = _to(loader_stream(dataset, config.batch_size), device)
        return training

    cases = [_Case("usual", config, usual),
             _Case("dense", config, lambda: Training(config, ours, "dense", device))]
    if device == "cuda":
        mixed = config.but(amp=True)
        cases += [_Case("dense, amp", mixed, lambda: Training(mixed, ours, "dense", device)),
                  _Case("compiled, amp", mixed, lambda: Training(mixed, ours, "compiled", device))]
    return cases


def _to(batches: Iterator[tuple[Tensor, Tensor]], device: str) -> Iterator[tuple[Tensor, Tensor]]:
    for x, labels in batches:
        yield x.to(device), labels.to(device)


def _rows(network: str, cases: list[_Case], size: str, device: str) -> list[dict[str, Any]]:
    steps = GPU_STEPS if device == "cuda" else 1
    busy: dict[str, float | str] = {}

    def turn(case: _Case) -> Callable[[], None]:
        training = case.make()

        def run_steps() -> None:
            wall, processor = time.perf_counter(), time.process_time()
            for _ in range(steps):
                training.step()
            if device == "cuda":
                busy[case.name] = _gpu_utilisation()  # while there is still work in the queue
                torch.cuda.synchronize()
            else:
                busy[case.name] = 100 * (time.process_time() - processor) / (time.perf_counter() - wall)

        return run_steps

    timings = interleaved({case.name: turn(case) for case in cases}, rounds=SIZES[size]["rounds"])
    rows = []
    for case in cases:
        seconds = timings[case.name].median / steps
        work = 2 * cost.multiply_adds(case.config) / cost.total_steps(case.config) * case.runs
        rows.append({"case": network, "engine": case.engine, "runs": case.runs, "batch_size": case.config.batch_size,
                     **timings[case.name].columns(per=steps), "run_steps_per_second": case.runs / seconds,
                     "gflops": work / seconds / 1e9, "busy_percent": busy[case.name],
                     "times_usual": case.runs * timings["usual 1"].median / timings[case.name].median})
    return rows


def _gpu_utilisation() -> float | str:
    """Percent of the last moments in which the GPU worked, as its driver reports it, which it does not for a part of
    one (MIG), and not without the library that asks it."""
    try:
        return float(torch.cuda.utilization())
    except Exception:  # the errors of that library have no class in common with others
        return "not reported"
