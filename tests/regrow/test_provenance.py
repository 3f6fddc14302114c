"""Where a result comes from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from regrow import provenance


def test_commit_is_ours_or_null_and_products_keep_it_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", "-C", str(tmp_path), *who, *words], capture_output=True, text=True,
                              check=True).stdout.strip()

    def found() -> dict:
        provenance.commit.cache_clear()
        return provenance.commit()

    module = tmp_path / "src" / "regrow" / "provenance.py"
    module.parent.mkdir(parents=True)
    module.write_text("one\n")
    monkeypatch.setattr(provenance, "__file__", str(module))
    assert found() == {"commit": None, "dirty": None}
    git("init", "-q")
    assert found() == {"commit": None, "dirty": None}  # somebody's repository, but the file is not in it
    git("add", ".")
    git("commit", "-qm", "one")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "fig05.png").write_text("product")
    assert found() == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    module.write_text("two\n")
    assert found()["dirty"] is True
    provenance.commit.cache_clear()
