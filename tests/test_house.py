"""The plan of the house: who may import whom, and how large a room may grow. No exceptions.

Imports inside functions count as well. `regrow` is models, the loop and metrics, and reads without what is built on it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

SOURCE = Path(__file__).parents[1] / "src"
COMPANION = "regrow_companion"
# From the ground up. A module may import from its own floor and from those below.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("regrow.errors", "regrow.jit"),
    ("regrow.tails", "regrow.fingerprint"),
    ("regrow",),
    ("console", "style", "study", "paper", "number_files"),
    ("figures",),
    ("tail_tables",),
    ("sweep", "exercises"),
    ("runner", "session"),
    ("plots", "claims", "section8", "widgets", "watching", "tails_report", "exercises.replication", "exercises.beyond"),
    ("site",),
    ("doctor", "selftest", "shipping", "regenerate", "commands"),
    ("cli",),
)
FACADE = {("regrow", f"{COMPANION}.watching.observation"), ("regrow.__main__", f"{COMPANION}.cli")}
MOST_MODULES = 26  # in a folder
CORE_FILES, CORE_LINES = 32, 7_180  # of regrow without the rooms below: conv, tails, fingerprints
CONV_FILES, CONV_LINES, CONV_FILE = 14, 2_050, 300  # the last one is lines of a file
FINGERPRINT_LINES = 300
TAILS_FILES, TAILS_LINES = 7, 1_800


@cache
def modules() -> dict[str, Path]:
    """Every module's name and file."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


@cache
def arrows() -> nx.DiGraph:
    """An arrow from every module to those of ours that it imports anywhere, by name too (importlib)."""
    graph = nx.DiGraph()
    graph.add_nodes_from(modules())
    graph.add_edges_from((name, target) for name in modules() for target in _imported(name) if target != name)
    return graph


def _imported(name: str) -> Iterator[str]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [value.value for value in node.args if isinstance(value, ast.Constant)]
        else:
            continue
        for full in names:
            for target in (full, full.rpartition(".")[0]):
                if target in modules():
                    yield target
                    break


def floor(name: str) -> int:
    """The floor of a module, by the longest name on it that it begins with."""
    rooms = {room if room.startswith("regrow") else f"{COMPANION}.{room}": number
             for number, floor in enumerate(FLOORS) for room in floor}
    fitting = [room for room in rooms if f"{name}.".startswith(f"{room}.")]
    return rooms[max(fitting, key=len)] if fitting else -1


def test_imports_run_downwards() -> None:
    upwards = {(name, target) for name, target in arrows().edges if floor(target) > floor(name)}
    assert upwards == FACADE


def test_every_module_has_its_floor() -> None:
    assert [name for name in modules() if floor(name) < 0] == [COMPANION]


def test_there_is_no_circle_of_imports() -> None:
    circles = [circle for circle in nx.strongly_connected_components(arrows()) if len(circle) > 1]
    assert not circles


def test_tails_and_fingerprints_know_nothing_of_networks() -> None:
    targets = {target for name, target in arrows().edges if name.startswith(("regrow.tails", "regrow.fingerprint"))}
    assert {target for target in targets if not target.startswith("regrow.tails")} == {"regrow.errors", "regrow.jit"}


def test_hidden_imports_have_their_reason_beside_them() -> None:
    """In a comment behind the import, or behind the first of several in a row."""
    without = [f"{name}:{line}" for name in modules() for line in _hidden_without_reason(name)]
    assert not without


def _hidden_without_reason(name: str) -> list[int]:
    lines, found = modules()[name].read_text(encoding="utf-8").splitlines(), set()
    for function in ast.walk(tree(name)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        row_ends = None  # the line at which a row of explained imports ends
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                if any("#" in line for line in lines[node.lineno - 1:node.end_lineno]) or row_ends == node.lineno - 1:
                    row_ends = node.end_lineno
                else:
                    found.add(node.lineno)
    return sorted(found)


@pytest.mark.parametrize("name", modules())
def test_no_name_shadows_a_module(name: str) -> None:
    """Neither one that the file imports, nor, if it is public, one that lies beside it: both have been read wrongly."""
    imported = {local for local, full in _module_names(name) if full in modules()}
    fields = {id(node.target) for made in ast.walk(tree(name)) if isinstance(made, ast.ClassDef)
              for node in made.body if isinstance(node, ast.AnnAssign)}  # read behind a dot
    bound: set[str] = set()
    for node in ast.walk(tree(name)):
        if id(node) in fields:
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
    beside = {path.stem for path in modules()[name].parent.iterdir() if path.suffix == ".py" or path.is_dir()}
    public = {node.name for node in tree(name).body if isinstance(node, ast.FunctionDef)}
    assert not bound & imported and not public & beside


def _module_names(name: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def test_rooms_stay_small() -> None:
    folders = {path.parent for path in modules().values()}
    assert not [folder for folder in folders if len(list(folder.glob("*.py"))) > MOST_MODULES]
    core = [path for path in modules().values() if path.is_relative_to(SOURCE / "regrow")]
    tails = [path for path in core if path.parent.name == "tails"]
    conv = [path for path in core if path.parent.name == "conv"]
    fingerprint = [path for path in core if path.name == "fingerprint.py"]
    rest = [path for path in core if path not in tails + conv + fingerprint]
    assert len(rest) <= CORE_FILES and sum(map(_lines, rest)) <= CORE_LINES
    assert len(conv) <= CONV_FILES and sum(map(_lines, conv)) <= CONV_LINES and max(map(_lines, conv)) <= CONV_FILE
    assert len(tails) <= TAILS_FILES and sum(map(_lines, tails)) <= TAILS_LINES
    assert sum(map(_lines, fingerprint)) <= FINGERPRINT_LINES


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())
