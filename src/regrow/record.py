"""What is kept of a run: accuracies, degrees at every topology update, masks at six moments; and who collects it.

Reading a record takes no torch, and no pickle.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from regrow import files, metrics
from regrow.config import RunConfig, nearest
from regrow.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "regrow record 1"
Array = np.ndarray
# Which epoch of a run counts. The paper does not say which one it took; none is ever chosen on test data.
READINGS = {
    "last": "after the last epoch",
    "best validation": "after the epoch with the highest validation accuracy, the first of them in a tie",
}


@dataclass(frozen=True)
class Moment:
    """A moment of training whose masks are kept. `step` counts optimizer steps, `epoch` is step / steps per epoch."""

    step: int
    epoch: float

    @property
    def label(self) -> str:
        return "before training" if self.step == 0 else f"epoch {self.epoch:.3g}"


@dataclass(frozen=True)
class Accuracy:
    """What a classifier scores at the epoch that counts, in percent; nan where there is nothing to score."""

    epoch: int  # from 1; 0 if no epoch counts
    validation: float
    test: float


@dataclass(frozen=True)
class Record:
    """One finished run. U = number of topology updates; index 0 of a series is the network before training."""

    config: RunConfig
    shapes: dict[str, tuple[int, ...]]  # maskable layers in forward order: (n_out, n_in[, h, w])
    steps_per_epoch: int
    learning_rate: Array  # [epochs]
    train_loss: Array  # [epochs], mean over the epoch's batches
    val_accuracy: Array  # [epochs], percent; nan for Boltzmann machines
    test_accuracy: Array  # [epochs], the same; `accuracy` says which one counts
    steps: Array  # int64 [U+1]
    prune_rates: Array  # [U+1], nan before training
    in_degree: dict[str, Array]  # int16 (int32 where that is too small) [U+1, n_out]
    out_degree: dict[str, Array]  # the same [U+1, n_in]
    explored: dict[str, Array]  # int64 [U+1], connections ever active (in-time over-parameterisation)
    moment_steps: Array  # int64 [6]
    packed_masks: dict[str, Array]  # uint8 [6, ceil(size / 8)]
    measures: dict[str, Array] = field(default_factory=dict)  # [epochs] each, of Boltzmann machines: rbm.MEASURES
    final: dict[str, Array] = field(default_factory=dict)  # theirs at the end: rbm.FINAL
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_key", self.config.key)  # later, a user's rule of that name may be another one

    @property
    def key(self) -> str:
        return str(vars(self)["_key"])

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.shapes)

    @property
    def epochs_at(self) -> Array:
        """Epochs [U+1] at which the degrees were taken."""
        return self.steps / self.steps_per_epoch

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Before training, and the paper's five moments scaled to this run's length."""
        return tuple(Moment(int(step), float(step) / self.steps_per_epoch) for step in self.moment_steps)

    @property
    def mask_moments(self) -> tuple[int, ...]:
        """The moments whose masks can be had: all six here."""
        return tuple(range(len(self.moment_steps)))

    def update_at(self, moment: int) -> int:
        """Index into `steps` of the topology in force at a moment: that of the last update until then."""
        return int(np.searchsorted(self.steps, self.moment_steps[moment], side="right")) - 1

    def input_degrees(self) -> Array:
        """Out-degree of every input neuron at the six moments, [6, n_in]."""
        updates = [self.update_at(moment) for moment in range(len(self.moment_steps))]
        return self.out_degree[self.layers[0]][updates]

    def input_paths(self) -> Array:
        """Paths input -> hidden 1 -> hidden 2 from every input neuron at the six moments, int64 [6, n_in].

        For networks of fully connected layers.
        """
        counts = []
        for moment in range(len(self.moment_steps)):
            first, second, *_ = self.masks(moment).values()
            counts.append(metrics.path_counts(first, second))
        return np.stack(counts)

    @property
    def connections(self) -> dict[str, int]:
        """Number of connections per layer; it never changes."""
        return {name: int(self.in_degree[name][0].sum(dtype=np.int64)) for name in self.shapes}

    def hidden_layer_degrees(self, update: Any = slice(None)) -> list[Array]:
        """Total degrees of every hidden layer at all updates, [U+1, n] each, or at some (Section 4.5)."""
        return metrics.hidden_layer_degrees(*self._degrees_at(update), self.layers)

    def hidden_degrees(self, update: Any = slice(None)) -> Array:
        """The same of all hidden neurons side by side, [U+1, n_hidden] or [n_hidden]."""
        return metrics.hidden_degrees(*self._degrees_at(update), self.layers)

    def _degrees_at(self, update: Any) -> tuple[dict[str, Array], dict[str, Array]]:
        received, sent = ({name: degrees[update] for name, degrees in side.items()}
                          for side in (self.in_degree, self.out_degree))
        return received, sent

    @property
    def thresholds(self) -> metrics.Thresholds:
        """Degrees at or below which a neuron counts as dormant, and where the tail begins (Section 5.4)."""
        return metrics.network_thresholds(self.shapes, self.connections)

    @property
    def total_weights(self) -> int:
        """Maskable weights, connected or not."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def diverged(self) -> bool:
        """The loss became NaN or infinite."""
        return not bool(np.isfinite(self.train_loss).all())

    @property
    def collapsed(self) -> bool:
        """The final test accuracy is at chance, up to half as much again (for example 1.5 % with 100 classes).

        Never true of a Boltzmann machine, which has no accuracy; it may have diverged.
        """
        if self.config.is_rbm:
            return False
        classes = list(self.shapes.values())[-1][0]
        return self.diverged or _at_chance(float(self.test_accuracy[-1]), classes)

    def accuracy(self, reading: str = "last") -> Accuracy:
        """Validation and test accuracy at the epoch that counts under one of READINGS.

        A run that diverged counts with what it had at its best epoch, as a checkpoint of that epoch would. A Boltzmann
        machine has no accuracy, and a run that was never validated no best epoch. Raises ConfigError for another
        reading.
        """
        if reading not in READINGS:
            raise ConfigError(f"There is no reading {reading!r}{nearest(reading, READINGS)}.")
        scored = ~np.isnan(self.test_accuracy if reading == "last" else self.val_accuracy)
        if self.config.is_rbm or not scored.any():
            return Accuracy(0, math.nan, math.nan)
        at = len(scored) - 1 if reading == "last" else int(np.nanargmax(self.val_accuracy))
        return Accuracy(at + 1, float(self.val_accuracy[at]), float(self.test_accuracy[at]))

    def results(self) -> dict[str, Array]:
        """What there is to say per epoch: the accuracies of a classifier, or the measures of a Boltzmann machine."""
        return self.measures or {"val_accuracy": self.val_accuracy, "test_accuracy": self.test_accuracy}

    def masks(self, moment: int) -> dict[str, Array]:
        """Boolean masks per layer at a moment, 0 = before training, 5 = end."""
        return unpacked({name: packed[moment] for name, packed in self.packed_masks.items()}, self.shapes)

    @property
    def result_sha256(self) -> str:
        """Checksum of everything but the provenance: equal for two runs that came out bit for bit the same."""
        return files.digest(self.arrays(), self.head())

    def head(self) -> dict[str, Any]:
        """What the file says of the run besides its arrays and provenance."""
        return {"format": FORMAT, "key": self.key, "config": self.config.to_dict(),
                "shapes": {name: list(shape) for name, shape in self.shapes.items()},
                "layers": list(self.shapes), "steps_per_epoch": self.steps_per_epoch}

    def arrays(self) -> dict[str, Array]:
        """Every series under the name that it has in the file."""
        arrays = {name: getattr(self, name) for name in _SERIES}
        for name in _PER_LAYER + _OF_RBMS:
            arrays |= {f"{name}/{part}": array for part, array in getattr(self, name).items()}
        return arrays

    def save(self, path: Path) -> None:
        """Write to `path` (.npz) atomically. Raises StoreError if the disk is full or the folder not writable."""
        files.write_arrays(path, self.arrays(), self.head() | {"provenance": self.provenance}, zipfile.ZIP_DEFLATED)


def _at_chance(accuracy: float, classes: int) -> bool:
    return accuracy <= 1.5 * 100.0 / classes


_SERIES = ("learning_rate", "train_loss", "val_accuracy", "test_accuracy", "steps", "prune_rates", "moment_steps")
_PER_LAYER = ("in_degree", "out_degree", "explored", "packed_masks")
_OF_RBMS = ("measures", "final")  # empty for classifiers, whose files do not mention them


def load(path: Path) -> Record:
    """Read a record. Raises StoreError, in one sentence, if it is damaged, foreign or of another version."""
    return decode(path, *files.read_arrays(path))


def misfortune(path: Path) -> str:
    """How the run of a record, compact or not, went wrong by itself: "diverged", "collapsed" or "".

    Looks at two series and the head only, a thirtieth of the time of reading and checking the whole. A file that cannot
    be read says "": whoever reads it in earnest will tell.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            head = json.loads(bytes(file[files.HEAD]))
            if not np.isfinite(file["train_loss"]).all():
                return "diverged"
            accuracy, classes = file["test_accuracy"], head["shapes"][head["layers"][-1]][0]
            rbm = RunConfig.from_record(head["config"]).is_rbm
            return "collapsed" if not rbm and _at_chance(float(accuracy[-1]), classes) else ""
    except Exception:  # damaged bytes reach many parsers
        return ""


