"""Runs that go wrong by themselves: a loss that is no number, an accuracy at chance. Recorded, counted, kept."""

from __future__ import annotations

import json

import pandas as pd

from regrow.store import Store
from regrow.torture.said import command, words
from regrow.torture.tally import Stage, Tally
from regrow.torture.victims import TINY

DIVERGING = tuple(TINY.but(lr=1e6, grow=grow, seed=seed) for seed in range(2)
                  for grow in ("random", "gradient", "momentum"))
AT_CHANCE = tuple(TINY.but(lr=1e-12, sparsity=0.99, grow="random", seed=seed, epochs=1) for seed in range(2))


def run(stage: Stage) -> Tally:
    """Train runs that cannot go well, then look whether the command, the store and the tables say so."""
    from regrow.plots.accuracy import table

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
