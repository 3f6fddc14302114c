"""How long a reader waits: every notebook replayed from shipped records, and the quick profile with its training."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from bench.table import Table
from regrow.errors import RegrowError

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("profile", "notebooks", "seconds", "core_seconds", "peak_rss_mb")
ONLY = {"tiny": "03", "full": ""}


def run(size: str) -> Table:
    """`python -m regrow notebooks`, once per profile, as a process of its own with an empty store."""
    rows = [_row(profile, ONLY[size]) for profile in ("replay", "quick")]
    return Table("notebooks", "seconds until every notebook is drawn", COLUMNS, rows,
                 {f"{row['profile']}, seconds a notebook": row["seconds"] / row["notebooks"] for row in rows},
                 ("Products go to build/PROFILE. quick trains all of its runs first, on every core.",
                  "core_seconds: processor time of the command and its children. peak_rss_mb: their largest process."))


def _row(profile: str, only: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "regrow", "notebooks", "--profile", profile, "--force", "--store", folder]
        before, began = os.times(), time.perf_counter()
        process = subprocess.Popen([*command, *(["--only", only] if only else [])], cwd=ROOT,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        peak = _watch(process)
        seconds, after = time.perf_counter() - began, os.times()
    if process.returncode != 0:
        raise RegrowError(f"`{' '.join(command[1:])}` ended with exit code {process.returncode}; run it by itself.")
    count = sum(1 for _ in (ROOT / "notebooks").glob("*.ipynb")) if not only else len(only.split(","))
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return {"profile": profile, "notebooks": count, "seconds": seconds, "core_seconds": processor,
            "peak_rss_mb": peak / 1e6}


def _watch(process: subprocess.Popen[str]) -> int:
    """Read its output to the end; the largest resident set seen of it and its descendants, in bytes."""
    peak, family = 0, psutil.Process(process.pid)

    def look() -> None:
        nonlocal peak
        while process.poll() is None:
            try:
                for member in [family, *family.children(recursive=True)]:
                    peak = max(peak, member.memory_info().rss)
            except psutil.Error:
                pass  # it ended while we looked
            time.sleep(0.1)

    watcher = threading.Thread(target=look)
    watcher.start()
    process.communicate()
    watcher.join()
    return peak
