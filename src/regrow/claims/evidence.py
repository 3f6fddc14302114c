"""What claims are decided from: full-scale records and the tables derived from them. Never the quick profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from regrow import derived, study
from regrow.config import RunConfig
from regrow.metrics import k_shells
from regrow.record import Record
from regrow.store import Store


class NotMeasured(Exception):
    """Some of the records that a claim needs are not there."""


@dataclass
class Evidence:
    """Records of the paper profile, by growth rule, seeds in order."""

    store: Store
    _shells: dict[tuple[str, int], list[np.ndarray]] = field(default_factory=dict)

    @cached_property
    def topology(self) -> dict[str, list[Record]]:
        """The 15 runs of Sections 5.3 and 5.4."""
        return study.by_method(self.all("fig05"))

    @cached_property
    def tails(self) -> pd.DataFrame:
        """Their power-law statistics, see tail_series.tables; all of them or none."""
        records = self.all("fig07")
        if not derived.complete(records, "paper", self.store):
            raise NotMeasured
        return derived.tails(records, "paper", self.store)

    def all(self, need: str) -> list[Record]:
        """Every record of a need; NotMeasured if one is missing."""
        return [self._record(config) for config in study.runs(need, "paper")]

    def accuracy(self, config: RunConfig) -> np.ndarray:
        """Final test accuracies in percent of a run over its five seeds; NotMeasured if one is missing."""
        return np.array([float(self._record(config.but(seed=seed)).test_accuracy[-1]) for seed in study.SEEDS])

    def per_seed(self, rule: str, measure: Callable[[Record], Any]) -> np.ndarray:
        """`measure` of each seed's topology run under a growth rule: [seeds, ...]."""
        return np.array([measure(record) for record in self.topology[rule]])

    def shells(self, record: Record, moment: int) -> list[np.ndarray]:
        """Shells of all neurons at a moment, one array per node layer."""
        key = (record.key, moment)
        if key not in self._shells:
            self._shells[key] = k_shells(record.masks(moment).values())
        return self._shells[key]

    def _record(self, config: RunConfig) -> Record:
        record = self.store.get(config)
        if record is None:
            raise NotMeasured
        return record


def at(record: Record, fraction: float) -> int:
    """Index of the last update at or before a fraction of training."""
    return int(np.searchsorted(record.steps, fraction * record.steps[-1], side="right")) - 1
