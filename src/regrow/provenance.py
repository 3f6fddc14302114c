"""Where a result comes from: versions, commit, hardware. No time stamps, so that a re-run writes the same bytes."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

DRIVER = Path("/proc/driver/nvidia/version")


def of_run(*, device: str, engine: str, threads: int, data_sha256: str) -> dict[str, Any]:
    """What a record says of its making. None of it can change the result on one CPU with one engine."""
    versions = {"python": platform.python_version()} | {name: version(name) for name in ("regrow", "torch", "numpy")}
    versions |= of_cuda() if device.startswith("cuda") else {}
    return {"versions": versions, "engine": engine, "device": device, "threads": threads, "hardware": hardware(device),
            "platform": sys.platform, "data_sha256": data_sha256, **commit()}


def hardware(device: str) -> str:
    """Name of the processor, or of the GPU."""
    if device.startswith("cuda"):
        import torch  # readers of records do without it

        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def of_cuda() -> dict[str, str | None]:
    """Versions of what is between PyTorch and a GPU; None for what is not there."""
    import torch  # readers of records do without it

    cudnn = torch.backends.cudnn.version() if torch.version.cuda else None
    return {"cuda": torch.version.cuda, "cudnn": None if cudnn is None else str(cudnn), "driver": driver()}


@lru_cache(maxsize=1)
def driver() -> str | None:
    """Version of NVIDIA's driver, from the kernel's module or else from nvidia-smi; None if neither says."""
    try:
        found = re.search(r"\d+\.\d+(\.\d+)?", DRIVER.read_text())
        return found and found[0]
    except OSError:
        pass
    try:
        said = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], timeout=20,
                              capture_output=True, text=True, check=True).stdout.split()
        return said[0] if said else None
    except (OSError, subprocess.SubprocessError):
        return None


def version(package: str) -> str | None:
    """Of an installed package; None if it is not."""
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
