"""The code of a user's function and of all of the user's own that it uses, as a digest. Knows nothing of networks."""

from __future__ import annotations

import ast
import copyreg
import dis
import hashlib
import importlib.util
import inspect
import os
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import CodeType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any

import numpy as np

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
_CHANGERS = frozenset({"append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "clear", "remove",
                       "discard"})
_LIBRARIES = tuple(str(path) + os.sep for path in {
    Path(sysconfig.get_path("stdlib")), Path(ast.__file__).parent, Path(__file__).parent,
    Path(__file__).parents[1] / "regrow_companion"})


def of_rule(rule: Callable[..., Any], text: str = "") -> tuple[str, list[str]]:
    """16 hex digits of a user's function and of all of the user's own that it uses; and what they do not cover.

    Counted are its source, defaults and closure, and the globals, helpers, classes and modules that it names, with
    their values, theirs likewise; of what comes with Python or an installed package, the name. What a function changes
    itself, such as a list that it keeps a log in, is a result and left out. The same in every process. `text`, the
    digest of the file that it stands in, counts in the place of its source.
    """
    walk = _Walk()
    code = rule.__code__ if isinstance(rule, FunctionType) else None
    source = "" if text or code is None else _source(code, code.co_filename) or ""
    try:
        walk.take(rule, "it", root=True)
    except Exception as error:  # something that holds itself without end, or does not let itself be looked at
        walk.missed.append(f"all that it uses ({type(error).__name__})")
    if not walk.fed:
        return text or hashlib.sha256(source.encode()).hexdigest()[:16], walk.missed
    walk.feed(text or source)
    return walk.digest.hexdigest()[:16], walk.missed


def of_file(path: Path) -> str:
    """16 hex digits of a Python file and of the user's own modules that it imports, and they. Raises OSError."""
    content, walk = path.read_bytes(), _Walk()
    walk.file(path, "")
    return (walk.digest if len(walk.files) > 1 else hashlib.sha256(content)).hexdigest()[:16]


