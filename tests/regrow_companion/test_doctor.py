"""The doctor must name what is wrong and how to mend it, and must not fall ill itself."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from regrow_companion import doctor
from regrow_companion.doctor import Check

NAMES = ["python", "packages", "device", "kernels", "data", "disk", "store"]


def broken(message: str):
    def fail():
        raise OSError(message)

    return fail


def test_a_healthy_machine_passes_every_check(tmp_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["torch>=2.11", "numpy"])
    found = doctor.checks(tmp_store, tmp_path / "data")
    assert [check.name for check in found] == NAMES
    assert [check for check in found if not check.ok] == []
    assert list(tmp_path.iterdir()) == []  # the trial file is gone, and no store was made


def test_report_aligns_and_shows_the_remedy_of_failures_only() -> None:
    lines = doctor.report([Check("python", True, "3.12.1", "unused"), Check("disk", False, "full", "free some")])
    assert lines.splitlines() == ["[OK]   python  3.12.1", "[FAIL] disk    full  -> free some"]
    assert doctor.report([]) == ""


@pytest.mark.parametrize(("version", "ok"), [((3, 10, 14), False), ((3, 11, 0), True), ((3, 13, 9), True),
                                             ((3, 14, 0), False)])
def test_python_versions(version: tuple[int, ...], ok: bool) -> None:
    assert doctor.check_python(version).ok is ok


def test_versions_below_the_bounds_and_missing_packages_are_named() -> None:
    wrong = doctor.wrong_versions(["numpy>=999", "no-such-package-of-ours", "scipy",
                                   'also-absent; extra == "test"', 'only-there; sys_platform == "amiga"'])
    assert wrong == [f"numpy {np.__version__} is not >=999", "no-such-package-of-ours is missing"]


def test_kernels_that_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.check_kernels().detail.startswith("kept in /")
    monkeypatch.setattr("regrow.jit.kept_in", lambda: None)
    check = doctor.check_kernels()
    assert not check.ok and "NUMBA_CACHE_DIR" in check.remedy
    monkeypatch.setitem(sys.modules, "regrow.jit", None)
    monkeypatch.delattr("regrow.jit")
    check = doctor.check_kernels()
    assert not check.ok and "does not import" in check.detail


def test_an_uninstalled_regrow_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", absent)
    check = doctor.check_packages()
    assert not check.ok and "not installed" in check.detail and "run_all.sh" in check.remedy


def test_a_torchvision_that_does_not_import_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["torch"])
    monkeypatch.setattr(doctor, "_import_torchvision", broken("operator\n  missing"))
    check = doctor.check_packages()
    assert not check.ok and "(operator missing)" in check.detail and "torchvision" in check.remedy


def test_no_cuda_is_fine_and_a_broken_cuda_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check = doctor.check_device()
    assert check.ok and check.detail.startswith("cpu, ") and "no CUDA device, fine" in check.detail
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", lambda *shape, device: broken("driver too old")())
    check = doctor.check_device()
    assert not check.ok and "driver too old" in check.detail and "CUDA_VISIBLE_DEVICES" in check.remedy


def test_data_sets_brought_or_downloaded_are_listed(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros(1))
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "FashionMNIST" / "raw").mkdir(parents=True)
    check = doctor.check_data(tmp_path)
    assert check.ok
    assert "fashion_mnist_small (embedded), cifar10, mnist, fashion_mnist; " in check.detail


def test_a_truncated_data_file_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "cifar10.npz", x_train=np.zeros(1000))
    whole = (tmp_path / "cifar10.npz").read_bytes()
    (tmp_path / "cifar10.npz").write_bytes(whole[:-100])
    check = doctor.check_data(tmp_path)
    assert not check.ok and "cifar10.npz" in check.detail and check.remedy


def test_a_full_disk_fails(tmp_store: Path) -> None:
    assert doctor.check_disk(tmp_store, room=1).ok
    check = doctor.check_disk(tmp_store, room=10**18)
    assert not check.ok and "--store" in check.remedy


def test_a_store_under_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    check = doctor.check_store(tmp_path / "file" / "store")
    assert not check.ok and "cannot be written" in check.detail


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_store_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    check = doctor.check_store(tmp_path)
    tmp_path.chmod(0o700)
    assert not check.ok and "Permission denied" in check.detail


def test_without_torch_the_doctor_still_speaks(tmp_path: Path) -> None:
    """In a process of its own where `import torch` fails, as after an interrupted installation."""
    program = """if True:
        import sys
        sys.modules["torch"] = sys.modules["torchvision"] = None
        from regrow_companion import doctor
        print(doctor.report(doctor.checks()))
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True,
                            text=True)
    assert result.returncode == 0, result.stderr
    lines = {line.split()[1]: line for line in result.stdout.splitlines()}
    assert list(lines) == NAMES
    for name in ("packages", "device", "data"):
        assert lines[name].startswith("[FAIL]") and " -> " in lines[name], lines[name]
    for name in ("python", "disk", "store"):
        assert lines[name].startswith("[OK]"), lines[name]


def nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A command of that name on the path."""
    command = folder / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.skipif(os.name != "posix", reason="the command is a shell script")
@pytest.mark.parametrize(("built_for", "script", "hidden", "ok", "named"), [
    (None, "echo 'GPU 0: NVIDIA H200 (UUID: GPU-c0ffee)'", None, False, "built for the CPU only"),
    (None, "exit 0", None, False, "built for the CPU only"),
    ("13.0", "echo 'GPU 0: NVIDIA H200 (UUID: GPU-c0ffee)'", None, False, "cannot use it"),
    (None, "echo 'GPU 0: NVIDIA H200 (UUID: GPU-c0ffee)'", "", True, "no CUDA device, fine"),
    (None, "echo 'could not communicate with the driver'; exit 9", None, True, "no CUDA device, fine"),
    (None, "echo 'No devices found.'", None, True, "no CUDA device, fine")])
def test_a_gpu_that_torch_cannot_use_is_a_failure(built_for: str | None, script: str, hidden: str | None, ok: bool,
                                                  named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    nvidia_smi(tmp_path, monkeypatch, script)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    if hidden is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    check = doctor.check_device()
    assert check.ok is ok and named in check.detail and "c0ffee" not in check.detail
    if not ok:
        remedy = "python -m pip install" if built_for is None else "update its driver to one for CUDA 13.0"
        assert remedy in check.remedy and "CUDA_VISIBLE_DEVICES=" in check.remedy
