"""Where a result comes from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

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


def test_a_run_on_a_gpu_says_which_cuda_cudnn_and_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91300)
    monkeypatch.setattr(provenance, "DRIVER", tmp_path / "version")
    provenance.DRIVER.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n")

    def versions(device: str) -> dict:
        provenance.driver.cache_clear()
        return provenance.of_run(device=device, engine="dense", threads=1, data_sha256="")["versions"]

    assert versions("cuda:0").items() >= {"cuda": "13.0", "cudnn": "91300", "driver": "580.95.05"}.items()
    assert set(versions("cuda")) - set(versions("cpu")) == {"cuda", "cudnn", "driver"}
    provenance.DRIVER.unlink()
    asked = subprocess.CompletedProcess([], 0, stdout="570.1\n570.1\n")
    monkeypatch.setattr(provenance, "commit", lambda: {})
    monkeypatch.setattr(subprocess, "run", lambda words, **options: asked)
    assert versions("cuda")["driver"] == "570.1"

    def absent(*words: object, **options: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", absent)
    assert versions("cuda")["driver"] is None
    provenance.driver.cache_clear()