class _Walk:
    """A walk through all that a function names, into one digest."""

    def __init__(self) -> None:
        self.digest, self.fed = hashlib.sha256(), False
        self.seen: dict[int, tuple[int, Any]] = {}  # by id, with the thing, whose id is then no other's
        self.missed: list[str] = []
        self.files: set[Path] = set()

    def feed(self, *words: Any) -> None:
        self.fed = True
        for word in words:
            part = word if isinstance(word, bytes) else str(word).encode()
            self.digest.update(b"%d:" % len(part) + part)

    def each(self, things: Iterable[Any], name: str) -> None:
        for thing in things:
            self.take(thing, name)

    def take(self, thing: Any, name: str, *, root: bool = False) -> None:
        """One thing that the user calls `name`, and what it is made of."""
        kind = type(thing)
        if kind in _PLAIN:
            self.feed(kind.__name__, repr(thing))
        elif isinstance(thing, np.ndarray | np.generic) and not thing.dtype.hasobject:
            self.feed(thing.dtype.str, thing.shape, thing.tobytes())
        elif kind in (tuple, set, frozenset):
            self.feed(kind.__name__, len(thing))
            items = list(thing) if kind is tuple else sorted(thing, key=repr)
            if kind is not tuple and any(" at 0x" in repr(item) for item in items):
                return self.missed.append(f"{name} ({kind.__name__})")  # in an order that no other process has
            self.each(items, name)
        elif id(thing) in self.seen:
            self.feed("again", self.seen[id(thing)][0])
        else:
            self.seen[id(thing)] = len(self.seen), thing
            if isinstance(thing, FunctionType):
                self.function(thing, root)
            elif isinstance(thing, type):
                self.type(thing)
            elif isinstance(thing, ModuleType):
                self.feed("module", thing.__name__)
                if (file := getattr(thing, "__file__", None)) and not _is_library(file):
                    self.file(Path(file), getattr(thing, "__package__", None) or "")
            elif kind in (list, dict):
                self.feed(kind.__name__, len(thing))
                plain = kind is dict and all(type(key) in _PLAIN for key in thing)
                keys = sorted(thing, key=repr) if plain else thing  # a dict may have been made from a set
                self.each(thing if kind is list else [part for key in keys for part in (key, thing[key])], name)
            else:
                self.other(thing, name)

    def other(self, thing: Any, name: str) -> None:
        """An object, as pickle would take it apart."""
        kind = type(thing)
        inner = next((part for word in ("__wrapped__", "fget", "py_func")  # decorators of Python's and numba's
                      if isinstance(part := getattr(thing, word, None), FunctionType)), None)
        self.feed(kind.__module__ if _of_library(kind) else "", kind.__qualname__)
        if inner is not None:
            return self.take(inner, name)
        try:
            if kind.__module__.startswith("torch") and hasattr(thing, "untyped_storage"):
                import torch  # whoever has a tensor has it already

                flat = thing.detach().cpu().to_dense().contiguous().flatten()
                return self.feed(thing.dtype, thing.shape, flat.view(torch.uint8).numpy().tobytes())
            if kind.__name__ in ("Generator", "RandomState", "Random"):
                raise TypeError  # its state is another one after every draw
            taker = copyreg.dispatch_table.get(kind)
            made = taker(thing) if taker else thing.__reduce_ex__(2)
        except Exception:  # locks, files, iterators
            return self.missed.append(f"{name} ({kind.__qualname__})")
        for part in made if isinstance(made, tuple) else (made,):
            if isinstance(part, dict):  # of attributes
                part = {key: part[key] for key in sorted(part, key=str) if f".{key}" not in _state_of(kind)}
            self.take(list(part) if isinstance(part, Iterator) else part, name)

    def function(self, function: FunctionType, root: bool) -> None:
        code, known = function.__code__, function.__globals__
        if _is_library(code.co_filename):
            self.feed("library", function.__module__, function.__qualname__)
            inner = getattr(function, "__wrapped__", None)  # a decorator of theirs around a user's function
            return None if inner is None else self.take(inner, function.__qualname__)
        source = _source(code, code.co_filename)
        if source is None or (code.co_name == "<lambda>" and source.count("lambda") > 1):
            self.code(code)
        elif not root:
            self.feed(source)
        self.each(filter(None, (function.__defaults__, function.__kwdefaults__)), f"a default of {function.__name__}")
        written = _written(source or "")
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            with suppress(ValueError):  # an empty cell
                if name not in written or isinstance(cell.cell_contents, FunctionType | type):
                    self.feed(name)
                    self.take(cell.cell_contents, name)
        for name, attributes in sorted(_globals(code).items()):
            value = known.get(name)
            module = isinstance(value, ModuleType)
            ours = _of_library(value) and (module or (getattr(value, "__name__", None) == name
                                                      and not hasattr(value, "__wrapped__")))  # the source says it
            if name not in known or name.startswith("__") or ours or (
                    name in written and not isinstance(value, FunctionType | type | ModuleType)):
                continue
            self.feed(name)
            self.take(value, name)
            for part in sorted(attributes) if module else ():
                self.take(getattr(value, part, None), f"{name}.{part}")
        for path, package in _imported(source or "", known.get("__package__") or ""):
            self.file(path, package)

    def code(self, code: CodeType) -> None:
        """Code whose source is not to be had, such as what was typed at a prompt."""
        self.feed(code.co_code, code.co_names, code.co_varnames, code.co_freevars)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self.code(constant)
            else:
                self.take(constant, "a constant")

    def type(self, kind: type) -> None:
        self.feed("class", kind.__module__ if _of_library(kind) else "", kind.__qualname__)
        if not _of_library(kind):
            self.each(kind.__bases__, kind.__qualname__)
            for name, value in sorted(vars(kind).items()):
                hidden = name.startswith("_") and name.endswith("_") and not isinstance(value, FunctionType)
                if not hidden and f".{name}" not in _state_of(kind) and not isinstance(value, MemberDescriptorType):
                    self.feed(name)
                    self.take(value, f"{kind.__qualname__}.{name}")

    def file(self, path: Path, package: str) -> None:
        """A file of the user's, and the files of the user's that it imports."""
        if path not in self.files:
            self.files.add(path)
            content = path.read_bytes() if path.is_file() else b""
            self.feed(path.name, content)
            for other, its_package in _imported(content.decode(errors="replace"), package):
                self.file(other, its_package)


