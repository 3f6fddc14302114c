"""Where a result comes from: versions, commit, hardware. No time stamps, so that a re-run writes the same bytes."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from regrow.record import Record


def of_run(*, device: str, engine: str, threads: int, data_sha256: str) -> dict[str, Any]:
    """What a record says of its making. None of it can change the result on one CPU with one engine."""
    versions = {"python": platform.python_version()} | {name: _version(name) for name in ("regrow", "torch", "numpy")}
    return {"versions": versions, "engine": engine, "device": device, "threads": threads, "hardware": hardware(device),
            "platform": sys.platform, "data_sha256": data_sha256, **commit()}


def hardware(device: str) -> str:
    """Name of the processor, or of the GPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def of_figure(records: Sequence[Record]) -> dict[str, Any]:
    """Where a product comes from: run keys, seeds, versions, commit, hardware. JSON-ready, without any time stamp."""
    versions: dict[str, Any] = {name: _version(name) for name in ("regrow", "numpy", "matplotlib", "pandas")}
    versions["python"] = platform.python_version()
    runs = [record.provenance for record in records]
    keys = sorted({record.key for record in records})
    if torch := _distinct(run.get("versions", {}).get("torch") for run in runs):
        versions["torch"] = torch
    return {"keys": keys, "n_runs": len(keys), "seeds": sorted({record.config.seed for record in records}),
            "versions": versions, "hardware": _distinct(run.get("hardware") for run in runs),
            "device": _distinct(run.get("device") for run in runs), **commit()}


def _distinct(values: Any) -> list[Any]:
    """Each value once, in the order of its JSON text; None is left out."""
    texts = {json.dumps(value, sort_keys=True) for value in values if value is not None}
    return [json.loads(text) for text in sorted(texts)]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # run from the source tree
        return None


@lru_cache(maxsize=1)
def commit() -> dict[str, Any]:
    """HEAD of the repository this file is tracked in, and whether code or notebooks differ from it; else None."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(here.parent), *words], capture_output=True, text=True, timeout=20,
                              check=True)
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # not merely installed below somebody else's repository
        # Products are tracked as well, so the whole tree would be dirty after the first figure of a run.
        changes = git("status", "--porcelain", "--", ":/src", ":/notebooks")
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(changes)}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
