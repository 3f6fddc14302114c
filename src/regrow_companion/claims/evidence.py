"""From what claims are judged: records of full-scale runs and the tables derived from them, never the quick profile.

`Evidence` hands out one number per seed, from whatever seeds there are. It can be read in other ways (READINGS): the
same predicates then see other runs, another epoch, other images or each layer by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from regrow.config import RunConfig
from regrow.errors import NotRecorded
from regrow.metrics import k_shells
from regrow.record import Record
from regrow.store import Store
from regrow_companion import study, tail_tables
from regrow_companion.claims.effects import NotMeasured
from regrow_companion.section8 import cases
from regrow_companion.section8 import nb18_mechanism as mechanism

READINGS: dict[str, dict[str, Any]] = {
    "black border": {"changed": study.BLACK}, "constants of SNFS's code": {"changed": study.SNFS},
    "best-validation checkpoint": {"epoch": "best validation"}, "test images": {"test": True},
    "each layer alone": {"split": True}}
BORDER, CONSTANTS, CHECKPOINT, TEST, LAYERS = READINGS
PROTOCOLS = (BORDER, CONSTANTS)  # of CIFAR-10's images
PAPER = {rule: RunConfig(dataset="cifar10", grow=rule) for rule in study.STRATEGIES}  # Sections 5.3 and 5.4


@dataclass(frozen=True)
class Evidence:
    """Runs of the paper profile in a store, in one reading. A table or record is read once for all readings."""

    store: Store
    changed: Mapping[str, Any] = field(default_factory=dict)  # what is another in runs on CIFAR-10
    epoch: str = "last"  # which one counts, see record.READINGS
    test: bool = False  # test images even where they are partly JPEG
    split: bool = False  # each hidden layer by itself instead of all hidden neurons together
    cache: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def reading(self, name: str) -> Evidence:
        """The same runs read in another way; a name of READINGS."""
        return replace(self, **READINGS[name])

    # ---- runs

    def record(self, config: RunConfig) -> Record | None:
        """The record of exactly this run, or None."""
        if config not in self.cache:
            self.cache[config] = self.store.get(config)
        found: Record | None = self.cache[config]
        return found

    def records(self, config: RunConfig, whole: bool = False) -> dict[int, Record]:
        """The records of a run by seed; `whole` ones have degrees at every update. Raises NotMeasured without any."""
        if config.dataset == "cifar10":
            config = config.but(**self.changed)
        found = {seed: record for seed in study.SEEDS if (record := self.record(config.but(seed=seed))) is not None
                 and not (whole and len(record.steps) <= 2)}
        if not found:
            raise NotMeasured(config.but(seed=0))
        return found

    def images(self, dataset: str) -> str:
        """On which images accuracy counts: CIFAR-10's test images here are partly JPEG, its validation images not."""
        return "validation" if dataset == "cifar10" and not self.test else "test"

    def accuracy(self, config: RunConfig) -> pd.Series:
        """Accuracies in percent by seed."""
        images = self.images(config.dataset)
        return pd.Series({seed: float(getattr(record.accuracy(self.epoch), images))
                          for seed, record in self.records(config).items()})

    def from_courses(self, config: RunConfig, measure: Callable[[np.ndarray], float]) -> pd.Series:
        """`measure` of the validation accuracies in percent after every epoch, by seed."""
        return pd.Series({seed: measure(record.val_accuracy) for seed, record in self.records(config).items()})

    # ---- wiring of the MLP on CIFAR-10

    def per_seed(self, rule: str, measure: Callable[[Record], Any], *, whole: bool = True) -> pd.Series:
        """`measure` of the topology run of every seed under a growth rule; of its end alone unless `whole`."""
        return pd.Series({seed: measure(record) for seed, record in self.records(PAPER[rule], whole).items()})

    def by_layer(self, rule: str, measure: Callable[[np.ndarray, Record], Any], *,
                 whole: bool = True) -> Iterator[tuple[str, pd.Series]]:
        """The same of the hidden degrees [updates + 1, n] and the record, with the end of a label: all hidden neurons
        together, or each layer."""
        if not self.split:
            yield "", self.per_seed(rule, lambda record: measure(record.hidden_degrees(), record), whole=whole)
            return
        records = self.records(PAPER[rule], whole)
        layers = {seed: record.hidden_layer_degrees() for seed, record in records.items()}
        for at in range(len(next(iter(layers.values())))):
            yield f", hidden {at + 1}", pd.Series({seed: measure(layers[seed][at], records[seed]) for seed in layers})

    def beside_random(self, rule: str, measure: Callable[[np.ndarray, Record], Any], *,
                      whole: bool = True) -> Iterator[tuple[str, pd.Series, pd.Series]]:
        """`by_layer` of a rule and of random growth."""
        both = (self.by_layer(name, measure, whole=whole) for name in (rule, "random"))
        return ((label, ours, random) for (label, ours), (_, random) in zip(*both, strict=True))

    def shells(self, record: Record, moment: int) -> list[np.ndarray]:
        """Shells of all neurons at a moment, one array per node layer. Raises NotMeasured without the masks."""
        key = ("shells", record.key, moment)
        if key not in self.cache:
            if not all(len(packed) for packed in record.packed_masks.values()):
                raise NotMeasured(record.config)
            self.cache[key] = k_shells(record.masks(moment).values())
        found: list[np.ndarray] = self.cache[key]
        return found

    # ---- tables

    def tails(self, rule: str, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
        """A column of the power-law tables, [seeds, updates], of all hidden neurons together or of each layer."""
        table = self._tail_table(rule)
        layers = sorted(set(table["layer"]) - {tail_tables.POOLED}) if self.split else [tail_tables.POOLED]
        for layer in layers:
            chosen = table[table["layer"] == layer]
            yield f", {layer}" if self.split else "", chosen.pivot(index="seed", columns="update", values=column)

    def _tail_table(self, rule: str) -> pd.DataFrame:
        key = ("tails", rule, *self.changed.items())
        if key not in self.cache:
            folders = [root / tail_tables.FOLDER for root in (self.store.root, *self.store.read_also)]
            there = [record for record in self.records(PAPER[rule]).values()
                     if tail_tables.find(record, tail_tables.tail_settings(record, "paper"), folders)]
            self.cache[key] = tail_tables.tails(there, "paper", self.store) if there else None
        table: pd.DataFrame | None = self.cache[key]
        if table is None:
            raise NotMeasured("tails", PAPER[rule])
        return table

    def watched(self, table: str) -> pd.DataFrame:
        """A table of the watched runs (notebook 18), with the columns strategy and seed."""
        if "watched" not in self.cache:
            shipped = self.store.read_also[0] if self.store.read_also else self.store.root
            try:
                self.cache["watched"] = cases.tables(mechanism.experiment(self.store.root), "paper", self.store.root,
                                                     shipped)
            except NotRecorded:
                self.cache["watched"] = None
        if self.cache["watched"] is None:
            raise NotMeasured("watched", *PAPER.values())
        frame: pd.DataFrame = self.cache["watched"][table]
        return frame


def at(record: Record, fraction: float) -> int:
    """Index of the last update at or before a fraction of training."""
    return int(np.searchsorted(record.steps, fraction * record.steps[-1], side="right")) - 1
