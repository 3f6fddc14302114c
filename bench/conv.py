"""Steps of the convolutional networks: the sparse engine against masked-dense PyTorch, its images channels-last."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from bench.engines import break_even
from bench.table import Table
from bench.timing import TIMED_COLUMNS, interleaved
from bench.workload import IMAGES, Training, images
from regrow.config import RunConfig
from regrow.engines import BREAK_EVEN_DENSITY
from regrow.engines.conv import kernels
from regrow.engines.conv.network import SparseConvNet
from regrow.engines.conv.normed import SparseNormed
from regrow.engines.dense import DenseEngine

COLUMNS = ("network", "density", "connections", "what", "engine", *TIMED_COLUMNS, "times_dense", "bytes_per_connection")
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"networks": {"convnet": (0.05,)}, "rounds": {"convnet": 2}, "calls": 1, "batch": 16},
    "full": {"networks": {"convnet": (1.0, 0.7, 0.5, 0.2, 0.1, 0.05, 0.02), "resnet56": (0.7, 0.5, 0.2, 0.1, 0.05),
                          "vgg16": (0.5, 0.35, 0.2, 0.1, 0.05)},
             "rounds": {"convnet": 11, "resnet56": 5, "vgg16": 3}, "calls": 4, "batch": 128},
}
HERE = 0.05  # the density at which momentum growth's steps, evaluation and shares are measured
BEFORE_UPDATE = 399  # a step whose dense gradients enter momentum growth's average


def run(size: str) -> Table:
    """Every network at every density, static masks; at one also a step for momentum growth and an evaluation."""
    options, rows = SIZES[size], list[dict[str, Any]]()
    facts: dict[str, Any] = {}
    dataset = images(IMAGES[size])
    for network, densities in options["networks"].items():
        for density in densities:
            config = RunConfig(model=network, dataset="cifar10", sparsity=round(1 - density, 6), epochs=2,
                               batch_size=options["batch"], prune="none", grow="none")
            both = {engine: Training(config, dataset, engine) for engine in ("sparse", "dense")}
            calls = options["calls"] if network == "convnet" else 1
            timed: dict[str, dict[str, Callable[[], object]]] = {
                "step": {engine: training.step for engine, training in both.items()}}
            if density == HERE:
                averaged = Training(config.but(prune="magnitude", grow="momentum", epochs=4), dataset, "sparse")
                timed["step for momentum growth"] = {
                    "sparse": partial(averaged.step, BEFORE_UPDATE),
                    "dense": Training(averaged.run.config, dataset, "dense").step}
                timed["evaluation of 128 images"] = {engine: _evaluation(training) for engine, training in both.items()}
            for what, cases in timed.items():
                timings = interleaved(cases, rounds=options["rounds"][network], calls=calls, warm_up=2)
                for engine, timing in timings.items():
                    connections = both[engine].connections
                    rows.append({"network": network, "density": density, "connections": connections, "what": what,
                                 "engine": engine, **timing.columns(),
                                 "times_dense": timings["dense"].median / timing.median,
                                 "bytes_per_connection": _state(both[engine]) / connections})
            if density == HERE:
                facts |= _shares(network, both["sparse"], next(row["ms"] for row in rows[::-1] if row["what"] == "step"
                                                               and row["engine"] == "sparse"))
    return Table("conv", f"ms per training step, batch {options['batch']}, one thread", COLUMNS, rows,
                 _facts(rows) | facts, (
        "A step is a batch (gathered, cropped, flipped, normalised), forward, backward and SGD.",
        "bytes_per_connection: weights, biases, normalisation and their momentum; dense: all weights, there or not."))


def _evaluation(training: Training) -> Callable[[], object]:
    return partial(training.engine.accuracy, images(IMAGES["tiny"]).test)


def _state(training: Training) -> int:
    """Bytes of weights and optimizer."""
    engine = training.engine
    if isinstance(engine, SparseConvNet | SparseNormed):
        arrays = [getattr(layer, part) for layer in engine.layers.values()
                  for part in ("weight", "buffer", "bias", "bias_buffer")]
        if isinstance(engine, SparseNormed):
            arrays += [getattr(unit.norm, part) for unit in engine.units.values()
                       for part in ("gamma", "beta", "gamma_buffer", "beta_buffer")]
        return sum(array.nbytes for array in arrays)
    assert isinstance(engine, DenseEngine)
    return 2 * sum(parameter.nbytes for parameter in engine.parameters)


def _facts(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many times faster at the paper's densities, and where it stops being faster."""
    steps = [row for row in rows if row["what"] == "step" and row["engine"] == "sparse"]
    found: dict[str, Any] = {f"{row['network']} at density {row['density']:g}, times faster than dense":
                             row["times_dense"] for row in steps if row["density"] in (0.2, 0.1, 0.05)}
    for network in dict.fromkeys(row["network"] for row in steps):
        pairs = [(row["density"], row["times_dense"]) for row in steps if row["network"] == network]
        densities, ratios = zip(*pairs, strict=True)
        bound = f"above {max(densities)}" if min(ratios) > 1 else f"below {min(densities)}"
        found[f"{network}, break-even density"] = break_even(densities, ratios) or bound
        found[f"{network}, engine=auto takes sparse up to density"] = BREAK_EVEN_DENSITY[network]
    return found


