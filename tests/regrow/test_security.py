"""Hostile files: nothing is unpickled, nothing written outside the data root, and nobody else gets into JupyterLab."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from torture.victims import TINY

from regrow import compact, datasets, files
from regrow.datasets import torchvision
from regrow.errors import DataError, RegrowError, StoreError
from regrow.store import Store
from regrow_companion.study import REPOSITORY

ROOT = REPOSITORY
SOURCES = sorted(path for folder in ("src", "bench", "scripts") for path in (ROOT / folder).rglob("*.py"))


class Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.write_text, (self.path, "somebody unpickled this"))


@pytest.fixture
def bomb(tmp_path: Path):
    yield Bomb(tmp_path / "exploded")
    assert not (tmp_path / "exploded").exists()


def members(**contents: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in contents.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def object_npz(bomb: Bomb, *names: str) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: np.array([bomb], object) for name in names})
    return buffer.getvalue()


def hostile(bomb: Bomb, *names: str) -> dict[str, bytes]:
    pickled = pickle.dumps(bomb)
    head = b"\x93NUMPY\x01\x00F\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,)}".ljust(79) + b"\n"
    return {"a pickle": pickled, "pickles in a zip": members(**dict.fromkeys(names, pickled)),
            "arrays of objects": object_npz(bomb, *names),
            "an npy of objects": members(**dict.fromkeys(names, head + pickled))}


# ---- no pickle is loaded ----


def test_the_bomb_works(tmp_path):
    pickle.loads(pickle.dumps(Bomb(tmp_path / "it works")))
    assert (tmp_path / "it works").exists()


@pytest.mark.parametrize("kind", ["a pickle", "pickles in a zip", "arrays of objects", "an npy of objects"])
def test_hostile_records_and_checkpoints(kind, bomb, tmp_path):
    content, store = hostile(bomb, "head", "train_loss", "engine/weight/fc1")[kind], Store(tmp_path / "store")
    undisturbed = Store(tmp_path / "other").ensure(TINY.but(epochs=1)).result_sha256
    for path in (store.record_path(TINY.but(epochs=1).key), store.checkpoint_path(TINY.but(epochs=1).key)):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        for read in (files.read_arrays, compact.load):
            with pytest.raises(StoreError):
                read(path)
    with pytest.warns(UserWarning, match="moved to"):
        assert store.ensure(TINY.but(epochs=1)).result_sha256 == undisturbed
    assert len(list((store.root / "damaged").iterdir())) == 2


@pytest.mark.parametrize("kind", ["a pickle", "pickles in a zip", "arrays of objects", "an npy of objects"])
def test_hostile_data_files(kind, bomb, tmp_path):
    (tmp_path / "mnist.npz").write_bytes(hostile(bomb, *datasets.KEYS)[kind])
    with pytest.raises(DataError):
        datasets.read("mnist", tmp_path)


def no_network(*_: object, **__: object) -> None:
    raise urllib.error.URLError("no network in tests")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_pickled_cifar_with_another_checksum_is_not_read(name, bomb, tmp_path, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    reader = getattr(torchvision().datasets, datasets.DATASETS[name].official)
    folder = tmp_path / reader.base_folder
    folder.mkdir()
    for file, _ in [*reader.train_list, *reader.test_list, [reader.meta["filename"], ""]]:
        (folder / file).write_bytes(pickle.dumps(bomb))
    for download in (False, True):
        with pytest.raises(DataError):
            datasets.read(name, tmp_path, download)


def test_every_reader_in_the_sources_refuses_pickles():
    """numpy's and torch's loaders are called with pickles off, and pickle itself only to make hostile files."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called, where = ast.unparse(node.func), f"{path.name}:{node.lineno}"
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called in ("np.load", "numpy.load", "np.lib.format.read_array", "np.lib.format.write_array"):
                assert options.get("allow_pickle") == "False", where
            if called == "torch.load":
                assert options.get("weights_only") == "True", where
            assert called not in ("pickle.load", "pickle.loads", "joblib.load", "pd.read_pickle", "yaml.load", "eval",
                                  "exec", "marshal.loads"), where


# ---- archives stay inside ----


