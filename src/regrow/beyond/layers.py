"""`python -m regrow beyond layers`: networks whose layers trade connections, and networks that grow (Section 8).

The paper keeps the number of connections of every layer and the neurons as they are. Here each growth rule trains the
same MLP in four kinds: fixed (the paper's, as control), by momentum and by magnitude (`redistribution`), and growing
(`growing`). Is attachment preferential there too, and is it linear?

The paper profile is the paper's MLP and data for 30 epochs instead of 300, with two seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from regrow import data, provenance, schedule, study
from regrow.beyond import attachment
from regrow.beyond.cases import Case, Experiment, Tables, Tell
from regrow.beyond.growing import GrowingEngine, births
from regrow.beyond.observation import Observation
from regrow.beyond.observer import WatchedEngine, observe
from regrow.beyond.redistribution import MagnitudeEngine, MomentumEngine
from regrow.config import RunConfig, nearest
from regrow.cost import total_steps
from regrow.errors import ConfigError
from regrow.metrics import dormant_counts, total_degrees
from regrow.record import Record

ENGINES: dict[str, type[WatchedEngine]] = {"fixed": WatchedEngine, "momentum": MomentumEngine,
                                           "magnitude": MagnitudeEngine, "growing": GrowingEngine}
NAMES = {"fixed": "fixed layers", "momentum": "traded by momentum", "magnitude": "traded by magnitude",
         "growing": "neurons are born"}
TABLES = ("exponents", "layers", "ages", "accuracy")
SEEDS = {"quick": (0,), "paper": (0, 1)}
SETTINGS: dict[str, dict[str, Any]] = {"quick": study.QUICK_MLP | {"epochs": 10}, "paper": study.SHORT}


@dataclass(frozen=True)
class LayersCase(Case):
    """One run in one of the kinds. Raises ConfigError for a kind that does not exist."""

    kind: str

    def __post_init__(self) -> None:
        if self.kind not in ENGINES:
            raise ConfigError(f"There is no kind {self.kind!r}{nearest(self.kind, ENGINES)}.")

    @property
    def labels(self) -> dict[str, Any]:
        return {"kind": self.kind, "strategy": self.run.method, "seed": self.run.seed}


def cases(profile: str) -> list[LayersCase]:
    """Every kind with every growth rule, seed by seed; random growth has no momentum to redistribute by."""
    return [LayersCase(RunConfig(**SETTINGS[profile], grow=grow, seed=seed), kind) for seed in SEEDS[profile]
            for kind in ENGINES for grow in study.STRATEGIES if (kind, grow) != ("momentum", "random")]


def perform(case: LayersCase, root: Path | None, tell: Tell) -> tuple[Tables, dict[str, Any]]:
    """Train and watch one case."""
    run = case.run
    images = data.load_for(run, root=root)
    made = provenance.of_run(device="cpu", engine="sparse", threads=1, data_sha256=images.sha256)
    record, seen = observe(run, images, engine=ENGINES[case.kind], progress=tell, provenance=made)
    return tables(case, record, seen), seen.provenance


def tables(case: LayersCase, record: Record, seen: Observation) -> Tables:
    """What is kept of a case.

    exponents is that of attachment.exponents; see `over_time` and `ages` for layers and ages; accuracy is one row:
    validation and test, percent at the end.
    """
    born = birth_updates(case, record)
    accuracy = pd.DataFrame({"validation": record.val_accuracy[-1:], "test": record.test_accuracy[-1:]})
    places = born_places(record, born) if case.kind == "growing" else None
    return {"exponents": attachment.exponents(seen, places), "layers": over_time(record, born),
            "ages": ages(record, born), "accuracy": accuracy}


def birth_updates(case: LayersCase, record: Record) -> dict[str, NDArray[np.intp]]:
    """The update at which each neuron above a layer was born, [n_out]; 0 is before training."""
    total = case.run.epochs * record.steps_per_epoch
    updates = schedule.update_steps(case.run, total)
    born = {name: np.zeros(shape[0], np.intp) for name, shape in record.shapes.items()}
    if case.kind == "growing":
        born |= {name: births(len(born[name]), updates, total) for name in record.layers[:-1]}
    return born


def born_places(record: Record, born: dict[str, NDArray[np.intp]]) -> dict[tuple[str, str], ArrayLike]:
    """Places beside a neuron on either side of each layer, [U, 1]: the neurons that are born there at each update."""
    updates = np.arange(1, len(record.steps))[:, None]
    places: dict[tuple[str, str], ArrayLike] = {}
    below: ArrayLike = next(iter(record.shapes.values()))[1]
    for name in record.layers:
        above = (born[name] <= updates).sum(axis=1, keepdims=True)
        places |= {(name, "in"): below, (name, "out"): above}
        below = above
    return places


def over_time(record: Record, born: dict[str, NDArray[np.intp]]) -> pd.DataFrame:
    """Each layer before training and after every update, and the neurons above it.

    Columns: step, epoch, layer, connections, density (of all its places), nodes, neurons (born until then), low and
    dormant (how many of them have a total degree of at most the low threshold of the paper, scaled), largest (degree).
    """
    low = record.thresholds.low
    degrees = dict(zip(record.layers, total_degrees(record.in_degree, record.out_degree, record.layers)[1:],
                       strict=True))
    rows = []
    for u, step in enumerate(record.steps):
        for name, nodes in _nodes(record).items():
            there, count = degrees[name][u][born[name] <= u], int(record.in_degree[name][u].sum(dtype=np.int64))
            rows.append({"step": int(step), "epoch": step / record.steps_per_epoch, "layer": name,
                         "connections": count, "density": count / prod(record.shapes[name]), "nodes": nodes,
                         "neurons": len(there), "low": low, "dormant": int(dormant_counts(there, low)),
                         "largest": int(there.max())})
    return pd.DataFrame(rows)


def ages(record: Record, born: dict[str, NDArray[np.intp]]) -> pd.DataFrame:
    """Every hidden neuron at the end of training, and when it was born.

    Columns: layer, nodes, neuron, birth (the update, 0 before training), birth_epoch, rank (neurons there were after
    its birth), in_degree, degree (total).
    """
    degrees = total_degrees(record.in_degree, record.out_degree, record.layers)[1:]
    parts = []
    for (name, nodes), degree in zip(list(_nodes(record).items())[:-1], degrees, strict=False):
        birth = born[name]
        parts.append(pd.DataFrame({
            "layer": name, "nodes": nodes, "neuron": np.arange(len(birth)), "birth": birth,
            "birth_epoch": record.epochs_at[birth], "rank": np.searchsorted(birth, birth, side="right"),
            "in_degree": record.in_degree[name][-1], "degree": degree[-1]}))
    return pd.concat(parts, ignore_index=True)


def _nodes(record: Record) -> dict[str, str]:
    """What the neurons above each layer are called."""
    hidden = [f"hidden {i}" for i in range(1, len(record.layers))]
    return dict(zip(record.layers, [*hidden, "output"], strict=True))


EXPERIMENT = Experiment("layers", cases, perform, lambda case: total_steps(case.run), TABLES)
