"""The public names of the package as a page: read from the source, so that nothing has to be imported for it."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import regrow

CORE = Path(regrow.__file__).parent
BEYOND_CORE = ("regrow_companion.watching.observation",)  # what `regrow` takes from elsewhere


def paragraphs(doc: str) -> list[tuple[str, bool]]:
    """The parts of a docstring between empty lines, and the items of its lists, as (text, whether it is code, which is
    indented)."""
    parts = [part for part in re.split(r"\n\n+|\n(?=- )", doc) if part.strip()]
    indented = [part.startswith("    ") for part in parts]
    return [(part if code else " ".join(part.split()), code) for part, code in zip(parts, indented, strict=True)]


@dataclass(frozen=True)
class Name:
    """A function, a class, or a method of one. `signature` is Python without the body; `members` are a class's own."""

    anchor: str
    signature: str
    doc: str
    members: tuple[Name, ...] = ()

    @property
    def name(self) -> str:
        return self.anchor.rpartition(".")[2]

    @property
    def summary(self) -> str:
        """The first sentence, or what comes before the first empty line."""
        return " ".join(self.doc.partition("\n\n")[0].split()).replace("`", "").partition(". ")[0].rstrip(".") + "."


@dataclass(frozen=True)
class Module:
    """A module with its public names in the order of its source."""

    name: str
    doc: str
    names: tuple[Name, ...]


def modules() -> list[Module]:
    """Every module of `regrow` that has public names of its own, in alphabetical order, and BEYOND_CORE."""
    found = [_module(_dotted(path), path) for path in sorted(CORE.rglob("*.py"))]
    for name in BEYOND_CORE:
        spec = find_spec(name)
        if spec and spec.origin:
            found.append(_module(name, Path(spec.origin)))
    return [module for module in found if module.names]


def face(listed: list[Module]) -> list[Name]:
    """What `import regrow` offers, as named in its __all__, in that order."""
    homes = {name.name: name for module in listed for name in module.names
             if f"{module.name}.{name.name}" == name.anchor}
    return [homes[name] for name in regrow.__all__ if name in homes]


def _dotted(path: Path) -> str:
    parts = path.relative_to(CORE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _module(name: str, path: Path) -> Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return Module(name, inspect.cleandoc(ast.get_docstring(tree) or ""), tuple(_names(tree.body, name)))


def _names(body: list[ast.stmt], inside: str) -> Iterator[Name]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield Name(f"{inside}.{node.name}", _signature(node), ast.get_docstring(node) or "")
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            anchor = f"{inside}.{node.name}"
            bases = f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else ""
            yield Name(anchor, "\n".join([f"class {node.name}{bases}", *_fields(node)]), ast.get_docstring(node) or "",
                       tuple(_names(node.body, anchor)))


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    marks = [f"@{ast.unparse(mark)}\n" for mark in node.decorator_list]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{''.join(marks)}{node.name}({ast.unparse(node.args)}){returns}"


def _fields(node: ast.ClassDef) -> list[str]:
    """The annotated fields of a class with their defaults; behind a key of RunConfig stands what it means."""
    lines = []
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and not one.target.id.startswith("_"):
            default, meaning = one.value, ""
            if isinstance(one.value, ast.Call):  # _key(default, meaning), or field(...), which says nothing here
                is_key = ast.unparse(one.value.func) == "_key"
                default = one.value.args[0] if is_key else None
                meaning = f"  # {ast.literal_eval(one.value.args[1])}" if is_key else ""
            value = "" if default is None else f" = {ast.unparse(default)}"
            lines.append(f"    {one.target.id}: {ast.unparse(one.annotation)}{value}{meaning}")
    return lines
