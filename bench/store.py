"""What keeping a run costs: degrees, masks, checkpoints and the record, as a share of the paper's 300 epochs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bench.table import Table
from bench.timing import TIMED_COLUMNS, Timing, interleaved
from bench.workload import IMAGES, Training, config, images
from regrow import schedule, train
from regrow.data import steps_per_epoch
from regrow.engines.sparse import BLOCK, SparseEngine
from regrow.record import Recorder
from regrow.store import CHECKPOINT_SECONDS

COLUMNS = ("part", *TIMED_COLUMNS, "times_a_run", "seconds_a_run", "percent")
SIZES = {"tiny": {"rounds": 2, "steps": 2}, "full": {"rounds": 7, "steps": 40}}


def run(size: str) -> Table:
    """Momentum growth on the sparse engine at 95 %, whose checkpoints are the largest: they hold running averages."""
    run_config, dataset, rounds = config(size, 0.05, grow="momentum"), images(IMAGES[size]), SIZES[size]["rounds"]
    training = Training(run_config, dataset, "sparse")
    engine, recorder = training.engine, training.run.recorder
    assert isinstance(engine, SparseEngine)
    per_epoch = steps_per_epoch(len(dataset.train), run_config.batch_size)
    total = run_config.epochs * per_epoch
    updates = len(schedule.update_steps(run_config, total))
    shapes = {name: tuple(mask.shape) for name, mask in engine.masks.items()}

    def topology() -> None:
        recorder.topology(1, 0.5, engine.masks, engine.explored)

    def steps() -> None:
        for _ in range(SIZES[size]["steps"]):
            training.step()

    for _ in range(run_config.epochs):
        recorder.epoch(learning_rate=0.1, train_loss=1.0, val_accuracy=50.0, test_accuracy=50.0)
    step = interleaved({"step": steps}, rounds=rounds)["step"].median / SIZES[size]["steps"]
    for number in range(run_config.update_interval - BLOCK + 2, run_config.update_interval + 1):
        training.step(number)  # as many steps as momentum growth ever holds back: the largest checkpoint
    parts = {"degrees": interleaved({"": topology}, rounds=rounds, warm_up=0)[""]}
    while len(recorder.rows["steps"]) <= updates:
        topology()
    parts["masks"] = interleaved({"": lambda: Recorder().moment(1, engine.masks)}, rounds=rounds)[""]
    for _ in range(5):
        recorder.moment(1, engine.masks)
    with tempfile.TemporaryDirectory() as folder:
        saved, kept = Path(folder) / "checkpoint.npz", Path(folder) / "record.npz"
        parts["checkpoint"] = interleaved({"": lambda: train.save_checkpoint(training.run, saved, "sparse")},
                                          rounds=rounds)[""]
        parts["record"] = interleaved(
            {"": lambda: recorder.record(run_config, shapes, per_epoch, {}).save(kept)}, rounds=min(3, rounds))[""]
        megabytes = {f"{path.stem}, MB": path.stat().st_size / 1e6 for path in (saved, kept)}

    training_seconds = step * total
    counts = {"degrees": updates + 1, "masks": 6, "checkpoint": training_seconds / CHECKPOINT_SECONDS, "record": 1}
    rows: list[dict[str, Any]] = [{"part": "training step", **Timing((step,)).columns(), "repeats": rounds,
                                   "times_a_run": total, "seconds_a_run": training_seconds, "percent": 100.0}]
    for name, timing in parts.items():
        seconds = timing.median * counts[name]
        rows.append({"part": name, **timing.columns(), "times_a_run": counts[name], "seconds_a_run": seconds,
                     "percent": 100 * seconds / training_seconds})
    return Table("store", "keeping a run, against the time of its training steps alone", COLUMNS, rows,
                 {"overhead in all, percent": sum(row["percent"] for row in rows[1:]), **megabytes},
                 (f"Each part is timed by itself and counted as in a run of {run_config.epochs} epochs: degrees after "
                  f"every update, masks at six moments, a checkpoint every {CHECKPOINT_SECONDS:g} s, the record once.",
                  "Training steps are counted without dense gradients, updates and evaluation, so the true share is "
                  "smaller."))
