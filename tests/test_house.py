"""The plan of the house: imports run downwards, in functions too, and no room grows out of hand.

EXCEPTIONS lists what is not so yet; it may only shrink.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import networkx as nx

SOURCE = Path(__file__).parents[1] / "src"
HIDDEN_WITHOUT_REASON = 76  # imports inside functions that no comment explains


@cache
def modules() -> dict[str, Path]:
    """Every module's name and file."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str) -> dict[str, ast.AST]:
    """The modules of ours that a module imports anywhere, and where."""
    found: dict[str, ast.AST] = {}
    for node in ast.walk(ast.parse(modules()[name].read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [value.value for value in node.args if isinstance(value, ast.Constant)]
        else:
            continue
        for full in names:
            target = full if full in modules() else full.rpartition(".")[0]
            if target in modules() and target != name:
                found.setdefault(target, node)
    return found


@cache
def arrows() -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(modules())
    graph.add_edges_from((name, target) for name in modules() for target in imports(name))
    return graph


def test_there_is_no_circle_of_imports() -> None:
    circles = {frozenset(circle) for circle in nx.strongly_connected_components(arrows()) if len(circle) > 1}
    assert not circles


def test_hidden_imports_have_their_reason_beside_them() -> None:
    """In a comment behind the import, or behind the first of several in a row."""
    without = [f"{name}:{line}" for name in modules() for line in _hidden_without_reason(modules()[name])]
    assert len(without) <= HIDDEN_WITHOUT_REASON, without


def _hidden_without_reason(path: Path) -> list[int]:
    text = path.read_text()
    lines, found = text.splitlines(), set()
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        explained = None  # the line at which a row of explained imports ends
        for node in ast.walk(function):
            if isinstance(node, ast.Import | ast.ImportFrom):
                ours = isinstance(node, ast.Import) or (node.module or "") != "__future__"
                comment = any("#" in line for line in lines[node.lineno - 1:node.end_lineno])
                if comment or explained == node.lineno - 1:
                    explained = node.end_lineno
                elif ours:
                    found.add(node.lineno)
    return sorted(found)
