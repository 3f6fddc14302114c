"""results/runs.csv: every shipped record in a line, with its accuracies and where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from regrow import compact
from regrow.figures import write_atomically
from regrow.record import Record


def write_list(folder: Path) -> Path:
    """Write folder/runs.csv from folder/records and return its path."""
    records = [compact.load(path) for path in sorted((folder / "records").glob("*.npz"))]
    rows = pd.DataFrame([_row(record) for record in records])
    if len(rows):
        rows = rows.sort_values(["dataset", "model", "sparsity", "prune", "method", "seed"], kind="stable")
    path = folder / "runs.csv"
    write_atomically(path, rows.to_csv(index=False, lineterminator="\n").encode())
    return path


def _row(record: Record) -> dict[str, Any]:
    config, made = record.config, record.provenance
    return {"key": record.key, "dataset": config.dataset, "model": config.model, "method": config.method,
            "prune": config.prune, "sparsity": config.sparsity, "epochs": config.epochs, "seed": config.seed,
            "validation %": round(float(record.val_accuracy[-1]), 2),
            "test %": round(float(record.test_accuracy[-1]), 2), "collapsed": record.collapsed,
            "updates recorded": len(record.steps) - 1, "engine": made["engine"], "seconds": made["seconds"],
            "hardware": made["hardware"], "commit": made["commit"], "data sha256": made["data_sha256"][:16]}