def decode(path: Path, arrays: dict[str, Array], head: dict[str, Any]) -> Record:
    """A record from the contents of its file; `path` is for messages."""
    if head.get("format") != FORMAT:
        raise StoreError(f"{path} is not a record of this version of regrow.")
    try:
        config = RunConfig.from_record(head["config"])
        parts: dict[str, Any] = {name: {layer: arrays[f"{name}/{layer}"] for layer in head["layers"]}
                                 for name in _PER_LAYER}
        parts |= {name: arrays[name] for name in _SERIES}
        parts |= {name: {key.removeprefix(f"{name}/"): array for key, array in arrays.items()
                         if key.startswith(f"{name}/")} for name in _OF_RBMS}
        record = Record(config=config, shapes={layer: tuple(head["shapes"][layer]) for layer in head["layers"]},
                        steps_per_epoch=head["steps_per_epoch"], provenance=head["provenance"], **parts)
    except (ConfigError, KeyError, TypeError) as error:
        raise StoreError(f"{path} was written by another version of regrow ({error}).") from error
    if record.key != head["key"]:
        raise StoreError(f"{path} holds a run whose key is {head['key']} there and {record.key} here.")
    return record


def pack(mask: Array) -> Array:
    """Bits of a boolean array, eight to a byte, row-major."""
    return np.packbits(mask.reshape(-1))


