"""Rules from the user's own file: they join the studies, their code is part of the key, and mistakes are sentences."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import regrow
from regrow import rules
from regrow.config import CHOICES, FINGERPRINTS, OWN_RULES, RunConfig
from regrow.errors import ConfigError
from regrow_companion import cli

FILE = '''import regrow, torch

@regrow.growth("column")
def column(layer):
    """Where the input has most connections."""
    return layer.mask.sum(0).expand(layer.mask.shape).float() * {factor}

@regrow.pruning("oldest")
def oldest(layer, rate):
    """The first ones in the matrix."""
    flat = layer.mask.flatten()
    return (flat & (flat.cumsum(0) <= round(rate * int(flat.sum())))).reshape(layer.mask.shape)
'''


def run(rules_file: Path | None, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=cwd,
                          env=os.environ | {"REGROW_RULES": str(rules_file or ""), "OMP_NUM_THREADS": "1"})


@pytest.mark.slow
def test_a_rule_from_a_file_trains_and_joins_every_study(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(FILE.format(factor=1))
    words = ("-m", "regrow", "train", "dataset=fashion_mnist_small", "image_format=native", "hidden=20,10",
             "train_limit=256", "epochs=2", "update_interval=1", "grow=column", "prune=oldest", "--json", "--store",
             str(tmp_path / "store"))
    first = run(mine, *words)
    assert first.returncode == 0, first.stderr
    again = run(mine, *words)
    key = json.loads(first.stdout)["key"]
    assert json.loads(again.stdout)["key"] == key
    mine.write_text(FILE.format(factor=-1))
    other = run(mine, *words)
    assert json.loads(other.stdout)["key"] != key  # another code is another run

    plan = json.loads(run(mine, "-m", "regrow", "status", "--profile", "quick", "--json").stdout)
    plain = json.loads(run(None, "-m", "regrow", "status", "--profile", "quick", "--json").stdout)
    count = {need: sum(row.values()) for need, row in plan["needs"].items()}
    assert count["fig05"] == count["table4"] == 12 and sum(plain["needs"]["fig05"].values()) == 9
    assert count["fig13"] == (3 + 1) * (3 + 1) * 3
    replayed = run(mine, "-c", "from regrow_companion import study; study.load_own_rules(); "
                               "print({c.grow for c in study.runs('fig05', 'replay')})")
    assert "column" not in replayed.stdout and "momentum" in replayed.stdout


def test_the_key_of_a_rule_from_a_file_covers_what_the_file_uses(tmp_path: Path) -> None:
    """A module of the user's that it imports, and values that come from elsewhere; the file alone is as it ever was."""
    mine, ask = tmp_path / "mine.py", "from regrow.config import FINGERPRINTS; from regrow import rules; "
    ask += "print(FINGERPRINTS['grow column']())"

    def said(text: str, helper: str = "factor = 1", scale: str = "1") -> str:
        mine.write_text(text)
        (tmp_path / "mine_helper.py").write_text(helper)
        done = subprocess.run([sys.executable, "-B", "-c", ask], capture_output=True, text=True, check=True,
                              cwd=tmp_path, env=os.environ | {"REGROW_RULES": str(mine), "SCALE": scale})
        return done.stdout.strip()

    plain = FILE.format(factor=1)
    assert said(plain) == said(plain, "factor = 2") == hashlib.sha256(plain.encode()).hexdigest()[:16]
    importing = "import mine_helper\n" + FILE.format(factor="mine_helper.factor")
    assert said(importing) != said(importing, "factor = 2")
    asking = "import os\nscale = float(os.environ['SCALE'])\n" + FILE.format(factor="scale")
    assert said(asking) == said(asking) != said(asking, scale="2")


@pytest.mark.slow
@pytest.mark.parametrize(("text", "sentence"), [
    ("x = 1", "registers no rule"),
    ("1 / 0", "ZeroDivisionError: division by zero"),
    ("raise ValueError('two\\nlines')", "ValueError: two lines"),
    ("import sys\nsys.exit('usage: mine.py FILE')", "SystemExit: usage: mine.py FILE"),
    ("import regrow\n@regrow.growth('random')\ndef f(layer): ...", "built-in rule 'random' already"),
    ("import regrow\n@regrow.growth('a>b')\ndef f(layer): ...", "cannot be called 'a>b'"),
    (None, "cannot be read"),
])
def test_a_bad_file_is_one_sentence_and_exit_code_2(tmp_path: Path, text: str | None, sentence: str,
                                                    monkeypatch: pytest.MonkeyPatch,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.py"
    if text is not None:
        mine.write_text(text)
    monkeypatch.setenv(OWN_RULES, str(mine))
    assert cli.main(["status", "--store", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert sentence in said and len(said.strip().splitlines()) == 1


def test_a_bad_file_is_a_sentence_also_where_it_is_met_first(tmp_path: Path) -> None:
    """In a fresh process the file runs while the built-in rules are being imported."""
    done = run(tmp_path / "missing.py", "-m", "regrow", "status")
    assert done.returncode == 2 and "cannot be read" in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_two_files_with_a_rule_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    """The second one would replace the first in silence, also where it brings another rule as well."""
    for name, more in (("first", ""), ("second", "other"), ("third", "")):
        lines = [f"@regrow.growth('{rule}')\ndef f(layer): return layer.weight" for rule in ("same", more) if rule]
        (tmp_path / f"{name}.py").write_text("\n".join(["import regrow", *lines]))
    for other in ("second", "third"):
        both = Path(f"{tmp_path / 'first.py'}{os.pathsep}{tmp_path / other}.py")
        done = run(both, "-m", "regrow", "status", "--store", str(tmp_path))
        assert done.returncode == 2 and f"{other}.py, named by" in done.stderr
        assert "registers 'same', as another file there does" in done.stderr


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test registers is gone after it."""
    tables = (rules.GROWTH, CHOICES["grow"], FINGERPRINTS)
    before = [dict(table) for table in tables]
    yield
    for table, old in zip(tables, before, strict=True):
        table.clear()
        table.update(old)


def test_the_code_of_a_rule_defined_here_is_part_of_its_key(registry: None) -> None:
    @regrow.growth("temporary")
    def one(layer):
        return layer.weight

    first = RunConfig(grow="temporary").key

    @regrow.growth("temporary")
    def two(layer):
        return -layer.weight

    assert RunConfig(grow="temporary").key != first != RunConfig(grow="temporary", seed=1).key
    with pytest.raises(ConfigError, match="built-in"):
        @regrow.growth("gradient")
        def mine(layer):
            return layer.weight
