"""The promises of the set-up: pins for everything, reasons for every dependency, scripts that run where people are."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import regrow
from regrow_companion import doctor
from regrow_companion.study import REPOSITORY

ROOT = REPOSITORY
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
TESTED = PROJECT["dependencies"] + EXTRAS["test"]
SCRIPTS = ["run_all.sh", "run_tests.sh", ".ci/run", "scripts/setup_env.sh", "scripts/slurm_ray.sh"]
IMPORTED_AS = {"PIL": "pillow", "yaml": "pyyaml"}
UNPINNED = re.compile(r"nvidia-|cuda-|triton")  # come with CUDA builds of PyTorch

# Character classes keep these patterns from finding themselves.
FORBIDDEN = re.compile(r"""/[w]ork/ | /[t]mp/(dev|spec)\b | /[r]oot/ | /[o]pt/(pypi|wheels) | [.][.]/[s]hared
    | pypi[.]org | pythonhosted[.]org | download[.]pytorch[.]org | conda[.]anaconda[.]org | npmjs[.]org
    | --(extra-)?index[-]url | --find[-]links""", re.VERBOSE)


def pins() -> dict[str, str]:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def repository_files() -> list[Path]:
    """What git has or would add; without git (an unpacked archive) there is nothing to ask."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("git does not answer here")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def shell(command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items()
               if name not in ("PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH")}
    return subprocess.run(["bash", "-c", command], cwd=cwd, env=outside | environment, capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The set-up's files in a folder whose name has a space."""
    folder = tmp_path / "a clone"
    for name in [*SCRIPTS, "pyproject.toml", "constraints.txt"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


def test_every_dependency_says_why_it_is_there() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for requirement in TESTED + EXTRAS["cluster"] + EXTRAS["recipes"]:
        assert re.search(rf'^    "{re.escape(requirement)}",  # \w+', text, re.MULTILINE), requirement


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    for requirement in map(Requirement, TESTED + EXTRAS["cluster"] + EXTRAS["recipes"]):
        version = pins()[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, requirement


def test_constraints_hold_plain_versions_for_any_system() -> None:
    assert len(pins()) > 100
    for name, version in pins().items():
        assert re.fullmatch(r"\d[\w.]*", version), f"{name}=={version}"
        assert not UNPINNED.match(name), name


@pytest.mark.skipif(sys.platform != "linux", reason="other systems need a few packages that Linux does not")
def test_constraints_cover_what_the_dependencies_need_in_turn() -> None:
    known, todo, missing = pins(), list(map(Requirement, TESTED)), set()
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        need = todo.pop()
        name, extras = canonicalize_name(need.name), frozenset(need.extras)
        if (name, extras) in seen or UNPINNED.match(name):
            continue
        seen.add((name, extras))
        if name not in known:
            missing.add(name)
            continue
        for line in importlib.metadata.requires(name) or []:
            further = Requirement(line)
            if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                todo.append(further)
    assert not missing


def test_every_import_of_the_package_is_a_declared_dependency() -> None:
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"] + EXTRAS["cluster"]}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module or ""]
            else:
                continue
            tops = {module.partition(".")[0] for module in modules}
            for top in tops - {"regrow", "regrow_companion"} - sys.stdlib_module_names:
                assert canonicalize_name(IMPORTED_AS.get(top, top)) in declared, f"{path.name} imports {top}"


def test_conda_installs_the_same_versions() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    by_conda = [item for item in environment["dependencies"] if isinstance(item, str)]
    by_pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert by_pip == ["-c constraints.txt", "-e .[test]"]
    assert by_conda == [f"python{PROJECT['requires-python']}", "pip"]  # so no build strings either


def test_versions_agree() -> None:
    assert PROJECT["version"] == regrow.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == regrow.__version__
    assert [author["family-names"] for author in citation["preferred-citation"]["authors"]] == ["Matab", "Mocanu", "Wu"]
    supported = [f"3.{minor}" for minor in range(5, 30) if f"3.{minor}" in SpecifierSet(PROJECT["requires-python"])]
    spoken = [f"3.{minor}" for minor in range(doctor.OLDEST[1], doctor.NEWEST[1] + 1)]
    assert supported == spoken == ["3.11", "3.12", "3.13"]
    assert f"{doctor.OLDEST} <= sys.version_info[:2] <= {doctor.NEWEST}" in (ROOT / "scripts/setup_env.sh").read_text()


def test_no_file_names_a_machine_or_a_package_index() -> None:
    for path in repository_files():
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            found = FORBIDDEN.search(content.decode("utf-8", errors="replace"))
            assert found is None, f"{path.relative_to(ROOT)} has {found}"


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_sound_for_old_bash(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert shell(f"bash -n '{name}'").returncode == 0
    assert "\r" not in text
    assert not re.search(r"declare -A|mapfile|readarray|&>>|\$\{\w+(,,|\^\^)|\bwait -n\b", text), "needs bash 4"
    if name != "scripts/setup_env.sh":  # that one is sourced
        assert text.startswith("#!/usr/bin/env bash\n") and "\nset -euo pipefail\n" in text
        assert os.access(ROOT / name, os.X_OK)


def test_ci_calls_exactly_what_a_reader_types() -> None:
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("\nexec ./run_tests.sh")


@pytest.mark.parametrize("script", ["run_all.sh", "run_tests.sh"])
def test_help_needs_no_installation_and_any_folder_will_do(script: str, copy: Path, tmp_path: Path) -> None:
    result = shell(f"'{copy}/{script}' --help", cwd=tmp_path, PYTHON="no-such-python")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"./{script}" in result.stdout
    assert not (copy / ".venv").exists() and not (copy / "build").exists()


@pytest.mark.parametrize(("python", "sentence"), [
    ("no-such-python", "PYTHON=no-such-python is not a Python 3.11, 3.12 or 3.13 that runs"),
    ("", "No Python 3.11, 3.12 or 3.13 was found"),
])
def test_without_a_python_one_sentence_and_code_2(copy: Path, tmp_path: Path, python: str, sentence: str) -> None:
    tools = tmp_path / "tools"  # a path with no Python on it
    tools.mkdir()
    for tool in ("bash", "dirname", "env", "cat"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    result = shell("./run_all.sh", cwd=copy, PATH=str(tools), PYTHON=python)
    assert result.returncode == 2
    assert result.stderr.startswith(sentence) and result.stderr.count("\n") == 1
    assert not (copy / "build").exists()


def test_without_a_home_folder_the_scripts_make_one(copy: Path) -> None:
    """Jupyter's packages refuse to be imported without."""
    found = shell(f'unset HOME; set -euo pipefail; root="{copy}"; . scripts/setup_env.sh; env', cwd=copy)
    assert f"HOME={copy}/build/home\n" in found.stdout and (copy / "build" / "home").is_dir(), found.stderr


def test_set_up_again_touches_neither_pip_nor_the_network(copy: Path) -> None:
    """With a stamp in place set_up is done at once: this .venv has no pip at all. A changed pin makes it stale."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", copy / ".venv"], check=True)
    source = f'set -euo pipefail; root="{copy}"; . scripts/setup_env.sh;'
    stamped = shell(f'{source} python="$root/.venv/bin/python"; fingerprint test >.venv/.regrow-ready-test', cwd=copy)
    assert stamped.returncode == 0, stamped.stderr
    again = shell(f'{source} setup_env test; printf "[%s]" "$python"; is_ready base || echo stale', cwd=copy)
    assert (again.returncode, again.stdout) == (0, f"[{copy}/.venv/bin/python]stale\n"), again.stderr
    with (copy / "constraints.txt").open("a") as file:
        file.write("another==1\n")
    assert "stale" in shell(f'{source} python="$root/.venv/bin/python"; is_ready test || echo stale', cwd=copy).stdout


def test_two_set_ups_at_once_do_not_destroy_each_other(copy: Path) -> None:
    (copy / "build").mkdir()
    (copy / "build" / ".setup-running").write_text(str(os.getpid()))
    result = shell("./run_all.sh", cwd=copy, PYTHON=sys.executable)
    assert result.returncode == 2 and f"process {os.getpid()}" in result.stderr
    assert not (copy / ".venv").exists()
