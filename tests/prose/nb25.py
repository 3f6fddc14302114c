"""Notebook 25, anybody's network: what it says of its shipped trainings."""

from __future__ import annotations

from functools import cache

import pandas as pd

from prose import measures as m
from prose.said import Said
from regrow_companion.section8 import nb25_anybody

PAGE = "notebooks/25_anybodys_network.ipynb"
EXCUSED: dict[str, str] = {}


@cache
def ratio() -> pd.DataFrame:
    """The largest unit of a layer over the mean, and accuracies, by network and rule."""
    found = m.beyond(nb25_anybody.EXPERIMENT)
    return nb25_anybody.summary(found["course"], found["wiring"])


SAID = [
    Said("two to nearly five times the connections of a mean one. Random growth changes little in the MLP and the "
         "transformer; in the ResNet it climbs slowly, to {} times",
         lambda: (ratio().loc[("resnet18", "random"), "largest / mean"],
                  all(1.95 < ratio().loc[(network, rule), "largest / mean"] < 5
                      for network in ("mlp", "transformer", "resnet18") for rule in m.SCORES))),
    Said("four or five units in a hundred have lost all their inputs",
         lambda: ({round(ratio().loc[("transformer", rule), "without input %"]) for rule in m.SCORES} == {4, 5},)),
    Said("within one and a half points of each other in each network, with {} seeds",
         lambda: (ratio()["seeds"].max(),
                  ratio()["validation %"].groupby("network").agg(lambda values: values.max() - values.min()).max()
                  < 1.5)),
]
