"""A Chromium for the tests that look at pages, or the reason why there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

try:
    from playwright import sync_api
except ImportError:  # an extra
    sync_api = None  # type: ignore[assignment]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
PATIENCE = 180_000  # milliseconds; machines that run tests are busy


def chromium_path(engine: Any) -> str:
    found = [path for name in NAMES if (path := shutil.which(name))]
    if not found and Path(engine.executable_path).is_file():  # of `playwright install chromium`
        found = [engine.executable_path]
    if not found:
        pytest.skip("there is no Chromium on this machine (Debian and Ubuntu: the package chromium)")
    return found[0]


@contextmanager
def launched() -> Iterator[Any]:
    """A browser; skips the test where there is none."""
    if sync_api is None:
        pytest.skip("playwright is not installed (pip install -e .[browser])")
    with sync_api.sync_playwright() as engines:
        path = chromium_path(engines.chromium)
        try:
            chromium = engines.chromium.launch(executable_path=path, args=FLAGS)
        except sync_api.Error as error:
            pytest.skip(f"{path} does not start here: {error.message.splitlines()[0]}")
        yield chromium
        chromium.close()
