"""Small runs on random images, watched: masks and explored positions at every update, losses and weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from regrow import train
from regrow.config import RunConfig
from regrow.data import Dataset
from regrow.engines.batched import BatchedEngine
from regrow.engines.dense import MaskedEngine
from regrow.engines.sparse import SparseNetwork
from regrow.schedule import update_steps
from regrow_companion.sweep.step_times import random_images

HELD = 8  # images to evaluate

# 5 steps an epoch and 5 updates, of 200 images.
MLP = RunConfig(dataset="mnist", hidden=(100, 50), sparsity=0.9, batch_size=40, epochs=3, update_interval=3, lr=0.05,
                dtype="float64")
RBM = RunConfig(model="rbm-small", dataset="mnist", sparsity=0.9, batch_size=40, epochs=3, update_interval=3, lr=0.01,
                grow="momentum", dtype="float64")
# 8 steps and 4 updates, of 40 images.
CNN = RunConfig(model="convnet", dataset="cifar10", sparsity=0.9, batch_size=20, epochs=4, update_interval=2, lr=0.02,
                dtype="float64")
RULES = ("random", "gradient", "momentum")
SIX = tuple(MLP.but(seed=seed, grow=rule) for seed in (0, 1) for rule in RULES)


def images(config: RunConfig, number: int, device: str) -> Dataset:
    """Random images that a run could be trained on."""
    return random_images(config, number, HELD, device)


def images_of(config: RunConfig, device: str) -> Dataset:
    """As many as the small runs above are made for."""
    return images(config, 5 * config.batch_size if config.model in ("mlp", "rbm-small") else 40, device)


@dataclass
class Trace:
    """What became of the runs of an engine, on the processor. One mapping from layer to tensor for each run."""

    masks: list[list[dict[str, Tensor]]] = field(default_factory=list)  # of every update
    explored: list[list[dict[str, Tensor]]] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)  # of every run and epoch
    weights: list[dict[str, Tensor]] = field(default_factory=list)  # at the end


def followed(configs: Sequence[RunConfig], dataset: Dataset, device: str, engine: str, *, stop: int = 0,
             folder: Path | None = None) -> Trace:
    """Train to the end and watch. With `stop` the run is saved in `folder` after that step, and begun anew from there.
    """
    run, trace = train.started(configs, dataset, device, engine), Trace()
    updates = frozenset(update_steps(run.config, run.config.epochs * run.steps_per_epoch))

    def look(now: train.Run) -> None:
        if now.step in updates:
            trace.masks.append([_copied(of) for of in _listed(now.engine.masks)])
            trace.explored.append([_copied(of) for of in _listed(now.engine.explored)])
        if stop == now.step and folder is not None:
            train.save_checkpoint(now, folder / "checkpoint.npz", engine)
            raise _Stop

    try:
        train.advance(run, dataset, save=look)
    except _Stop:
        run, stop = train.started(configs, dataset, device, engine), 0
        assert folder is not None
        train.restore_checkpoint(run, folder / "checkpoint.npz", engine)
        train.advance(run, dataset, save=look)
    of_runs = run.recorder.runs if engine == "batched" else [run.recorder]
    trace.losses = [recorder.arrays()["train_loss"].tolist() for recorder in of_runs]
    trace.weights = [_copied(of) for of in weights_of(run)]
    return trace


class _Stop(Exception):
    """Ends a run in its middle."""


def weights_of(run: train.Run) -> list[dict[str, Tensor]]:
    """The dense weights of every run in training, by layer."""
    engine = run.engine
    if isinstance(engine, BatchedEngine):
        return [topology.weights for topology in engine.topologies]
    if isinstance(engine, SparseNetwork):
        return [{name: layer.dense(layer.weight) for name, layer in engine.layers.items()}]
    assert isinstance(engine, MaskedEngine)
    return [engine.topology.weights]


def _listed(of: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]]) -> Sequence[Mapping[str, Tensor]]:
    return [of] if isinstance(of, Mapping) else of


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}


def of_all(traces: Sequence[Trace]) -> Trace:
    """Runs that were followed one by one as if they had been one batch."""
    masks, explored = ([[of_run for every in at for of_run in every] for at in zip(*parts, strict=True)]
                       for parts in ([trace.masks for trace in traces], [trace.explored for trace in traces]))
    return replace(traces[0], masks=masks, explored=explored, losses=[loss for t in traces for loss in t.losses],
                   weights=[of for t in traces for of in t.weights])


def first_difference(ours: Trace, theirs: Trace) -> str:
    """Where the wiring of two traces parts, in words; "" if it never does."""
    if len(ours.masks) != len(theirs.masks):
        return f"{len(ours.masks)} updates instead of {len(theirs.masks)}"
    for what in ("masks", "explored"):
        for update, (a, b) in enumerate(zip(getattr(ours, what), getattr(theirs, what), strict=True), start=1):
            for of_run, expected in zip(a, b, strict=True):
                for layer, tensor in expected.items():
                    if n := int((of_run[layer] != tensor).sum()):
                        return f"{what} of {layer} differ from update {update} on, at {n} of {tensor.numel()} positions"
    return ""


def largest_difference(ours: Trace, theirs: Trace) -> tuple[float, float]:
    """Of the losses, and of the weights; nan if anything is no number."""
    double = torch.float64  # torch would take a list of numbers for single precision
    losses = (torch.tensor(ours.losses, dtype=double) - torch.tensor(theirs.losses, dtype=double)).abs().max()
    weights = [(of[layer] - expected).abs().max() for of, by in zip(ours.weights, theirs.weights, strict=True)
               for layer, expected in by.items()]
    return float(losses), float(torch.stack(weights).max())
