"""Torture in short: every kind keeps its promises here too, and every kind would notice if it did not."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from regrow import compact, files, rules, topology
from regrow.store import Store
from regrow_companion import cli, number_files
from torture import (
    bad_input,
    books,
    command,
    damage,
    dependencies,
    disk,
    kills,
    odd_files,
    odd_models,
    odd_rules,
    victims,
)
from torture.nursery import Nursery
from torture.promises import Stage, Tally, Watch
from torture.said import Said

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as made:
        yield made


def kept(tally: Tally, tried: int) -> None:
    assert tally.broken == [] and tally.tried >= tried, tally


# ---- the kinds, in short ----


def test_sweeps_are_killed_and_lose_nothing(tmp_path, nursery):
    tally = kills.run(Stage(tmp_path, 12, seed=1), nursery)
    kept(tally, 12)
    assert sum(tally.counts.get(phase, 0) for phase in victims.PHASES) == 12 * victims.WORKERS


@pytest.mark.slow
def test_the_command_is_killed_and_loses_nothing(tmp_path, nursery):
    kept(kills.commands(Stage(tmp_path, 1, seed=3), nursery), 1)


@pytest.mark.slow
def test_a_notebook_is_killed_and_leaves_nothing_half_done(tmp_path, nursery):
    kept(books.run(Stage(tmp_path, 1), nursery.undisturbed), 1)


def test_eight_processes_want_the_same(tmp_path, nursery):
    tally = kills.contention(Stage(tmp_path, 1), nursery)
    kept(tally, 1)
    assert tally.counts == {"processes": 8, "records asked for": 160, "trainings": 20, "records": 20}


def test_networks_of_other_people(tmp_path):
    kept(odd_models.run(Stage(tmp_path, 100, seed=5)), 100)


def test_damaged_files(tmp_path):
    tally = damage.run(Stage(tmp_path, 40))
    kept(tally, 40)
    assert tally.counts["moved aside and trained again"] > 15 and tally.counts["refused"] > 3


@pytest.mark.slow
def test_disks_places_and_the_clock(tmp_path):
    tally = disk.run(Stage(tmp_path, 8))
    kept(tally, 8)
    assert tally.counts["files limited in size"] and tally.counts["clock going backwards"]


def test_odd_rules(tmp_path):
    tally = odd_rules.run(Stage(tmp_path, 40, seed=1))
    kept(tally, 40)
    assert tally.counts == {"an update": 40, **{f"{config.model} on the {engine} engine": 1
                                                for engine, config in odd_rules.RUNS}}


@pytest.mark.parametrize(("fault", "sign"), [
    ("copies", "what it was given changed"), ("checks", "in the place of a sentence"),
    ("counts", "connections in the")])
def test_rules_that_get_through_would_be_noticed(fault, sign, monkeypatch):
    """Were users' rules taken for our own, were nothing checked, or were what they prune not held to the mask."""
    if fault == "copies":
        monkeypatch.setattr(rules, "_is_ours", lambda rule: True)
        rule = odd_rules.OddRule("growth", "changes the weight", "good")
    elif fault == "checks":
        monkeypatch.setattr(rules, "_tensor", lambda value, *_: value)
        rule = odd_rules.OddRule("growth", "nothing", "nothing")
    else:
        monkeypatch.setattr(topology, "connections_to_prune", lambda layer, rate, rule: ~layer.mask)
        rule = odd_rules.OddRule("pruning", "nothing", "good")
    broken = [odd_rules.broken_alone(rule, random.Random(seed)) for seed in range(20)]
    assert any(sign in said for said in broken)


def test_mistakes(tmp_path):
    kept(bad_input.run(Stage(tmp_path, 60, seed=5)), 60)


def test_odd_files_of_numbers(tmp_path):
    tally = odd_files.run(Stage(tmp_path, 50, seed=2))
    kept(tally, 50)
    assert tally.counts["read"] > 10 and tally.counts["refused"] > 10


def test_other_numbers_than_the_files_would_be_noticed(tmp_path, monkeypatch):
    read = number_files.read_numbers
    monkeypatch.setattr(number_files, "read_numbers", lambda *file: read(*file)[1:])
    tally = odd_files.run(Stage(tmp_path, 20, seed=2))
    assert tally.broken and "n, zeros, largest and tail are" in tally.broken[0]


def test_runs_that_go_wrong_are_counted(tmp_path):
    tally = damage.misfortunes(Stage(tmp_path, 8))
    kept(tally, 8)
    assert tally.counts == {"loss is no number": 6, "collapsed to chance": 8, "counted in the table": 8}


def test_there_are_mistakes_enough_of_every_kind():
    every = bad_input.mistakes()
    assert len(every) >= 300 and len(every) == len({(m.argv, m.file) for m in every})
    assert {m.kind for m in every[:30]} == {m.kind for m in every} and every != bad_input.mistakes(1)
    words = {word for m in every for word in m.argv}
    assert {"sparsity=1.0", "epochs=0", "grow=momentum", "update_interval=400"} <= words


def test_versions_are_listed(tmp_path):
    tally = dependencies.run(Stage(tmp_path, 1))
    assert tally.counts["packages"] > 20 and ("numpy" in tally.note or "known vulnerabilities" in tally.counts)


SKIPPED = {"name": "numpy", "skip_reason": "not found on PyPI"}
SOUND = {"name": "torch", "version": "2.13.0", "vulns": []}
WEAK = {"name": "pandas", "version": "3.0.0", "vulns": [{"id": "PYSEC-1"}, {"id": "PYSEC-2"}]}


