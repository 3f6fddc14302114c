"""The data pipeline alone: batched uint8 tensors against one PIL image at a time."""

from __future__ import annotations

from typing import Any

from bench.loader import loader_stream
from bench.table import Table
from bench.timing import TIMED_COLUMNS, interleaved
from bench.workload import IMAGES, config, images, stream

COLUMNS = ("pipeline", "images_per_second", *TIMED_COLUMNS)
SIZES: dict[str, dict[str, Any]] = {"tiny": {"rounds": 2, "calls": 1}, "full": {"rounds": 9, "calls": 15}}


def run(size: str) -> Table:
    """Random crop with padding, random flip, normalise; batches of 128."""
    run_config, dataset = config(size, 0.05), images(IMAGES[size])
    batch = run_config.batch_size
    ours, usual = stream(dataset, run_config), loader_stream(dataset, batch)
    timings = interleaved({"batched uint8": lambda: next(ours), "DataLoader + torchvision": lambda: next(usual)},
                          **SIZES[size])
    rows = [{"pipeline": name, "images_per_second": batch / timing.median, **timing.columns()}
            for name, timing in timings.items()]
    return Table("pipeline", f"ms per batch of {batch}: gather, crop, flip, normalise; one thread", COLUMNS, rows,
                 {"times faster": rows[0]["images_per_second"] / rows[1]["images_per_second"]},
                 ("DataLoader: num_workers=0, PIL, RandomCrop(32, padding=4), RandomHorizontalFlip, ToTensor, "
                  "Normalize.",))
