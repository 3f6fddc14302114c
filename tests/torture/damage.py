"""Damaged files, and runs that go wrong by themselves.

Records and checkpoints are truncated or get a flipped bit at random places: one sentence, moved aside, trained again.
Some bits of a zip mean nothing (dates, attributes): a file that is used must then say what it said before. A loss
that is no number, or an accuracy at chance, is recorded, counted and kept.
"""

from __future__ import annotations

import json
import random
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from regrow import compact
from regrow.config import RunConfig
from regrow.errors import NotRecorded
from regrow.record import Record
from regrow.store import Store, require
from torture.promises import Stage, Tally
from torture.said import command, words
from torture.victims import TINY

KINDS = ("record", "record", "checkpoint", "shipped record")
CONFIG = TINY.but(grow="momentum", epochs=2)


class _Stopped(Exception):
    """Stands for whatever ends a training half way."""


@dataclass(frozen=True)
class Sound:
    """Files to be damaged, and the record that they lead to."""

    record: Record
    files: dict[str, Path]


def prepare(folder: Path, config: RunConfig = CONFIG) -> Sound:
    """Train a run, once to its end and once until half way."""
    store, half = Store(folder / "whole"), Store(folder / "half")
    record = store.ensure(config)

    def stop(step: int) -> None:
        if step == 5:
            raise _Stopped

    with suppress(_Stopped):
        half.ensure(config, checkpoint_seconds=0, progress=stop)
    compact.save(record, folder / "shipped" / f"{record.key}.npz")
    return Sound(record, {"record": store.record_path(record.key), "checkpoint": half.checkpoint_path(record.key),
                          "shipped record": folder / "shipped" / f"{record.key}.npz"})


def damaged(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """How a file was damaged, and what is left of it."""
    place = chance.randrange(len(content))
    kind = chance.choice(("truncated", "bit flipped", "bit flipped", "block zeroed"))
    if kind == "truncated":
        return kind, content[:place]
    if kind == "bit flipped":
        return kind, content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1:]
    return kind, content[:place] + bytes(min(512, len(content) - place)) + content[place + 512:]


def run(stage: Stage) -> Tally:
    """Damage a file, ask for the run, look."""
    tally, chance = Tally("damaged files", stage.planned), random.Random(stage.seed)
    sound = prepare(stage.folder / "sound")
    while tally.tried < stage.planned and not stage.over:
        what = KINDS[tally.tried % len(KINDS)]
        kind, content = damaged(sound.files[what].read_bytes(), chance)
        folder = stage.folder / f"damage{tally.tried}"
        trouble = (_shipped if what == "shipped record" else _own)(sound, what, content, folder, tally)
        tally.tried += 1
        tally.count(f"{what}, {kind}")
        if trouble:
            tally.broken.append(f"{what} {kind} (trial {tally.tried}): {trouble}")
        shutil.rmtree(folder)
    return tally


def _own(sound: Sound, what: str, content: bytes, folder: Path, tally: Tally) -> str:
    """A damaged file in one's own store, then the command that asks for the run."""
    store, key = Store(folder / "store"), sound.record.key
    path = store.record_path(key) if what == "record" else store.checkpoint_path(key)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    said = command(["train", *words(sound.record.config), "--store", str(store.root)], folder)
    aside = list((store.root / "damaged").glob("*"))
    made = store.get(sound.record.config)
    tally.count("moved aside and trained again" if aside else "harmless")
    lines = said.err.splitlines()
    if said.code or said.raised or "Traceback" in said.err:
        return f"exit code {said.code}, {said.raised or lines[-1:]}"
    if made is None or made.result_sha256 != sound.record.result_sha256:
        return "the record is not what an undisturbed run gives"
    if aside and (len(lines) != 1 or not lines[0].startswith("regrow: ") or aside[0].read_bytes() != content):
        return f"not one sentence, or not kept as it was: {said.err!r}"
    if not aside and lines:
        return f"nothing was moved aside, but something was said: {said.err!r}"
    return ""


def _shipped(sound: Sound, what: str, content: bytes, folder: Path, tally: Tally) -> str:
    """A damaged record in a folder that is only read: it stays where it is and a figure that needs it is refused."""
    import warnings

    path = folder / "results" / "records" / f"{sound.record.key}.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    store = Store(folder / "store", read_also=(folder / "results",))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            found = require(store, [sound.record.config], "train it.")
        except NotRecorded:
            tally.count("refused")
            if path.read_bytes() != content:
                return "the file was changed"
            return "" if len(told) == 1 else f"{len(told)} warnings instead of one"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    tally.count("harmless")
    intact = compact.load(sound.files["shipped record"])
    same = found[0].result_sha256 == intact.result_sha256 and found[0].thresholds == intact.thresholds
    return "" if same else "another record was read than was written"


DIVERGING = tuple(TINY.but(lr=1e6, grow=grow, seed=seed) for seed in range(2)
                  for grow in ("random", "gradient", "momentum"))
AT_CHANCE = tuple(TINY.but(lr=1e-12, sparsity=0.99, grow="random", seed=seed, epochs=1) for seed in range(2))


def misfortunes(stage: Stage) -> Tally:
    """Train runs that cannot go well, then look whether the command, the store and the tables say so."""
    from regrow_companion.plots.nb08_accuracy import table

    tally = Tally("collapsed runs", min(stage.planned, len(DIVERGING + AT_CHANCE)))
    store, records = Store(stage.folder / "store"), []
    for config in (DIVERGING + AT_CHANCE)[:tally.planned]:
        if stage.over:
            break
        said = command(["train", *words(config), "--store", str(store.root), "--json"], stage.folder)
        tally.tried += 1
        record = store.get(config)
        if said.code or said.err or record is None or store.status(config) != "done":
            tally.broken.append(f"a run that went wrong was not recorded: {said}")
            continue
        records.append(record)
        answer = json.loads(said.out)
        tally.count("loss is no number", record.diverged)
        tally.count("collapsed to chance", record.collapsed)
        if answer["diverged"] != (config in DIVERGING) or not answer["collapsed"]:
            tally.broken.append(f"the command does not say that {record.key} went wrong")
    if records:
        tally.count("counted in the table", _collapsed_in(table("table4", "quick", records)))
        if tally.counts["counted in the table"] != len(records):
            tally.broken.append("the table of accuracies does not count every run that collapsed")
    return tally


def _collapsed_in(frame: pd.DataFrame) -> int:
    rows = frame[frame["number"] == "collapsed"]
    cells = rows.drop(columns=["model", "sparsity", "method", "number"], errors="ignore").to_numpy().ravel()
    return sum(int(cell) for cell in cells if str(cell).isdecimal())