@pytest.mark.parametrize(("answer", "counts", "broken", "note"), [
    ([SKIPPED], {}, [], "reaches no data"),
    ([SKIPPED, SOUND], {"asked about": 1, "known vulnerabilities": 0}, [], "nothing is known of numpy"),
    ([SOUND, WEAK], {"asked about": 2, "known vulnerabilities": 2},
     ["pandas 3.0.0: PYSEC-1", "pandas 3.0.0: PYSEC-2"], ""),
    (None, {}, [], "reaches no data")])
def test_an_audit_says_what_it_could_ask(tmp_path, monkeypatch, answer, counts, broken, note):
    """By a stand-in for pip-audit, which ends with 0 also if it skipped every package."""
    said = "no network" if answer is None else json.dumps({"dependencies": answer, "fixes": []})
    (tmp_path / "pip_audit.py").write_text(f"import sys\nprint({said!r})\nsys.exit({int(answer is None)})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.syspath_prepend(tmp_path)
    tally = dependencies.run(Stage(tmp_path, 1))
    assert {name: count for name, count in tally.counts.items() if name != "packages"} == counts
    assert tally.broken == broken and note in tally.note and bool(note) == bool(tally.note)


# ---- would they notice? ----


@pytest.fixture
def store(tmp_path: Path) -> tuple[Store, dict[str, str]]:
    store, configs = Store(tmp_path / "watched"), victims.CONTENDED[:2]
    return store, {store.ensure(config).key: store.ensure(config).result_sha256 for config in configs}


def test_a_watch_sees_what_happens_to_records(store):
    made, undisturbed = store
    watch, (first, second) = Watch(made.root, undisturbed), undisturbed
    assert watch.look() == [] == watch.look() == watch.untidy()
    copy = made.root / "copy"
    shutil.copy(made.record_path(first), copy)
    os.replace(copy, made.record_path(first))
    made.record_path(second).unlink()
    (made.root / "damaged").mkdir()
    (made.root / "damaged" / "x").write_text("")
    (made.root / "records" / ".writing-x").write_text("")
    assert [line.partition(" ")[2] for line in watch.look()] == [
        f"{first} was complete and was made again", f"{second} was complete and is gone", "was found damaged"]
    assert watch.untidy() == [".writing-x was left in records"]


def test_a_watch_sees_wrong_and_broken_records(store):
    made, undisturbed = store
    first, second = undisturbed
    made.record_path(first).write_bytes(made.record_path(first).read_bytes()[:-9])
    record = compact.load(made.record_path(second))
    assert len(Watch(made.root, undisturbed | {second: "0"}).look()) == 2 and record.key == second


@pytest.mark.parametrize(("said", "sign"), [
    (Said(2, "", "regrow: No.\n"), ""), (Said(0, "", ""), "exit code 0"), (Said(1, "", "", "OSError: no"), "traceback"),
    (Said(2, "", "Traceback (most recent call last):\n"), "traceback"), (Said(2, "x", "regrow: No.\n"), "stdout"),
    (Said(2, "", "regrow: No.\nregrow: No.\n"), "one sentence"), (Said(2, "", "regrow: no"), "one sentence")])
def test_what_a_mistake_may_not_do(said, sign, tmp_path):
    assert sign in bad_input.what_broke(said, tmp_path, set()) and bool(sign) is bool(
        bad_input.what_broke(said, tmp_path, set()))
    (tmp_path / "written").write_text("")
    assert bad_input.what_broke(Said(2, "", "regrow: No.\n"), tmp_path, set()) == "wrote ['written']"


def test_a_changed_record_that_is_used_would_be_noticed(tmp_path, monkeypatch):
    """One whose checksum is right all the same, as no accident makes it."""
    sound = damage.prepare(tmp_path / "sound")
    arrays, head = files.read_arrays(sound.files["record"])
    files.write_arrays(tmp_path / "forged", arrays | {"train_loss": arrays["train_loss"] + 1}, head, 0)
    forged = (tmp_path / "forged").read_bytes()
    monkeypatch.setattr(damage, "damaged", lambda content, chance: ("forged", forged))
    tally = damage.run(Stage(tmp_path / "run", 1))
    assert len(tally.broken) == 1 and "not what an undisturbed run gives" in tally.broken[0]


# ---- the command ----


def test_the_table_and_the_exit_code(monkeypatch, capsys):
    outcomes = {"good": Tally("good", 5, 5, {"seen": 3}), "bad": Tally("bad", 5, 4, broken=["a promise"])}
    monkeypatch.setattr(command, "Nursery", nullcontext)
    monkeypatch.setattr(command, "KINDS", {name: command.Kind(50, 0.5, lambda stage, _, name=name: outcomes[name])
                                           for name in outcomes})
    assert cli.main(["torture", "--minutes", "1", "--only", "good"]) == 0
    assert "Nothing was lost." in capsys.readouterr().out
    assert cli.main(["torture", "--minutes", "1"]) == 1
    assert "BROKEN: a promise" in capsys.readouterr().out
    assert cli.main(["torture", "--minutes", "1", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert not answer["ok"] and [kind["broken"] for kind in answer["kinds"]] == [[], ["a promise"]]


def test_counts_follow_the_minutes(monkeypatch):
    seen: list[Stage] = []
    monkeypatch.setattr(command, "Nursery", nullcontext)
    monkeypatch.setattr(command, "KINDS", {"a": command.Kind(200, 1.0, lambda stage, _: seen.append(stage) or
                                                             Tally("a", stage.planned))})
    for minutes in (10.0, 1.0, 0.001):
        command.run(["a"], minutes, seed=7)
    assert [(stage.planned, stage.seed) for stage in seen] == [(200, 7), (20, 7), (1, 7)]


@pytest.mark.parametrize("argv", [["--minutes", "0"], ["--minutes", "nan"], ["--only", "kils"], ["--only", ","]])
def test_mistakes_of_its_own(argv, capsys):
    assert cli.main(["torture", *argv]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
