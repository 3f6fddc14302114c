"""What this machine lacks, if anything: `python -m regrow doctor` prints lines that can be pasted into an issue.

Nothing heavy is imported at the top, so that the doctor can still speak where PyTorch is missing or broken.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from regrow.errors import RegrowError

OLDEST, NEWEST = (3, 11), (3, 13)  # Python versions we support; pyproject.toml says the same
ROOM = 2 * 10**9  # bytes: more than the quick profile and its figures need
INSTALL = 'run ./run_all.sh, or python -m pip install -c constraints.txt -e "."'
# What is installed has the same version, hence the force. The index is whichever pip is set to; on Linux the usual one
# has the builds for CUDA.
INSTALL_CUDA = "python -m pip install --force-reinstall -c constraints.txt torch torchvision"
USE_CPU = "or set CUDA_VISIBLE_DEVICES= to use the CPU"


@dataclass(frozen=True)
class Check:
    """One line of the doctor: what was looked at, whether it will do, what was seen, and what to do if it will not."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def checks(store: Path | None = None, data_root: Path | None = None) -> list[Check]:
    """Look at everything regrow needs. Raises nothing: whatever is wrong becomes a failed check.

    store: folder of the records (default: $REGROW_STORE, else build/quick/store under the current folder).
    data_root: folder of the data sets (default: $REGROW_DATA, else ~/.cache/regrow/data).
    """
    folder = store or Path(os.environ.get("REGROW_STORE") or "build/quick/store")
    return [check_python(), check_packages(), check_device(), check_kernels(), check_data(data_root),
            check_disk(folder), check_store(folder)]


def report(found: Iterable[Check]) -> str:
    """The checks as aligned [OK] and [FAIL] lines, a remedy behind each failure."""
    found = list(found)
    width = max((len(check.name) for check in found), default=0)
    return "\n".join(f"{'[OK]' if check.ok else '[FAIL]':<6} {check.name:<{width}}  {check.detail}"
                     + ("" if check.ok else f"  -> {check.remedy}") for check in found)


def check_python(version: Sequence[int] = sys.version_info[:3]) -> Check:
    """Is this interpreter one we support?"""
    return Check("python", OLDEST <= tuple(version[:2]) <= NEWEST, ".".join(map(str, version)),
                 "use Python 3.11, 3.12 or 3.13: delete .venv, then PYTHON=/path/to/python3 ./run_all.sh")


def check_packages() -> Check:
    """Is everything pyproject.toml asks for installed, new enough, and do torch and torchvision import together?"""
    try:
        wanted = importlib.metadata.requires("regrow") or []
    except importlib.metadata.PackageNotFoundError:
        return Check("packages", False, "regrow itself is not installed", INSTALL)
    wrong = wrong_versions(wanted)
    if wrong:
        return Check("packages", False, "; ".join(wrong), INSTALL)
    try:
        torch, torchvision = _import_torch(), _import_torchvision()
    except Exception as error:  # a half-installed or mismatched library can fail in any way
        return Check("packages", False, f"torch and torchvision do not import together ({_one_line(error)})",
                     "python -m pip install --force-reinstall -c constraints.txt torch torchvision")
    return Check("packages", True, f"torch {torch.__version__}, torchvision {torchvision.__version__}, "
                                   f"numpy {importlib.metadata.version('numpy')}; all requirements met")


