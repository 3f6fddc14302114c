"""A whole training step of the paper's MLP against the number of connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import exp, log
from typing import Any

import numpy as np
import torch

from bench.baselines import Scipy, TorchCsr, take_onednn
from bench.table import Table
from bench.timing import TIMED_COLUMNS, interleaved
from bench.workload import IMAGES, STATIC, Training, config, images, stream
from regrow.config import RunConfig
from regrow.data import Dataset
from regrow.engines import BREAK_EVEN_DENSITY
from regrow.engines.dense import DenseEngine
from regrow.engines.sparse import SparseEngine

COLUMNS = ("density", "connections", "engine", *TIMED_COLUMNS, "times_dense")
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"densities": (0.5, 0.05), "baselines": (0.05,), "rounds": 2, "calls": 1, "baseline_rounds": 1},
    "full": {"densities": (0.7, 0.5, 0.35, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005), "baselines": (0.05, 0.01),
             "rounds": 11, "calls": 12, "baseline_rounds": 7},
}


def run(size: str) -> Table:
    """Sparse and dense engine at every density; torch CSR, scipy and the dense engine with products by oneDNN at two.
    Static masks: `update` times the rest."""
    options, dataset = SIZES[size], images(IMAGES[size])
    rows: list[dict[str, Any]] = []
    notes = ["A step is a batch of 128 images (gathered, cropped, flipped, normalised), forward, backward and SGD."]
    for density in options["densities"]:
        run_config = config(size, density, **STATIC)
        ours, dense = (Training(run_config, dataset, engine) for engine in ("sparse", "dense"))
        timings = interleaved({"sparse": ours.step, "dense": dense.step}, rounds=options["rounds"],
                              calls=options["calls"], warm_up=3)
        if density in options["baselines"]:
            others, note = _baselines(ours)
            if torch.backends.mkldnn.is_available():
                others["dense, oneDNN"] = onednn(run_config, dataset).step
            notes += note
            # One more turn with the sparse engine, so that they too are measured beside it.
            timings |= {name: timing for name, timing in interleaved(
                {"beside": ours.step, **others}, rounds=options["baseline_rounds"], calls=max(1, options["calls"] // 4),
                warm_up=2).items() if name != "beside"}
        for name, timing in timings.items():
            rows.append({"density": density, "connections": ours.connections, "engine": name, **timing.columns(),
                         "times_dense": timings["dense"].median / timing.median})
    return Table("engines", "ms per training step, MLP, batch 128, one thread", COLUMNS, rows, facts(rows),
                 tuple(dict.fromkeys(notes)))


def onednn(run_config: RunConfig, dataset: Dataset) -> Training:
    """The dense engine with products by oneDNN."""
    training = Training(run_config, dataset, "dense")
    assert isinstance(training.engine, DenseEngine)
    take_onednn(training.engine)
    return training


def _baselines(training: Training) -> tuple[dict[str, Callable[[], None]], list[str]]:
    engine = training.engine
    assert isinstance(engine, SparseEngine)
    layers = list(engine.layers.values())
    kinds: dict[str, Any] = {"torch CSR": TorchCsr, "scipy": Scipy}
    notes = []
    if not torch.backends.mkl.is_available():
        del kinds["torch CSR"]
        notes.append("torch CSR is left out: this build of PyTorch has no MKL.")

    def stepper(kind: Any) -> Callable[[], None]:
        network, batches = kind(engine.config, layers), stream(engine.dataset, engine.config)
        return lambda: network.step(*next(batches))

    return {name: stepper(kind) for name, kind in kinds.items()}, notes


def facts(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The conclusions: how many times faster, where it stops being faster, and how straight the line is."""
    sparse, dense = ([row for row in rows if row["engine"] == name] for name in ("sparse", "dense"))
    found: dict[str, Any] = {f"sparse engine at density {row['density']:g}, times faster than dense":
                             row["times_dense"] for row in sparse if row["density"] in (0.05, 0.01)}
    densities, ratios = [row["density"] for row in sparse], [row["times_dense"] for row in sparse]
    bound = f"above {max(densities)}" if min(ratios) > 1 else f"below {min(densities)}"
    found["break-even density"] = break_even(densities, ratios) or bound
    found["engine=auto takes sparse up to density"] = BREAK_EVEN_DENSITY["mlp"]
    slope, intercept, worst = line([row["connections"] for row in sparse], [row["ms"] for row in sparse])
    return found | {"ns per connection (fit)": 1e6 * slope, "ms per step without any (fit)": intercept,
                    "furthest measurement from the fit, percent": 100 * worst, "dense, ms (median over densities)":
                    float(np.median([row["ms"] for row in dense]))}


def break_even(densities: Sequence[float], ratios: Sequence[float]) -> float | None:
    """The density at which the ratio dense / sparse is 1, on a straight line in logarithms between two that were
    measured; None if they do not enclose it."""
    points = sorted(zip(densities, ratios, strict=True))
    for (d0, r0), (d1, r1) in pairwise(points):
        if r0 >= 1 > r1:
            return exp(log(d0) + (log(d1) - log(d0)) * log(r0) / (log(r0) - log(r1)))
    return None


def line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Slope and intercept of the line with the least relative squared errors, and the largest relative error.

    Absolute errors would let the densest networks alone decide it.
    """
    at, value = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    slope, intercept = np.polyfit(at, value, 1, w=1 / value)
    return float(slope), float(intercept), float(np.abs((slope * at + intercept) / value - 1).max())