def _shares(network: str, training: Training, step_ms: float) -> dict[str, Any]:
    """What a step consists of, in percent: its parts by themselves, which are faster than in turns."""
    engine, seconds = training.engine, dict[str, float]()
    batch, labels = next(training.batches)
    engine.backward(batch, labels, 1)

    def timed(part: str, times: int, what: Callable[..., object], *args: Any) -> None:
        what(*args)
        taken = []
        for _ in range(7):
            began = time.perf_counter()
            for _ in range(times):
                what(*args)
            taken.append((time.perf_counter() - began) / times)
        seconds[part] = seconds.get(part, 0.0) + median(taken)

    if isinstance(engine, SparseConvNet):
        _time_tiles(engine, batch.numpy(), timed)
        seconds = {part: taken * len(batch) for part, taken in seconds.items()}
    elif isinstance(engine, SparseNormed):
        timed("forward and statistics", 1, partial(engine._forward, len(labels), training=True))
        timed("forward, backward", 1, engine.backward, batch, labels, 1)
        seconds["backward"] = seconds.pop("forward, backward") - seconds["forward and statistics"]
    timed("update of weights", 3, engine.step)
    timed("batch", 3, next, training.batches)
    return {f"{network}, percent of a step: {part}": 1e5 * taken / step_ms for part, taken in seconds.items()}


def _time_tiles(engine: SparseConvNet, tiles: np.ndarray, timed: Callable[..., None]) -> None:
    """Forward, weight gradient and data gradient of every layer of the ConvNet, on one tile."""
    memory, layers = engine.memory, [layer.begin() for layer in engine.order.values()]
    for k, layer in enumerate(layers):
        x, delta, summed = memory.maps[k - 1] if k else tiles[0], memory.deltas[k], (layer.sums, layer.bias_sums)
        in_height, in_width, height, width, _, border = (int(size) for size in memory.sizes[k])
        if k < len(memory.codes):
            after, codes = int(memory.sizes[k + 1][4]), memory.codes[k]
            timed("forward", 20, kernels.convolve_and_pool, layer.forward, layer.bias, x, height, width,
                  memory.maps[k], after, codes)
            timed("weight gradient", 20, kernels.add_gradients_of_pooled, layer.summed, *summed, x,
                  memory.gradients[k], codes, height, width, k > 0, delta, border)
        else:
            out = memory.plain if k == len(memory.codes) else memory.logits
            timed("forward", 20, kernels.convolve, layer.forward, layer.bias, x, height, width, out, 0)
            timed("weight gradient", 20, kernels.add_gradients, layer.summed, *summed, x, delta, border, height, width)
        if k:
            timed("data gradient", 20, kernels.convolve, layer.backward, layer.nothing, delta, in_height, in_width,
                  memory.gradients[k - 1], 0)
