"""A run that is watched: who gains and who loses connections at every update, and how active neurons are at moments.

Records hold degrees at every update, but not which connections moved, nor weights. The engine here is the sparse one;
it notes every rewiring before it is carried out and changes nothing, so a watched run's record equals the plain one.
What is kept of it is `Watched`: connections gained and lost at every update, activity at moments.

How active neurons are, and how large the gradients that reach them, is measured in a network given by weights and
masks. Sokar et al. (ICML 2023, "The Dormant Neuron Phenomenon in Deep Reinforcement Learning") score a neuron by its
mean absolute activation over the mean of its layer, and call it dormant where the score is tau or less.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from regrow import files, schedule, train
from regrow.config import RunConfig
from regrow.data import Dataset, ImageSet, normalise, steps_per_epoch
from regrow.engines.sparse import SparseEngine
from regrow.errors import ConfigError, StoreError
from regrow.metrics import in_degree, k_shells, out_degree
from regrow.record import Array, Record
from regrow.topology import Rewiring

FORMAT = "regrow observation 2"
# Connections of a neuron at an update: before it, left by pruning, grown (those that were pruned a moment before
# included, which `regrown` counts), and grown at the update before: how many of those are there, and how many go now.
COUNTS = ("degree", "kept", "grown", "regrown", "young", "young_lost")
SIDES = ("in", "out")
# Parts of the updates before which neurons are measured; 0 is before training.
MOMENTS = (0.0, 2 / 300, 0.05, 0.1, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
PARTS = ("counts", "shells", "neurons", "explored", "reliable")
IMAGES = 2000  # the first so many validation images for activations, training images for gradients; none augmented
TAUS = (0.0, 0.025, 0.1)  # 0: never active; the others are the range that Sokar et al. look at
# Of each hidden neuron: mean |h| and standard deviation of h over images; root mean square of dE/dTheta over all places
# of its row of weights and over the connections it has; its connections below and above.
MEASURES = ("activation", "spread", "gradient", "update", "in_degree", "out_degree")


@dataclass(frozen=True)
class Watched:
    """What was seen of one run; U updates, M moments, n neurons."""

    config: RunConfig
    steps_per_epoch: int
    steps: Array  # int64 [U]
    prune_rates: Array  # [U]
    counts: dict[str, Array]  # "fc1/in/degree": int16 [U, n], see SIDES and COUNTS
    moment_steps: Array  # int64 [M]; the topology is the one before that step's update
    neurons: dict[str, Array]  # "fc1/activation": float32 [M, n_out], see MEASURES
    shapes: dict[str, tuple[int, ...]]
    shells: dict[str, Array] = field(default_factory=dict)  # "fc1/in": int16 [U, n], k-shells before an update
    explored: dict[str, Array] = field(default_factory=dict)  # int64 [U], connections that ever were, after an update
    reliable: dict[str, Array] = field(default_factory=dict)  # the same, connections that ever outlived a pruning
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def groups(self) -> list[tuple[str, str]]:
        """(layer, side) of every layer that is rewired."""
        return list(dict.fromkeys((name.split("/")[0], name.split("/")[1]) for name in self.counts))

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.shapes)

    @property
    def connections(self) -> dict[str, int]:
        """Connections per layer, as a record has them."""
        last = list(self.neurons)[-1]  # the last hidden layer's out-degree: connections of the last layer
        below = {name.split("/")[0]: int(values[0].sum()) for name, values in self.neurons.items()
                 if name.endswith("/in_degree")}
        return below | {self.layers[-1]: int(self.neurons[last][0].sum())}

    def of(self, layer: str, side: str) -> dict[str, Array]:
        """The six counts of a group, each [U, n]."""
        return {count: self.counts[f"{layer}/{side}/{count}"] for count in COUNTS}

    def save(self, path: Path) -> None:
        """Write to `path` (.npz) atomically. Raises StoreError as records do."""
        arrays = {"steps": self.steps, "prune_rates": self.prune_rates, "moment_steps": self.moment_steps}
        arrays |= {f"{part}/{name}": array for part in PARTS for name, array in getattr(self, part).items()}
        head = {"format": FORMAT, "config": self.config.to_dict(), "steps_per_epoch": self.steps_per_epoch,
                "shapes": self.shapes, "provenance": self.provenance}
        files.write_arrays(path, arrays, head, zipfile.ZIP_DEFLATED)


def load(path: Path) -> Watched:
    """Read an observation. Raises FileNotFoundError, and StoreError for a file that is damaged or not one."""
    arrays, head = files.read_arrays(path)
    try:
        if head["format"] != FORMAT:
            raise StoreError(f"{path} is not an observation of this version of regrow.")
        series: dict[str, Any] = {name: arrays[name] for name in ("steps", "prune_rates", "moment_steps")}
        parts: dict[str, Any] = {part: {name.removeprefix(f"{part}/"): array for name, array in arrays.items()
                                        if name.startswith(f"{part}/")} for part in PARTS}
        return Watched(config=RunConfig.from_record(head["config"]), steps_per_epoch=head["steps_per_epoch"],
                           shapes={name: tuple(shape) for name, shape in head["shapes"].items()},
                           provenance=head["provenance"], **parts, **series)
    except (ConfigError, KeyError, TypeError) as error:
        raise StoreError(f"{path} was written by another version of regrow ({error}).") from error


# ----------------------------------------------------------------------------------------------- how active neurons are


def scores(activations: ArrayLike) -> NDArray[np.float64]:
    """Mean |h| of each neuron [..., n] over the mean of its layer; 0 everywhere in a layer that is silent."""
    mean = np.asarray(activations, dtype=float)
    layer = mean.mean(axis=-1, keepdims=True)
    return np.divide(mean, layer, out=np.zeros_like(mean), where=layer > 0)


def forward(x: Tensor, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """Activations [images, n] of every hidden ReLU layer, named by the layer that feeds it, and logits."""
    hidden: dict[str, Tensor] = {}
    for name, weight in weights.items():
        x = F.linear(x, weight, biases[name])
        if len(hidden) < len(weights) - 1:
            x = hidden[name] = x.relu()
    return hidden, x


def measure(weights: Mapping[str, Tensor], biases: Mapping[str, Tensor], masks: Mapping[str, Tensor],
            dataset: Dataset, images: int = IMAGES) -> dict[str, Array]:
    """MEASURES of every hidden neuron: "fc1/activation" and so on, float32 [n_out].

    `weights` are dense with 0 where there is no connection; `masks` say where there is one.
    """
    names = list(weights)
    with torch.no_grad():
        hidden, _ = forward(_inputs(dataset.validation, dataset, images, weights), weights, biases)
    gradients = _gradients(dataset, images, weights, biases)
    found: dict[str, Tensor] = {}
    for name, above in pairwise(names):
        squares, mask = gradients[name].square(), masks[name]
        degree = mask.sum(1)
        found |= {f"{name}/activation": hidden[name].abs().mean(0), f"{name}/spread": hidden[name].std(0, correction=0),
                  f"{name}/gradient": squares.mean(1).sqrt(),
                  f"{name}/update": ((squares * mask).sum(1) / degree.clamp(min=1)).sqrt(),
                  f"{name}/in_degree": degree, f"{name}/out_degree": masks[above].sum(0)}
    return {name: values.numpy().astype(np.float32) for name, values in found.items()}


def _gradients(dataset: Dataset, images: int, weights: Mapping[str, Tensor],
               biases: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """dE/dTheta at every place, connected or not, on the first training images as they are."""
    leaves = {name: weight.detach().clone().requires_grad_() for name, weight in weights.items()}
    _, logits = forward(_inputs(dataset.train, dataset, images, weights), leaves, biases)
    found = torch.autograd.grad(F.cross_entropy(logits, dataset.train.labels[:images]), list(leaves.values()))
    return dict(zip(leaves, found, strict=True))


def _inputs(of: ImageSet, dataset: Dataset, images: int, weights: Mapping[str, Tensor]) -> Tensor:
    dtype = next(iter(weights.values())).dtype
    return normalise(of.images[:images], dataset, dtype).flatten(1)


# ------------------------------------------------------------------------------------------------------------- watching


class WatchedEngine(SparseEngine):
    """The sparse engine with notes of what its updates do."""

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int) -> None:
        super().__init__(config, dataset, total_steps)
        self.rows: dict[str, Array] = {}  # [U, ...] each, see _keep
        self.updates_done = 0
        self.outlived = {name: torch.zeros_like(self.masks[name]) for name in self.rewired}
        self.measured: list[tuple[int, dict[str, Array]]] = []
        self.young = {name: mask.clone() for name, mask in self.outlived.items()}
        updates = schedule.update_steps(config, total_steps)
        self.moments = {updates[max(0, round(part * len(updates)) - 1)] for part in MOMENTS[1:]} if updates else set()
        self._measure(0)

    def update(self, step: int) -> None:
        """Prune and grow as ever."""
        if step in self.moments:
            self._measure(step)
        below, *above = k_shells(mask.numpy() for mask in self.masks.values())
        for name, shells in zip(self.masks, above, strict=True):
            if name in self.young:
                for side, of in zip(SIDES, (shells, below), strict=True):
                    self._keep(f"shells/{name}/{side}", of, np.int16)
            below = shells
        super().update(step)
        self.updates_done += 1

    def apply(self, name: str, rewiring: Rewiring) -> None:
        """Note who gains and who loses, then carry it out."""
        if name in self.young:
            self._note(name, rewiring)
        super().apply(name, rewiring)
        if name in self.young:
            for part, mask in (("explored", self.explored[name]), ("reliable", self.outlived[name])):
                self._keep(f"{part}/{name}", mask.sum().numpy(), np.int64)

    def _note(self, name: str, rewiring: Rewiring) -> None:
        before, gone, grown, young = self.masks[name], rewiring.pruned, rewiring.grown, self.young[name]
        kept = before & ~gone
        for count, mask in zip(COUNTS, (before, kept, grown, gone & grown, young, young & gone), strict=True):
            for side, degree in zip(SIDES, (in_degree(mask), out_degree(mask)), strict=True):
                self._keep(f"counts/{name}/{side}/{count}", degree.numpy(), np.int16)
        self.young[name] = grown
        self.outlived[name] |= kept

    def _keep(self, name: str, values: Array, dtype: DTypeLike) -> None:
        """A row of this update. The whole array is there from the first one on: thousands of small ones, made between
        temporary arrays of megabytes, scatter the memory until gigabytes of it lie idle."""
        if name not in self.rows:
            self.rows[name] = np.zeros((len(self.updates), *values.shape), dtype)
        self.rows[name][self.updates_done] = values

    def _measure(self, step: int) -> None:
        weights = {name: layer.dense(layer.weight) for name, layer in self.layers.items()}
        biases = {name: torch.from_numpy(layer.bias.copy()) for name, layer in self.layers.items()}
        self.measured.append((step, measure(weights, biases, self.masks, self.dataset)))


def observe(config: RunConfig, dataset: Dataset, *, engine: type[WatchedEngine] = WatchedEngine,
            progress: Callable[[int], None] | None = None,
            provenance: Mapping[str, Any] | None = None) -> tuple[Record, Watched]:
    """Train one MLP on the sparse engine and return its record, equal to an unwatched run's, and what was seen.

    `engine` may be a watched one that rewires in another way. The provenance of both is `provenance` and the seconds,
    of the observation also the accuracies.
    """
    per_epoch = steps_per_epoch(len(dataset.train.labels), config.batch_size)
    total = config.epochs * per_epoch
    watched = engine(config, dataset, total)
    run = train.begin(train.Run(config, watched, config.key, per_epoch))
    record = train.finish(run, dataset, progress=progress, made=provenance)
    steps = schedule.update_steps(config, total)
    names = list(watched.measured[0][1])
    seen = Watched(
        config=config, steps_per_epoch=per_epoch, steps=np.array(steps, np.int64),
        prune_rates=np.array([schedule.prune_rate(config, step, total) for step in steps]),
        **{part: {name.removeprefix(f"{part}/"): rows for name, rows in watched.rows.items()
                  if name.startswith(f"{part}/")} for part in PARTS if part != "neurons"},
        moment_steps=np.array([step for step, _ in watched.measured], np.int64),
        neurons={name: np.stack([measures[name] for _, measures in watched.measured]) for name in names},
        shapes={name: (layer.n_out, layer.n_in) for name, layer in watched.layers.items()},
        provenance=record.provenance | {"validation %": round(float(record.val_accuracy[-1]), 2),
                                        "test %": round(float(record.test_accuracy[-1]), 2)})
    return record, seen
