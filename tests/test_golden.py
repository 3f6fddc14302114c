"""What must never change by accident: the keys of every run and case that was ever planned, the help texts, and what
the ledger says of the shipped records.

A key names a record on somebody's disk: a changed one loses it. When a change is meant, `python tests/test_golden.py`
writes the files anew, and git shows what became of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from regrow.store import Store
from regrow_companion import study
from regrow_companion.claims import Entry, Evidence, evaluate
from regrow_companion.cli import parser
from regrow_companion.section8 import nb21_noise as noise
from regrow_companion.section8 import nb22_layers as layers
from regrow_companion.section8 import nb23_tickets as tickets

KEYS, HELP, LEDGER = (Path(__file__).parent / "assets" / name
                      for name in ("golden_keys.json", "golden_help.txt", "golden_ledger.json"))
EXPERIMENTS = {"layers": layers, "noise": noise, "tickets": tickets}


@cache
def keys() -> dict[str, dict[str, object]]:
    """By need or experiment and profile: how many keys, the first three, and a checksum of all in order."""
    found = {f"{need} {profile}": [config.key for config in study.runs(need, profile)]
             for need in study.NEEDS for profile in ("paper", "quick")}
    found |= {f"{name} {profile}": [case.key for case in module.EXPERIMENT.cases(profile)]
              for name, module in EXPERIMENTS.items() for profile in ("paper", "quick")}
    return {name: {"number": len(those), "first": those[:3],
                   "sha256": hashlib.sha256("\n".join(those).encode()).hexdigest()} for name, those in found.items()}


def help_texts() -> str:
    """Every command's help, a word a line: Pythons differ in where they break lines."""
    top = parser()
    sub = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    texts = {"": top.format_help()} | {name: made.format_help() for name, made in sub.choices.items()}
    return "\n".join(word for name, text in texts.items() for word in (f"== {name}", *text.split())) + "\n"


def ledger(entries: list[Entry]) -> dict[str, dict[str, Any]]:
    """By claim: its verdict, what other readings and the paper's own numbers say, and of each effect with what is
    claimed of it the mean to six digits."""
    return {claim.id: {"verdict": outcome.verdict, "parts": {part.name: part.verdict for part in outcome.parts},
                       "readings": {one.name: one.verdict for one in outcome.readings}, "paper": outcome.paper,
                       "effects": {f"{one.label}, {one.claimed}": float(f"{one.mean:.6g}") for one in outcome.effects}}
            for claim, outcome in entries}


@pytest.mark.parametrize("name", json.loads(KEYS.read_text()) if KEYS.exists() else [])
def test_keys_of_planned_runs_are_what_they_were(name: str) -> None:
    assert keys()[name] == json.loads(KEYS.read_text())[name]


def test_no_planned_run_is_missing_from_the_list() -> None:
    assert list(keys()) == list(json.loads(KEYS.read_text()))


def test_help_texts_are_what_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert help_texts().splitlines() == HELP.read_text().splitlines()


def test_the_ledger_of_the_shipped_records_is_what_it_was(shipped_ledger: list[Entry]) -> None:
    """Its verdicts to the letter; its numbers to a little less than what is written, for the sake of other machines."""
    found, expected = ledger(shipped_ledger), json.loads(LEDGER.read_text())
    assert list(found) == list(expected)
    for name, claim in expected.items():
        assert found[name] | {"effects": {}} == claim | {"effects": {}}, name
        assert found[name]["effects"] == pytest.approx(claim["effects"], rel=1e-5, abs=1e-12, nan_ok=True), name


if __name__ == "__main__":
    os.environ["COLUMNS"] = "120"
    KEYS.write_text(json.dumps(keys(), indent=1) + "\n")
    HELP.write_text(help_texts())
    shipped = evaluate(Evidence(Store("/nowhere", read_also=(study.SHIPPED,))))
    LEDGER.write_text(json.dumps(ledger(shipped), indent=1, ensure_ascii=False) + "\n")