def _is_library(file: str) -> bool:
    """True of a file that Python, an installed package or we brought."""
    return file.startswith(("<frozen", "<__array", *_LIBRARIES)) or not {"site-packages", "dist-packages"}.isdisjoint(
        Path(file).parts)


def _of_library(thing: Any) -> bool:
    """The same of a module, function or class; a module that has no file came with Python or was made by hand."""
    name = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None) or "builtins"
    if name == "__main__":  # whatever started the process
        return False
    module = thing if isinstance(thing, ModuleType) else sys.modules.get(name)
    file = thing.__code__.co_filename if isinstance(thing, FunctionType) else getattr(module, "__file__", None)
    return _is_library(file) if file else name in sys.builtin_module_names


@lru_cache(maxsize=4096)
def _source(code: CodeType, file: str) -> str | None:
    """As it was when it was first asked for. `file`, since equal code may stand in two of them."""
    try:
        return inspect.getsource(code)
    except Exception:  # typed at a prompt, or in a file that is gone or was cut
        return None


@lru_cache(maxsize=4096)
def _globals(code: CodeType) -> dict[str, set[str]]:
    """The globals that code reads, also in functions inside it, each with the attributes that are taken of it."""
    found: dict[str, set[str]] = {}
    for step, following in pairwise(dis.get_instructions(code)):  # the last one returns
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            found.setdefault(step.argval, set()).update(
                [following.argval] if following.opname in ("LOAD_ATTR", "LOAD_METHOD") else [])
    for inner in code.co_consts:
        for name, attributes in _globals(inner).items() if isinstance(inner, CodeType) else ():
            found.setdefault(name, set()).update(attributes)
    return found


def _nodes(source: str) -> list[ast.AST]:
    try:
        return list(ast.walk(ast.parse(textwrap.dedent(source))))
    except (SyntaxError, ValueError):  # a lambda cut out of a longer statement
        return []


@lru_cache(maxsize=4096)
def _written(source: str) -> frozenset[str]:
    """Names that a piece of code changes itself, and attributes, with a dot before them."""
    found: set[str] = set()
    for node in _nodes(source):
        if isinstance(node, ast.Global | ast.Nonlocal):
            found.update(node.names)
        target: ast.AST = node
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and (
                node.func.attr in _CHANGERS or node.func.attr.endswith("_")):
            target = node.func.value
        elif not (isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load)):
            continue
        while isinstance(target, ast.Subscript | ast.Attribute):
            found |= {f".{target.attr}"} if isinstance(target, ast.Attribute) else set()
            target = target.value
        found |= {target.id} if isinstance(target, ast.Name) else set()
    return frozenset(found)


def _state_of(kind: type) -> set[str]:
    """Attributes that the methods of a user's class change after it was made, with a dot before them."""
    methods = [part for base in kind.__mro__ if not _of_library(base) for name, part in vars(base).items()
               if isinstance(part, FunctionType) and name != "__init__"]
    return {word for method in methods for word in _written(_source(method.__code__, method.__code__.co_filename) or "")
            if word.startswith(".")}


@lru_cache(maxsize=4096)
def _imported(source: str, package: str) -> tuple[tuple[Path, str], ...]:
    """Files of the user's own modules that a piece of source imports anywhere, and the packages that they are in."""
    names: list[str] = []
    for node in _nodes(source):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[:len(package.split(".")) + 1 - node.level]) if node.level else ""
            base = ".".join(filter(None, (base, node.module)))
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    found = {}
    for name in names:
        with suppress(Exception):  # not there, or not a module: whoever runs the code will hear of it
            top = importlib.util.find_spec(name.partition(".")[0])
            if top is not None and not (top.origin and _is_library(top.origin)):
                spec = importlib.util.find_spec(name)
                if spec is not None and spec.origin and os.path.isfile(spec.origin):
                    found[Path(spec.origin)] = spec.parent or ""
    return tuple(found.items())
