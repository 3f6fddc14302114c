"""Notebook 04, degree distributions."""

from __future__ import annotations

import pandas as pd

from prose import measures as m
from prose.said import Said, about
from regrow_companion.plots.nb06_power_law import largest_possible

PAGE = "notebooks/04_degree_distributions.ipynb"
CHOSEN = "chosen for the figure"
EXCUSED = {
    "from layer 0 to": "the name of a layer",
    "starts at weight 0": "a definition",
    "a 0 in $W$": "a definition",
    "It needs $\\alpha > 1$, and $k_{min} \\ge 1$": "a definition",
    "is finite for $\\alpha > 2$ only, the variance for $\\alpha > 3$ only": "a definition",
    "we take alpha = 2.5, inside the range from 2 to 3 that it names for scale-free networks, from degree 4": CHOSEN,
    "above degree 40 only some degrees": CHOSEN,
    "power law with $\\alpha = 2.5$": "an exercise",
    "1 minus everything below": "an exercise",
}


def density(*layers: str) -> float:
    """Percent, of some layers of the paper's MLP together."""
    record = m.topology("random")[0]
    return 100 * sum(record.connections[layer] for layer in layers) / m.places(*layers)


def ends(panel: str) -> pd.Series:
    """The last degree of each law in Figure 1."""
    return m.figure_data("fig01", ()).query("panel == @panel").groupby("law")["degree"].max()


SAID = [
    Said("the last layer has only {} possible connections", lambda: (m.places("fc3"),)),
    Said("densities of {} % (input, and below hidden 1) and {} % (between the hidden layers)",
         lambda: (density("fc1"), density("fc2"))),
    Said("on logarithmic axes a cliff near degree {} beside a straight line that reaches degree {}.",
         lambda: (about(ends("log-log")["Poisson"], 10), ends("log-log")["power law"])),
    Said("only one neuron in {} (the MLP's hidden neurons)", lambda: (m.hidden(),)),
    Said("a hidden neuron of the paper's MLP has at most {} places for connections",
         lambda: (largest_possible(m.topology("random")[0]),)),
]
