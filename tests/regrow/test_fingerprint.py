"""A rule's fingerprint covers its code and all of the user's own that it uses, and is the same in every process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
import torch

from regrow import fingerprint

# Each is a program: it defines `rule`, and then `change` changes what the rule gives without another rule.
CHANGES = {
    "a global number": ("sign = 1\ndef rule(x): return sign * x", "sign = -1"),
    "a global read inside": ("sign = 1\ndef rule(x): return [sign for _ in x]", "sign = -1"),
    "a helper": ("def helper(x): return x\ndef rule(x): return helper(x)", "def helper(x): return -x"),
    "a helper's helper": ("def a(x): return x\ndef b(x): return a(x)\ndef rule(x): return b(x)", "def a(x): return -x"),
    "a helper's global": ("n = 1\ndef helper(x): return n * x\ndef rule(x): return helper(x)", "n = 2"),
    "a default": ("n = 1\ndef rule(x, k=n): return k * x", "rule.__defaults__ = (2,)"),
    "a keyword default": ("def rule(x, *, k=1): return k * x", "rule.__kwdefaults__['k'] = 2"),
    "a closure": ("def make(k):\n    def rule(x): return k * x\n    return rule\nrule = make(1)", "rule = make(2)"),
    "a list": ("scale = [1, 2]\ndef rule(x): return x * scale[0]", "scale[0] = 5"),
    "a mapping": ("scale = {'a': 1}\ndef rule(x): return x * scale['a']", "scale['a'] = 5"),
    "a set": ("names = {'a', 'b', 'c'}\ndef rule(x): return len(names)", "names.add('d')"),
    "a tensor": ("import torch\nt = torch.ones(3)\ndef rule(x): return x * t", "t[0] = 2"),
    "a bfloat16 tensor": ("import torch\nt = torch.ones(3).bfloat16()\ndef rule(x): return x * t", "t[0] = 2"),
    "an array": ("import numpy as np\nt = np.ones(3)\ndef rule(x): return x * t", "t[0] = 2"),
    "a view": ("import numpy as np\nt = np.ones((3, 4)).T\ndef rule(x): return x * t", "t[0] = 2"),
    "a partial": ("import functools\ndef f(x, k): return k * x\nrule = functools.partial(f, k=1)",
                  "rule = functools.partial(f, k=2)"),
    "a partial's function": ("import functools\ndef f(x, k): return k * x\nrule = functools.partial(f, k=1)",
                             "def f(x, k): return -k * x\nrule = functools.partial(f, k=1)"),
    "an object": ("class A:\n    def __init__(self, k): self.k = k\n    def __call__(self, x): return self.k * x\n"
                  "rule = A(1)", "rule.k = 2"),
    "a slot": ("class A:\n    __slots__ = ('k',)\n    def __call__(self, x): return self.k * x\nrule = A()\nrule.k = 1",
               "rule.k = 2"),
    "a bound method": ("class A:\n    k = 1\n    def f(self, x): return self.k * x\na = A()\nrule = a.f", "a.k = 2"),
    "a class": ("class A:\n    k = 1\n    def f(self, x): return self.k * x\nrule = A().f", "A.k = 2"),
    "a base class": ("class B:\n    k = 1\nclass A(B):\n    def f(self, x): return self.k * x\nrule = A().f",
                     "B.k = 2"),
    "a static method": ("class A:\n    @staticmethod\n    def f(x): return x\ndef rule(x): return A.f(x)",
                        "A.f = staticmethod(lambda x: -x)"),
    "a property": ("class A:\n    @property\n    def k(self): return n\nn = 1\na = A()\ndef rule(x): return a.k * x",
                   "n = 2"),
    "a data class": ("import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass A:\n    k: int = 1\na = A()\n"
                     "def rule(x): return a.k * x", "a = A(2)"),
    "an enumeration": ("import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\ne = E.A\n"
                       "def rule(x): return e.value * x", "e = E.B"),
    "a module": ("import torch\nnet = torch.nn.Linear(2, 2, False)\nnet.weight.data.fill_(1)\n"
                 "def rule(x): return net(x)", "net.weight.data.fill_(7)"),
    "what a library function is called": ("import torch\nf = torch.abs\ndef rule(x): return f(x)", "f = torch.neg"),
    "a ufunc": ("import numpy as np\nf = np.abs\ndef rule(x): return f(x)", "f = np.negative"),
    "a cached helper": ("import functools\n@functools.cache\ndef f(x): return n * x\nn = 1\ndef rule(x): return f(x)",
                        "n = 2"),
    "a decorated helper": ("import torch\n@torch.no_grad()\ndef f(x): return n * x\nn = 1\ndef rule(x): return f(x)",
                           "n = 2"),
    "a decorator of one's own": (
        "import functools\ndef scaled(f):\n    @functools.wraps(f)\n    def inner(x): return n * f(x)\n"
        "    return inner\n"
        "n = 1\n@scaled\ndef rule(x): return x", "n = 2"),
    "a lambda beside another": ("rule, other = lambda x: x, lambda x: -x", "rule, other = other, rule"),
    "a constant inside": ("def rule(x): return [k for k in (1, 2)]", "def rule(x): return [k for k in (1, 3)]"),
    "a date": ("import datetime as d\nt = d.date(2024, 1, 1)\ndef rule(x): return t", "t = d.date(2024, 1, 2)"),
    "a counter": ("from collections import Counter\nc = Counter('ab')\ndef rule(x): return c['a']", "c['a'] = 3"),
}
SHOW = "\nfrom regrow.fingerprint import of_rule\nprint(*of_rule(rule)[0:1], *of_rule(rule)[1])\n"


def digest(rule: Callable[..., Any]) -> str:
    found, missed = fingerprint.of_rule(rule)
    assert len(found) == 16 and not missed
    return found


@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize("what", CHANGES)
def test_what_a_rule_uses_is_covered(what: str, readable: bool, tmp_path: Path) -> None:
    """In a file, and typed at a prompt, where there is no source."""
    program, change = CHANGES[what]
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, text in enumerate((program, change)):
        path = tmp_path / f"{number}.py"
        if readable:
            path.write_text(text)
        before = digest(names["rule"]) if number else ""
        exec(compile(text, str(path) if readable else "<typed>", "exec"), names)
        if not number:
            assert digest(names["rule"]) == digest(names["rule"])
    assert digest(names["rule"]) != before


def test_fingerprints_are_the_same_in_every_process(tmp_path: Path) -> None:
    """Whatever seed strings are hashed with, and wherever things lie in memory."""
    script = tmp_path / "all.py"
    script.write_text("from regrow.fingerprint import of_rule\n" + "".join(
        f"def _{number}():\n    names = {{'__name__': '__main__'}}\n    exec({program!r}, names)\n"
        f"    print(*of_rule(names['rule']))\n_{number}()\n" for number, (program, _) in enumerate(CHANGES.values())))
    said = {subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True,
                           env=os.environ | {"PYTHONHASHSEED": seed}).stdout for seed in ("1", "2")}
    assert len(said) == 1 and len(said.pop().splitlines()) == len(CHANGES)


def test_a_rule_that_uses_nothing_of_ones_own_is_its_source(tmp_path: Path) -> None:
    """As fingerprints were before they covered more: records of such rules stay valid."""
    names: dict[str, Any] = {"torch": torch}
    (tmp_path / "f.py").write_text(text := "def rule(layer):\n    return torch.rand(layer.mask.shape)\n")
    exec(compile(text, str(tmp_path / "f.py"), "exec"), names)
    rule = names["rule"]
    assert isinstance(rule, FunctionType) and digest(rule) == hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize("program", [
    "log = []\ndef rule(x):\n    log.append(x)\n    return x",
    "log = {}\ndef rule(x):\n    log[x] = 1\n    return x",
    "calls = 0\ndef rule(x):\n    global calls\n    calls += 1\n    return x",
    "import torch\nseen = torch.zeros(3)\ndef rule(x):\n    seen.add_(1)\n    return x",
    "class A:\n    def __init__(self): self.n, self.log = 0, []\n"
    "    def __call__(self, x):\n        self.n += 1\n        self.log.append(x)\n        return x\nrule = A()",
    "def make():\n    n = 0\n    def rule(x):\n        nonlocal n\n        n += 1\n        return x\n    return rule\n"
    "rule = make()",
])
def test_what_a_rule_writes_down_itself_is_no_part_of_it(program: str, tmp_path: Path) -> None:
    """Else its key would be another one at the end of a run than at its beginning."""
    (tmp_path / "f.py").write_text(program)
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(program, str(tmp_path / "f.py"), "exec"), names)
    before = digest(names["rule"])
    names["rule"](1)
    assert digest(names["rule"]) == before


@pytest.mark.parametrize("program", [
    "t = []\nfor _ in range(9999): t = [t]\ndef rule(x): return t", "t = (k for k in 'ab')\ndef rule(x): return t",
    "import random\nt = random.Random(1)\ndef rule(x): return t", "t = {object()}\ndef rule(x): return t",
    "import torch\nt = torch.Generator()\ndef rule(x): return t", "t = open('/dev/null')\ndef rule(x): return t",
    "import numpy\nt = numpy.random.default_rng(1)\ndef rule(x): return t"])
def test_whatever_a_rule_uses_there_is_a_fingerprint(program: str) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(program, names)
    found, missed = fingerprint.of_rule(names["rule"])
    assert len(found) == 16 and len(missed) == 1


def test_what_cannot_be_covered_is_said() -> None:
    lock = threading.Lock()

    def rule(x: int) -> int:
        with lock:
            return x

    assert fingerprint.of_rule(rule)[1] == ["lock (lock)"]


def test_things_that_hold_each_other_come_to_an_end() -> None:
    holder: dict[str, Any] = {}
    holder["self"] = [holder]

    def rule(x: int) -> Any:
        return holder, rule

    assert digest(rule) == digest(rule)


def test_a_file_counts_with_what_it_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of the user's own, also those that these import, inside functions, and in packages."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_package").mkdir()
    files = {"mine_main.py": "import numpy, mine_one\nfrom mine_package import part\n",
             "mine_one.py": "import json\ndef f():\n    import mine_two\n", "mine_two.py": "x = 1\n",
             "mine_package/__init__.py": "", "mine_package/part.py": "from . import other\n",
             "mine_package/other.py": "y = 1\n", "mine_stranger.py": ""}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    seen = [fingerprint.of_file(tmp_path / "mine_main.py")]
    for name in files:
        with (tmp_path / name).open("a") as file:
            file.write("z = 1\n")
        seen.append(fingerprint.of_file(tmp_path / "mine_main.py"))
    assert len(set(seen)) == len(files) and seen[-1] == seen[-2]  # all but the stranger
    assert fingerprint.of_file(tmp_path / "mine_two.py") == fingerprint.of_file(tmp_path / "mine_two.py")


def test_a_changed_module_changes_the_rule_that_names_it(tmp_path: Path) -> None:
    """Its file, and what was set in it since."""
    (tmp_path / "mine_helpers.py").write_text("sign = 1\n")
    told = []
    for text, after in (("sign = 1\n", ""), ("sign = -1\n", ""), ("sign = 1\n", "mine_helpers.sign = 5")):
        (tmp_path / "mine_helpers.py").write_text(text)
        (tmp_path / "it.py").write_text(textwrap.dedent(f"""
            import mine_helpers
            def rule(x): return x * mine_helpers.sign
            {after}""") + SHOW)
        told.append(subprocess.run([sys.executable, "-B", "it.py"], cwd=tmp_path, capture_output=True, text=True,
                                   check=True).stdout)
    assert len(set(told)) == 3
