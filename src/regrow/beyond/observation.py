"""What is kept of a watched run: connections gained and lost at every update, activity at moments. No torch."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regrow import files
from regrow.config import RunConfig
from regrow.errors import ConfigError, StoreError
from regrow.record import Array

FORMAT = "regrow observation 1"
# Connections of a neuron at an update: before it, left by pruning, grown (those that were pruned a moment before
# included, which `regrown` counts), and grown at the update before: how many of those are there, and how many go now.
COUNTS = ("degree", "kept", "grown", "regrown", "young", "young_lost")
SIDES = ("in", "out")
PARTS = ("counts", "neurons", "explored", "reliable")


@dataclass(frozen=True)
class Observation:
    """What was seen of one run; U updates, M moments, n neurons."""

    config: RunConfig
    steps_per_epoch: int
    steps: Array  # int64 [U]
    prune_rates: Array  # [U]
    counts: dict[str, Array]  # "fc1/in/degree": int16 [U, n], see SIDES and COUNTS
    moment_steps: Array  # int64 [M]; the topology is the one before that step's update
    neurons: dict[str, Array]  # "fc1/activation": float32 [M, n_out], see activation.MEASURES
    shapes: dict[str, tuple[int, ...]]
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


def load(path: Path) -> Observation:
    """Read an observation. Raises FileNotFoundError, and StoreError for a file that is damaged or not one."""
    arrays, head = files.read_arrays(path)
    try:
        if head["format"] != FORMAT:
            raise StoreError(f"{path} is not an observation of this version of regrow.")
        series: dict[str, Any] = {name: arrays[name] for name in ("steps", "prune_rates", "moment_steps")}
        parts: dict[str, Any] = {part: {name.removeprefix(f"{part}/"): array for name, array in arrays.items()
                                        if name.startswith(f"{part}/")} for part in PARTS}
        return Observation(config=RunConfig.from_record(head["config"]), steps_per_epoch=head["steps_per_epoch"],
                           shapes={name: tuple(shape) for name, shape in head["shapes"].items()},
                           provenance=head["provenance"], **parts, **series)
    except (ConfigError, KeyError, TypeError) as error:
        raise StoreError(f"{path} was written by another version of regrow ({error}).") from error
