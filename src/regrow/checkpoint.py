"""A run in progress as named arrays, and back. Random numbers need no state here: every generator is made afresh from
its purpose, the seed and a counter (epoch, step), so a resumed run draws what an undisturbed one would have drawn."""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch

from regrow import files
from regrow.errors import StoreError
from regrow.train import Run

FORMAT = "regrow checkpoint 1"


def save(run: Run, path: Path, engine: str) -> None:
    """Write everything that the rest of the run depends on, atomically."""
    arrays = {f"engine/{name}": tensor.detach().cpu().numpy() for name, tensor in run.engine.state().items()}
    arrays |= {f"recorder/{name}": array for name, array in run.recorder.arrays().items()}
    head = {"format": FORMAT, "key": run.key, "engine": engine, "step": run.step, "seconds": run.seconds}
    files.write_arrays(path, arrays, head, zipfile.ZIP_STORED)


def restore(run: Run, path: Path, engine: str) -> None:
    """Put a freshly started run where the checkpoint stands.

    Raises StoreError if the file is damaged, or not a checkpoint of this run and engine.
    """
    arrays, head = files.read_arrays(path)
    if (head.get("format"), head.get("key"), head.get("engine")) != (FORMAT, run.key, engine):
        raise StoreError(f"{path} is not a checkpoint of this run with the {engine} engine.")
    parts: dict[str, dict] = {"engine": {}, "recorder": {}}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = array
    try:
        run.engine.load_state({name: torch.from_numpy(array) for name, array in parts["engine"].items()})
    except (KeyError, RuntimeError, ValueError) as error:
        raise StoreError(f"{path} does not fit the network of this run.") from error
    run.recorder.load_arrays(parts["recorder"])
    run.step, run.seconds = head["step"], head["seconds"]