def wrong_versions(wanted: Iterable[str]) -> list[str]:
    """What is missing or outside its bounds, in words; requirements of extras and other systems are left out."""
    try:
        from packaging.requirements import Requirement  # may be what is missing
    except ImportError:
        return ["packaging is missing"]
    wrong = []
    for need in map(Requirement, wanted):
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            version = importlib.metadata.version(need.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(version, prereleases=True):
            wrong.append(f"{need.name} {version} is not {need.specifier}")
    return wrong


def check_device() -> Check:
    """What will the training run on? A CPU is fine; a GPU that is there but cannot be used is not."""
    try:
        torch = _import_torch()
    except Exception as error:
        return Check("device", False, f"PyTorch does not import ({_one_line(error)})", INSTALL)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cpu = f"cpu, {cores} cores"
    if not torch.cuda.is_available():
        gpu = nvidia_gpu()
        if not gpu:
            return Check("device", True, f"{cpu}; no CUDA device, fine")
        if torch.version.cuda is None:
            return Check("device", False, f"{cpu}; {gpu} is there, but torch {torch.__version__} is built for the CPU "
                                          "only", f"{INSTALL_CUDA}, {USE_CPU}")
        return Check("device", False, f"{cpu}; {gpu} is there, but torch {torch.__version__} cannot use it",
                     f"update its driver to one for CUDA {torch.version.cuda}, {USE_CPU}")
    try:
        torch.ones(2, device="cuda").sum().item()
        memory = torch.cuda.get_device_properties(0).total_memory
        names = f"{torch.cuda.get_device_name(0)}, {memory / 2**30:.0f} GiB"
    except Exception as error:
        return Check("device", False, f"the CUDA device does not work ({_one_line(error)})",
                     f"update its driver, {USE_CPU}")
    count = torch.cuda.device_count()
    return Check("device", True, f"cuda, {names}{f', {count} devices' if count > 1 else ''}; {cpu}")


def nvidia_gpu() -> str:
    """The GPU that NVIDIA's driver sees, in words, whatever PyTorch sees; '' if there is none, or it is hidden."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return ""
    asked = shutil.which("nvidia-smi")
    if asked is None:
        return ""
    try:
        answer = subprocess.run([asked, "-L"], capture_output=True, text=True, errors="replace", timeout=20)
    except (OSError, subprocess.SubprocessError):
        return "a GPU (nvidia-smi)"
    if answer.returncode or "no devices" in answer.stdout.lower():  # a container for GPUs on a machine without one
        return ""
    name = answer.stdout.strip().partition("\n")[0].partition(" (UUID")[0]
    return name or "a GPU (nvidia-smi)"


def check_kernels() -> Check:
    """Can compiled kernels be kept? Where not, every process, a notebook or a worker, compiles them anew."""
    try:
        from regrow import jit  # numba may be missing

        folder = jit.kept_in()
    except Exception as error:
        return Check("kernels", False, f"Numba does not import ({_one_line(error)})", INSTALL)
    if folder is None:
        return Check("kernels", False, "compiled kernels cannot be kept: every process takes up to a minute longer",
                     "set NUMBA_CACHE_DIR to a folder that can be written")
    return Check("kernels", True, f"kept in {folder} once they are compiled")


def check_data(root: Path | None = None) -> Check:
    """Can the embedded images be read, and which other sets lie under the data root? Absent ones are no failure."""
    try:
        from regrow import datasets  # its libraries may be missing

        datasets.read(datasets.EMBEDDED)
        _import_torchvision()  # which knows the official files
    except RegrowError as error:
        return Check("data", False, str(error), f"restore it with git checkout src/regrow/assets, then {INSTALL}")
    except Exception as error:  # torch or torchvision missing: the package check says more
        return Check("data", False, f"the data sets cannot be read ({_one_line(error)})", INSTALL)
    try:
        root = datasets.data_root() if root is None else root
    except RegrowError as error:  # the home folder is not known
        return Check("data", False, *str(error).removesuffix(".").split(": ", 1))
    brought = {name: root / f"{name}.npz" for name in datasets.DATASETS if name != datasets.EMBEDDED}
    for path in brought.values():
        if path.exists() and not zipfile.is_zipfile(path):
            return Check("data", False, f"{path} is truncated or foreign", "write it again, or move it away")
    there = [name for name, path in brought.items() if path.exists() or _official_folder(name, root).is_dir()]
    return Check("data", True, f"{', '.join([datasets.EMBEDDED + ' (embedded)', *there])}; data root {root}")


def check_disk(folder: Path, room: int = ROOM) -> Check:
    """Has the disk that the store is on at least `room` bytes free?"""
    try:
        free = shutil.disk_usage(_nearest(folder)).free
    except OSError as error:
        return Check("disk", False, f"{folder} cannot be looked at ({_one_line(error)})",
                     "put the store elsewhere with --store DIR")
    return Check("disk", free >= room, f"{free / 1e9:.1f} GB free at {folder}",
                 f"free {room / 1e9:.0f} GB, or put the store on another disk with --store DIR")


def check_store(folder: Path) -> Check:
    """Can the store be written? A small file is really written, and taken away again."""
    try:
        place = _nearest(folder)
        with tempfile.TemporaryFile(dir=place, prefix=".regrow-doctor-") as file:
            file.write(b"regrow")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Check("store", False, f"{folder} cannot be written ({_one_line(error)})",
                     "free some space, mend its permissions, or put the store elsewhere with --store DIR")
    return Check("store", True, f"{folder} can be written")


def _nearest(folder: Path) -> Path:
    """The folder itself or, as long as there is none, the one it will be made in."""
    folder = folder.expanduser().absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())


def _official_folder(name: str, root: Path) -> Path:
    from regrow.datasets import DATASETS  # the same

    reader = getattr(_import_torchvision().datasets, DATASETS[name].official)
    return root / getattr(reader, "base_folder", f"{reader.__name__}/raw")


def _import_torch() -> ModuleType:
    import torch  # the same

    return torch


def _import_torchvision() -> ModuleType:
    from regrow.datasets import torchvision  # the same

    return torchvision()


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
