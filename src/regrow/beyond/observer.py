"""A run that is watched: who gains and who loses connections at every update, and how active neurons are at moments.

Records hold degrees at every update, but not which connections moved, nor weights. The engine here is the sparse one;
it notes every rewiring before it is carried out and changes nothing, so a watched run's record equals the plain one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from regrow import schedule, train
from regrow.beyond import activation
from regrow.beyond.observation import COUNTS, SIDES, Observation
from regrow.config import RunConfig
from regrow.data import Dataset, steps_per_epoch
from regrow.engines.sparse import SparseEngine
from regrow.metrics import in_degree, out_degree
from regrow.record import Array, Record
from regrow.topology import Rewiring

# Parts of the updates before which neurons are measured; 0 is before training.
MOMENTS = (0.0, 2 / 300, 0.05, 0.1, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)


class WatchedEngine(SparseEngine):
    """The sparse engine with notes of what its updates do."""

    def __init__(self, config: RunConfig, dataset: Dataset, total_steps: int) -> None:
        super().__init__(config, dataset, total_steps)
        self.rows: dict[str, list[Array]] = {}
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
        super().update(step)

    def apply(self, name: str, rewiring: Rewiring) -> None:
        """Note who gains and who loses, then carry it out."""
        if name in self.young:
            self._note(name, rewiring)
        super().apply(name, rewiring)
        if name in self.young:
            for part, mask in (("explored", self.explored[name]), ("reliable", self.outlived[name])):
                self.rows.setdefault(f"{part}/{name}", []).append(mask.sum().numpy())

    def _note(self, name: str, rewiring: Rewiring) -> None:
        before, gone, grown, young = self.masks[name], rewiring.pruned, rewiring.grown, self.young[name]
        kept = before & ~gone
        for count, mask in zip(COUNTS, (before, kept, grown, gone & grown, young, young & gone), strict=True):
            for side, degree in zip(SIDES, (in_degree(mask), out_degree(mask)), strict=True):
                self.rows.setdefault(f"counts/{name}/{side}/{count}", []).append(degree.numpy().astype(np.int16))
        self.young[name] = grown
        self.outlived[name] |= kept

    def _measure(self, step: int) -> None:
        weights = {name: layer.dense(layer.weight) for name, layer in self.layers.items()}
        biases = {name: torch.from_numpy(layer.bias.copy()) for name, layer in self.layers.items()}
        self.measured.append((step, activation.measure(weights, biases, self.masks, self.dataset)))


def observe(config: RunConfig, dataset: Dataset, *, engine: type[WatchedEngine] = WatchedEngine,
            progress: Callable[[int], None] | None = None,
            provenance: Mapping[str, Any] | None = None) -> tuple[Record, Observation]:
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
    seen = Observation(
        config=config, steps_per_epoch=per_epoch, steps=np.array(steps, np.int64),
        prune_rates=np.array([schedule.prune_rate(config, step, total) for step in steps]),
        **{part: {name.removeprefix(f"{part}/"): np.stack(rows) for name, rows in watched.rows.items()
                  if name.startswith(f"{part}/")} for part in ("counts", "explored", "reliable")},
        moment_steps=np.array([step for step, _ in watched.measured], np.int64),
        neurons={name: np.stack([measures[name] for _, measures in watched.measured]) for name in names},
        shapes={name: (layer.n_out, layer.n_in) for name, layer in watched.layers.items()},
        provenance=record.provenance | {"validation %": round(float(record.val_accuracy[-1]), 2),
                                        "test %": round(float(record.test_accuracy[-1]), 2)})
    return record, seen
