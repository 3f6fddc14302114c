"""What the widgets show unless they are given something: shipped full-scale runs, or small ones trained on the spot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.config import RunConfig
from regrow.record import Record
from regrow.store import Store
from regrow_companion import study

SMALL = {"hidden": (60, 30), "epochs": 6, "batch_size": 64, "train_limit": 1920, "update_interval": 6}


@cache
def records() -> tuple[Record, ...]:
    """The paper's MLP on CIFAR-10 with each growth rule, from results/, all seeds that every rule has; or else
    `small_records`."""
    store = Store(study.default_store("paper"), read_also=(study.SHIPPED,))
    wanted = study.runs("topology", "paper")
    found = [record for config in wanted if (record := store.get(config)) is not None]
    groups = study.by_method(found).values()
    seeds = set.intersection(*({record.config.seed for record in group} for group in groups)) if groups else set()
    whole = {config.method for config in wanted} == {record.config.method for record in found} and seeds
    return tuple(record for record in found if record.config.seed in seeds) if whole else small_records()


@cache
def small_records() -> tuple[Record, ...]:
    """A 784-60-30-10 network trained with each growth rule for six short epochs, a second each; nothing is stored."""
    from regrow import data, train  # torch and numba, for the few widgets that train

    changes: dict[str, Any] = SMALL
    configs = [RunConfig(**changes, grow=grow) for grow in study.growth_rules()]
    images = data.load(configs[0].dataset, image_format=configs[0].image_format, train_limit=configs[0].train_limit)
    return tuple(train.finish(train.start(config, images, engine="auto"), images) for config in configs)


def named(runs: Sequence[Record]) -> str:
    """'1024-512 MLP on cifar10, 300 epochs' with 'seeds: 5' where there are several."""
    config, seeds = runs[0].config, len({record.config.seed for record in runs})
    sizes = "-".join(str(shape[0]) for shape in list(runs[0].shapes.values())[:-1])
    network = f"{config.model.upper()} {sizes}" if config.model == "mlp" else config.model
    return f"{network}, {config.dataset}, {config.epochs} epochs" + (f", {seeds} seeds" if seeds > 1 else "")


def final_degrees(runs: Sequence[Record]) -> Mapping[str, NDArray[np.int64]]:
    """Total degrees of the hidden neurons at the end of training, by growth rule; of the first seed."""

    return {method: group[0].hidden_degrees(-1).astype(np.int64) for method, group in study.by_method(runs).items()}
