"""The moving picture of the first page: three networks with one start, rewired by three growth rules."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regrow.record import Record
from regrow.store import Store
from regrow_companion.plots.nb00_tour import GRID
from regrow_companion.study import SHIPPED, by_method, default_store, runs
from regrow_companion.style import style_of

FIRST, FRAMES = 8, 48  # updates shown one by one, when hubs come, and how many moments are shown in all
STEPS = 4.0  # a byte holds a square root in quarters: degrees up to 4,063, and rounded by a twentieth of a dot's width


def shipped() -> list[Record]:
    """The full-scale runs whose wiring the repository ships; [] where they are not all there, as in a wheel."""
    store = Store(default_store("paper"), read_also=(SHIPPED,))
    found = [store.get(config) for config in runs("topology", "replay")]
    return [record for record in found if record] if all(found) else []


def moving_picture(records: Iterable[Record]) -> dict[str, Any] | None:
    """What the page's script draws, JSON-ready; None without records.

    Per growth rule the run of the first seed: in-degrees of hidden 1 at every moment, base64 of one byte for each of
    [moments, neurons], which is STEPS times their square root; the largest, the number of neurons at 10 or less; and
    the mean test accuracy of all seeds after the last epoch, in percent.
    """
    groups = by_method(records)
    if not groups:
        return None
    first = next(iter(groups.values()))[0]
    layer = first.layers[0]
    moments = _moments(len(first.steps))
    rules = []
    for rule, group in groups.items():
        degrees = group[0].in_degree[layer][moments]
        rules.append({"name": rule, "colour": style_of(rule).colour, "degrees": _bytes(degrees),
                      "largest": degrees.max(axis=1).tolist(), "poor": (degrees <= 10).sum(axis=1).tolist(),
                      "accuracy": round(float(np.mean([record.test_accuracy[-1] for record in group])), 1)})
    return {"rules": rules, "epochs": np.round(first.epochs_at[moments], 1).tolist(), "steps": STEPS, "grid": GRID,
            "neurons": len(first.in_degree[layer][0]), "connections": first.connections[layer],
            "seeds": len(next(iter(groups.values())))}


def _moments(n: int) -> NDArray[np.int64]:
    """Which of n topologies are shown: the first ones all, the others evenly spread."""
    late = np.linspace(min(FIRST, n - 1), n - 1, FRAMES - FIRST).round().astype(np.int64)
    return np.unique(np.concatenate([np.arange(min(FIRST, n)), late]))


def _bytes(degrees: NDArray[Any]) -> str:
    return base64.b64encode(np.minimum(np.rint(STEPS * np.sqrt(degrees)), 255).astype(np.uint8).tobytes()).decode()
