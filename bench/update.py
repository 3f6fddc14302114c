"""What rewiring costs beside the steps between two updates, and what the dense gradients for it cost."""

from __future__ import annotations

from typing import Any

from bench.table import Table
from bench.timing import interleaved
from bench.workload import IMAGES, Training, config, images
from regrow.engines.sparse import SparseEngine, window
from regrow_companion.study import STRATEGIES

COLUMNS = ("growth", "steps_ms", "update_ms", "update_ms_q1", "update_ms_q3", "update_percent", "gradient_steps",
           "gradient_ms", "gradient_percent", "repeats")
SIZES: dict[str, dict[str, int]] = {"tiny": {"rounds": 2, "steps": 2}, "full": {"rounds": 5, "steps": 40}}
PLAIN = 1  # the number of a step that is too far from an update for any rule to look at its gradient


def run(size: str) -> Table:
    """Each growth rule on the sparse engine at 95 % sparsity; the first update, which rewires the most (p = 0.5)."""
    rows = [_row(size, growth, **SIZES[size]) for growth in STRATEGIES]
    worst = max(row["update_percent"] for row in rows)
    return Table("update", "cost of a topology update on the sparse engine, density 0.05, one thread", COLUMNS, rows,
                 {"dearest update, percent of the steps before it": worst},
                 ("steps_ms: 400 steps without any dense gradient. gradient_ms: the dense gradients of the "
                  "gradient_steps steps that a rule looks at, once per update; not part of update_ms.",))


def _row(size: str, growth: str, rounds: int, steps: int) -> dict[str, Any]:
    run_config = config(size, 0.05, grow=growth)
    training = Training(run_config, images(IMAGES[size]), "sparse")
    engine, interval = training.engine, run_config.update_interval
    assert isinstance(engine, SparseEngine)
    remembered = {"gradient": 1, "momentum": min(window(run_config.growth_beta), interval)}.get(growth, 0)

    def flush() -> None:
        for average in engine.averages.values():
            average.flush()

    def with_gradients() -> None:
        for number in range(interval - remembered + 1, interval + 1):
            training.step(number)
        flush()

    def plain() -> None:
        for _ in range(remembered):
            training.step(PLAIN)

    def some_steps() -> None:
        for _ in range(steps):
            training.step(PLAIN)

    def prepare() -> None:
        training.step(PLAIN)
        with_gradients()

    step = interleaved({"steps": some_steps}, rounds=rounds)["steps"].median / steps
    dense = 0.0
    if remembered:
        timings = interleaved({"plain": plain, "dense": with_gradients}, rounds=rounds,
                              calls=max(1, steps // remembered))
        dense = timings["dense"].median - timings["plain"].median
    update = interleaved({"update": lambda: engine.update(interval)}, rounds=rounds, warm_up=0,
                         prepare=prepare)["update"].columns()
    before = 1e3 * step * interval
    return {"growth": growth, "steps_ms": before, "update_ms": update["ms"], "update_ms_q1": update["ms_q1"],
            "update_ms_q3": update["ms_q3"], "update_percent": 100 * update["ms"] / before,
            "gradient_steps": remembered, "gradient_ms": 1e3 * dense, "gradient_percent": 1e5 * dense / before,
            "repeats": rounds}
