"""Compiled kernels: kept on disk, never older than what they call, and never the end of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from regrow import jit

LOW = """
from regrow.jit import kernel

SUMMAND = {summand}

@kernel()
def low(x):
    return x + SUMMAND
"""
HIGH = """
from low import low
from regrow.jit import kernel

@kernel()
def high(x):
    return 10 * low(x)
"""
ASKED = ("import warnings; warnings.simplefilter('error'); from high import high; "
         "print(high(1), sum(high.stats.cache_hits.values()))")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "low.py").write_text(LOW.format(summand=1))
    (tmp_path / "high.py").write_text(HIGH)
    return tmp_path


def ask(folder: Path, code: str = ASKED, **variables: str) -> tuple[str, str]:
    """What a new process prints, and its warnings."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(Path(jit.__file__).parents[1])]),
                                "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(folder / "cache")} | variables
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def test_a_kernel_is_compiled_once(folder):
    assert [ask(folder)[0] for _ in range(2)] == ["20 0", "20 1"]


def test_a_change_in_another_file_counts(folder):
    """Numba's own cache goes on with the old callee, which an update of regrow would have done in silence."""
    ask(folder)
    (folder / "low.py").write_text(LOW.format(summand=2))
    assert [ask(folder)[0] for _ in range(2)] == ["30 0", "30 1"]
    assert len(list(folder.glob("cache/*/high.high*.nbc"))) == 1, "what is out of date is written over"


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("content", [b"", b"no pickle"])
def test_a_damaged_file_is_compiled_anew(folder, ending, content):
    ask(folder)
    for path in folder.glob(f"cache/*/*.{ending}"):
        path.write_bytes(content)
    assert [ask(folder)[0] for _ in range(2)] == ["20 0", "20 1"]


def test_a_disk_that_is_full(folder):
    code = ("from numba.core.caching import IndexDataCacheFile\n"
            "def full(*_): raise OSError(28, 'No space left on device')\n"
            "IndexDataCacheFile.save = full\n" + ASKED)
    assert [ask(folder, code)[0] for _ in range(2)] == ["20 0", "20 0"]


def test_no_folder_that_can_be_written(folder):
    """A file in the place of each; the superuser of a container could write a folder that is read-only."""
    for name in ("__pycache__", "home"):
        (folder / name).write_text("")
    home, code = str(folder / "home"), ASKED.replace("simplefilter('error')", "simplefilter('always')")
    code += "; from regrow import jit; assert jit.kept_in()"  # beside its own file
    printed, said = ask(folder, code, NUMBA_CACHE_DIR="", HOME=home, XDG_CACHE_HOME=home)
    assert printed == "20 0" and said.count("Compiled kernels cannot be kept") == 1


def test_a_room_is_all_of_the_engines(tmp_path):
    package = Path(jit.__file__).parent
    assert jit._room(package / "engines" / "conv" / "passes.py") == package / "engines"
    assert jit._room(package / "tails" / "kernels.py") == package / "tails"
    assert jit._room(tmp_path / "rule.py") == tmp_path
