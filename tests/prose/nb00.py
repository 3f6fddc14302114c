"""Notebook 00, the tour: what it says of the paper's own setting."""

from __future__ import annotations

import numpy as np

from prose import measures as m
from prose.said import Said

PAGE = "notebooks/00_tour.ipynb"
EXCUSED: dict[str, str] = {}


def fallen(epoch: float) -> float:
    """Share of hidden 1 with ten connections or fewer under random growth, mean over seeds."""
    return float(np.mean([(run.hidden_layer_degrees(m.update_by(run, epoch))[0] <= 10).mean()
                          for run in m.topology("random")]))


SAID = [
    Said("A dot is one of the {} neurons of the first", lambda: (m.topology("random")[0].shapes["fc1"][0],)),
    Said("between epochs {200} and {250} half of them fall to ten connections or fewer",
         lambda: (fallen(200) < 0.01, 0.4 < fallen(250) < 0.6)),
]
