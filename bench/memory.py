"""Memory: bytes that the sparse engine holds against connections, and the peak of a whole training process."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from bench.table import Table
from bench.workload import STATIC, Training, config, images
from regrow.engines.dense import DenseEngine
from regrow.engines.sparse import SparseEngine
from regrow.train import Engine

COLUMNS = ("density", "connections", "engine", "state_mb", "bytes_per_connection", "engine_mb", "peak_rss_mb")
SIZES: dict[str, tuple[float, ...]] = {"tiny": (0.05,), "full": (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)}
IMAGES, STEPS = 1024, 20  # few images, so that the network is what the processes differ in
MB = 1e6


def run(size: str) -> Table:
    """Sparse engine at every density, dense engine once: its tensors are as large at any density."""
    dataset, rows = images(IMAGES), []
    cases = [*(("sparse", density) for density in SIZES[size]), ("dense", 0.05)]
    for engine, density in cases:
        training = Training(config(size, density, **STATIC), dataset, engine)
        training.step()
        state, everything = _bytes(training.engine)
        rows.append({"density": density, "connections": training.connections, "engine": engine, "state_mb": state / MB,
                     "bytes_per_connection": state / training.connections, "engine_mb": everything / MB})
    with ThreadPoolExecutor(2) as pool:  # what runs beside a process does not change its peak
        marks = list(pool.map(partial(_marks_of_process, size), cases))
    rows = [row | {"peak_rss_mb": peak / MB} for row, (_, peak) in zip(rows, marks, strict=True)]
    facts = {"peak MB of a process before it builds a network": median(before for before, _ in marks) / MB}
    return Table("memory", "MB (10^6 bytes) of weights and optimizer, of the whole engine, and of a process", COLUMNS,
                 rows, facts, (
        "state_mb: weights and momentum with biases; bytes_per_connection is that over the connections.",
        "engine_mb: also gradients, indices in both orders, masks and explored positions (a byte each per position of "
        "the dense matrix), activations.",
        f"peak_rss_mb: a process of its own, {IMAGES:,} images, {STEPS} steps."))


def _bytes(engine: Engine) -> tuple[int, int]:
    """Weights with momentum, and everything that the engine keeps between two steps."""
    if isinstance(engine, SparseEngine):
        layers = list(engine.layers.values())
        state = sum(a.nbytes for layer in layers for a in (layer.weight, layer.buffer, layer.bias, layer.bias_buffer))
        arrays = [a for layer in layers for value in vars(layer).values()
                  for a in (value if isinstance(value, tuple) else (value,)) if isinstance(a, np.ndarray)]
        arrays += [*engine.activations, *engine.deltas]
        wired = sum(tensor.nbytes for tensor in (*engine.masks.values(), *engine.explored.values()))
        return state, wired + sum(array.nbytes for array in arrays)
    assert isinstance(engine, DenseEngine)
    parameters = list(engine.model.parameters())
    state = sum(p.nbytes + engine.optimizer.state[p]["momentum_buffer"].nbytes for p in parameters)
    gradients = sum(p.grad.nbytes for p in parameters if p.grad is not None)
    wiring = [*engine.masks.values(), *engine.explored.values(), *engine.topology.factors.values()]
    return state, state + gradients + sum(tensor.nbytes for tensor in wiring)


def _marks_of_process(size: str, case: tuple[str, float]) -> tuple[int, int]:
    """Peak resident bytes of a process of its own: with imports and images only, and after training."""
    command = [sys.executable, "-m", "bench.memory", size, *map(str, case)]
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=300)
    before, after = done.stdout.split()
    return int(before), int(after)


def _peak() -> int:
    """Peak resident bytes of this process.

    Linux' getrusage counts what the parent held at the moment of exec as well, so the kernel's own mark comes first.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _probe(size: str, engine: str, density: float) -> None:
    import torch

    torch.set_num_threads(1)
    dataset = images(IMAGES)
    print(_peak())
    training = Training(config(size, density, **STATIC), dataset, engine)
    for _ in range(STEPS):
        training.step()
    print(_peak())


if __name__ == "__main__":
    _probe(sys.argv[1], sys.argv[2], float(sys.argv[3]))