def tar_with(*infos: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info, content in infos:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def hostile_tars(outside: Path) -> dict[str, bytes]:
    evil = b"written outside"
    return {"dots": tar_with((tarfile.TarInfo("../outside/evil"), evil)),
            "absolute": tar_with((tarfile.TarInfo(str(outside / "evil")), evil)),
            "deep dots": tar_with((tarfile.TarInfo("cifar-10-batches-py/../../outside/evil"), evil)),
            "symlink": tar_with((link("door", str(outside)), b""), (tarfile.TarInfo("door/evil"), evil)),
            "relative symlink": tar_with((link("door", "../outside"), b""), (tarfile.TarInfo("door/evil"), evil)),
            "hard link": tar_with((link("door", "../outside/there", tarfile.LNKTYPE), b""),
                                  (tarfile.TarInfo("door"), evil))}


@pytest.mark.parametrize("checksum", ["another", "the same"])
@pytest.mark.parametrize("kind", ["dots", "absolute", "deep dots", "symlink", "relative symlink", "hard link"])
def test_hostile_archives(kind, checksum, tmp_path, monkeypatch):
    """Refused for its checksum; and even one with the right checksum could not write outside."""
    if checksum == "the same" and not hasattr(tarfile, "data_filter"):
        pytest.skip("this Python's tarfile has no filters")
    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "there").write_text("mine")
    reader, content = torchvision().datasets.CIFAR10, hostile_tars(outside)[kind]
    (root / reader.filename).write_bytes(content)
    if checksum == "the same":
        monkeypatch.setattr(reader, "tgz_md5", hashlib.md5(content).hexdigest())
    before = getattr(tarfile.TarFile, "extraction_filter", None)
    for download in (False, True):
        with pytest.raises(DataError):
            datasets.read("cifar10", root, download)
    assert [path.name for path in outside.iterdir()] == ["there"] and (outside / "there").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "root"]
    assert getattr(tarfile.TarFile, "extraction_filter", None) is before


def test_a_record_cannot_name_a_place_outside(tmp_path):
    """Names in a record's zip are names of arrays: nothing is ever unpacked."""
    np.savez(tmp_path / "x.npz", **{"../../evil": np.arange(3)})
    with pytest.raises(RegrowError):
        compact.load(tmp_path / "x.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


# ---- JupyterLab, shells ----


def lab_command(tmp_path: Path, *options: str) -> list[str]:
    """What `./run_all.sh --lab OPTIONS` executes, seen by a python that only writes down its arguments."""
    copy = tmp_path / "clone"
    copy.mkdir()
    for name in ("run_all.sh", "scripts/setup_env.sh"):
        (copy / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    script = (copy / "run_all.sh").read_text().replace("setup_env base", f"python={tmp_path / 'python'}")
    (copy / "run_all.sh").write_text(script)
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    done = subprocess.run(["bash", "run_all.sh", "--lab", *options], cwd=copy, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_jupyterlab_listens_to_this_machine_and_asks_for_its_token(tmp_path):
    said = lab_command(tmp_path)
    assert said[:2] == ["-m", "jupyterlab"] and "--ip=localhost" in said and said[-1].endswith(".ipynb")
    assert not [word for word in said if re.search(r"token|password|allow_remote|disable_check|0\.0\.0\.0|\*", word)]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_those_options_leave_jupyterlab_with_a_token(tmp_path):
    """The server that these very options configure: an address of this machine only, a token, no password."""
    options = [word for word in lab_command(tmp_path)[2:-1]]
    code = ("import sys\nfrom jupyterlab.labapp import LabApp\n"
            "app = LabApp.initialize_server(argv=sys.argv[1:])\n"
            "provider = app.identity_provider\n"
            "print(app.ip, provider.auth_enabled, len(provider.token) > 30, provider.token_generated, "
            "app.allow_remote_access)\n")
    home = {"HOME": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path / "c"),
            "JUPYTER_RUNTIME_DIR": str(tmp_path / "r"), "JUPYTER_NO_CONFIG": "1"}
    done = subprocess.run([sys.executable, "-c", code, *options, "--no-browser", "--port=0"], cwd=tmp_path, text=True,
                          env=os.environ | home, capture_output=True, timeout=120)
    assert done.stdout.split() == ["localhost", "True", "True", "True", "False"], done.stderr[-800:]


def test_no_shell_is_built_from_strings():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called, where = ast.unparse(node.func), f"{path.name}:{node.lineno}"
                assert called not in ("os.system", "os.popen", "subprocess.getoutput",
                                      "subprocess.getstatusoutput"), where
                shells = [k for k in node.keywords if k.arg == "shell" and ast.unparse(k.value) != "False"]
                assert not shells, where
    for script in ("run_all.sh", "run_tests.sh", "scripts/setup_env.sh"):
        assert not re.search(r"\beval\b", (ROOT / script).read_text(encoding="utf-8")), script


# ---- what is installed ----


def test_constraints_pin_every_dependency():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line), f"{line!r} is not pinned to one version"
            pinned[canonicalize_name(line.partition("==")[0])] = line.partition("==")[2]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    for need in map(Requirement, wanted):
        assert pinned.get(canonicalize_name(need.name), "") in need.specifier, f"{need} is not in constraints.txt"
