"""Training as a whole, data included: our loop against the usual one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.loader import loader_stream
from bench.table import Table
from bench.timing import TIMED_COLUMNS, interleaved
from bench.workload import IMAGES, STATIC, Training, config, images

COLUMNS = ("loop", "density", "images_per_second", "steps", *TIMED_COLUMNS, "times_usual")
SIZES: dict[str, dict[str, Any]] = {"tiny": {"rounds": 2, "calls": 1}, "full": {"rounds": 8, "calls": 25}}
USUAL, OURS = "DataLoader + masked-dense", "uint8 batches + sparse"


def run(size: str) -> Table:
    """Steps of an epoch in the middle of training, without topology updates on either side."""
    dataset, options, rows = images(IMAGES[size]), SIZES[size], []
    for density in (0.05, 0.01):
        run_config = config(size, density, **STATIC)
        ours = Training(run_config, dataset, "sparse")
        timings = interleaved({USUAL: _usual(size, density), OURS: ours.step}, **options, warm_up=2)
        rows += [{"loop": name, "density": density, "images_per_second": run_config.batch_size / timing.median,
                  "steps": options["rounds"] * options["calls"], **timing.columns(),
                  "times_usual": timings[USUAL].median / timing.median} for name, timing in timings.items()]
    ratios = {row["density"]: row["times_usual"] for row in rows if row["loop"] == OURS}
    return Table("end_to_end", "ms per step with its data, MLP, batch 128, one thread", COLUMNS, rows,
                 {f"times faster at density {density:g}": ratio for density, ratio in ratios.items()},
                 ("images_per_second comes from the median turn; `steps` were timed of each loop, in turns.",))


def _usual(size: str, density: float) -> Callable[[], None]:
    """The same masked-dense step, fed by a DataLoader."""
    run_config, dataset = config(size, density, **STATIC), images(IMAGES[size])
    dense = Training(run_config, dataset, "dense")
    dense.batches = loader_stream(dataset, run_config.batch_size)
    return dense.step
