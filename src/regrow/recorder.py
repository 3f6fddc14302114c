"""Collects what records keep while runs go on; its contents travel in checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from regrow.config import RunConfig
from regrow.metrics import in_degree, out_degree
from regrow.record import Record, pack


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
            for kind, degree in (("in_degree", in_degree(mask)), ("out_degree", out_degree(mask))):
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


def percent(correct: int, total: int) -> float:
    """Accuracy in percent; nan for an empty set."""
    return 100 * correct / total if total else math.nan