def unpacked(packed: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    """The inverse of `pack`, layer by layer."""
    return {name: np.unpackbits(packed[name], count=math.prod(shape)).view(bool).reshape(shape)
            for name, shape in shapes.items()}


def to_json(record: Record) -> str:
    """The result in a few numbers, for `--json`. A number that is not finite becomes null."""
    numbers = {name: float(series[-1]) for name, series in record.results().items()}
    return json.dumps({"key": record.key, "config": record.config.to_dict(), "connections": record.connections,
                       **{name: round(value, 4) if math.isfinite(value) else None for name, value in numbers.items()},
                       "diverged": record.diverged, "collapsed": record.collapsed,
                       "seconds": record.provenance.get("seconds")})


class Recorder:
    """Series that grow: one row an epoch, one row a topology update, one row a moment."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Any]] = {}

    def _add(self, name: str, value: Any, dtype: Any) -> None:
        self.rows.setdefault(name, []).append(np.asarray(value, dtype))

    def epoch(self, *, learning_rate: float, train_loss: float, val_accuracy: float, test_accuracy: float) -> None:
        """End of an epoch; accuracies in percent."""
        for name, value in (("learning_rate", learning_rate), ("train_loss", train_loss),
                            ("val_accuracy", val_accuracy), ("test_accuracy", test_accuracy)):
            self._add(name, value, np.float64)

    def measures(self, values: Mapping[str, float]) -> None:
        """End of an epoch of a Boltzmann machine."""
        for name, value in values.items():
            self._add(f"measures/{name}", value, np.float64)

    def topology(self, step: int, rate: float, masks: Mapping[str, Tensor], explored: Mapping[str, Tensor]) -> None:
        """Degrees after an update (or before training, with step 0)."""
        self._add("steps", step, np.int64)
        self._add("prune_rates", rate, np.float64)
        for name, mask in masks.items():
            for kind, degree in (("in_degree", metrics.in_degree(mask)), ("out_degree", metrics.out_degree(mask))):
                largest = mask.numel() // len(degree)
                self._add(f"{kind}/{name}", degree.cpu().numpy(), np.int16 if largest < 2**15 else np.int32)
            self._add(f"explored/{name}", int(explored[name].sum()), np.int64)

    def moment(self, step: int, masks: Mapping[str, Tensor]) -> None:
        """The masks themselves, at one of the six moments."""
        self._add("moment_steps", step, np.int64)
        for name, mask in masks.items():
            self._add(f"packed_masks/{name}", pack(mask.cpu().numpy()), np.uint8)

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: np.stack(rows) for name, rows in self.rows.items()}

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.rows = {name: list(array) for name, array in arrays.items()}

    def record(self, config: RunConfig, shapes: Mapping[str, tuple[int, ...]], steps_per_epoch: int,
               provenance: Mapping[str, Any], final: Mapping[str, Tensor] | None = None) -> Record:
        """The finished record; `final` is what it keeps of a Boltzmann machine."""
        series: dict[str, Any] = {"final": {name: value.cpu().numpy().copy() for name, value in (final or {}).items()}}
        for name, array in self.arrays().items():
            series_name, _, part = name.partition("/")  # a layer, or what is measured
            if part:
                series.setdefault(series_name, {})[part] = array
            else:
                series[name] = array
        return Record(config=config, shapes=dict(shapes), steps_per_epoch=steps_per_epoch,
                      provenance=dict(provenance), **series)


class Recorders:
    """The same verbs for runs that train together: every argument comes one per run, the step is common."""

    def __init__(self, runs: int) -> None:
        self.runs = [Recorder() for _ in range(runs)]

    def epoch(self, *, learning_rate: float, train_loss: Sequence[float], val_accuracy: Sequence[float],
              test_accuracy: Sequence[float]) -> None:
        for run, loss, val, test in zip(self.runs, train_loss, val_accuracy, test_accuracy, strict=True):
            run.epoch(learning_rate=learning_rate, train_loss=loss, val_accuracy=val, test_accuracy=test)

    def topology(self, step: int, rate: float, masks: Sequence[Mapping[str, Tensor]],
                 explored: Sequence[Mapping[str, Tensor]]) -> None:
        for run, mask, seen in zip(self.runs, masks, explored, strict=True):
            run.topology(step, rate, mask, seen)

    def moment(self, step: int, masks: Sequence[Mapping[str, Tensor]]) -> None:
        for run, mask in zip(self.runs, masks, strict=True):
            run.moment(step, mask)

    def arrays(self) -> dict[str, np.ndarray]:
        return {f"{i}/{name}": array for i, run in enumerate(self.runs) for name, array in run.arrays().items()}

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        for i, run in enumerate(self.runs):
            run.load_arrays({name.removeprefix(f"{i}/"): array for name, array in arrays.items()
                             if name.startswith(f"{i}/")})
