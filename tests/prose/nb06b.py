"""Notebook 06b, testing a power law."""

from __future__ import annotations

from prose import measures as m
from prose.said import Said
from regrow_companion.plots.nb06_power_law import largest_possible

PAGE = "notebooks/06b_testing_power_laws.ipynb"
DEFINITION, EXERCISE = "a definition", "an exercise"
EXCUSED = {
    "would not give $D = 0$ either": DEFINITION,
    "compute p for 150 data sets": "a setting of the cell below",
    "spread evenly from 0 to 1": DEFINITION,
    "piled up towards 1,": DEFINITION,
    "between 0 and 1": DEFINITION,
    "names the usual $t = 0.1$": "the usual rule",
    "rejects if $p < 0.95$": "the paper's rule",
    "a p near 1 is no stronger evidence for the law than a p of 0.3": "the paper's p, and another one",
    "that all 15 networks": "Section 5.3, five seeds of three rules",
    "many of the 15 would pass the usual rule ($p \\ge 0.1$), how many the paper's ($p \\ge 0.95$)": EXERCISE,
    "Of 75, 150, 300, 600 and 1,200": EXERCISE,
    "from 200 sets each": EXERCISE,
    "p stays near 0": "of a quick network, which the cell below trains",
}


def p_values(series: str) -> list[float]:
    """Of the committed figure: "own" for a fit of each set's own, "data" for the careless way."""
    drawn = m.figure_data("p_values", ())
    return list(drawn.loc[drawn["series"].str.contains(series), "p"])


def mean(series: str) -> float:
    return sum(p_values(series)) / len(p_values(series))


def places(layer: int) -> int:
    """The largest degree that is possible in a hidden layer."""
    shapes = list(m.topology("random")[0].shapes.values())
    return shapes[layer][1] + shapes[layer + 1][0]


SAID = [
    Said("Two histograms of p for {} true power laws. With a fit for every synthetic set p is spread evenly from 0 to "
         "1, with mean {}; without, it is piled up towards 1, with mean {}.](",
         lambda: (len(p_values("own")), mean("own"), mean("data"))),
    Said("p comes out too large (about two thirds on average)", lambda: (abs(mean("data") - 2 / 3) < 0.05,)),
    Said("their largest possible degrees differ ({} and {} at the paper's scale)",
         lambda: (places(0), places(1), places(0) == largest_possible(m.topology("random")[0]))),
    Said("than from $x_{min} = {}$;", lambda: (m.topology("random")[0].thresholds.high,)),
    Said("nearly half of all studies of this size", lambda: (0.4 < 0.95 ** len(m.of_need("fig05")) < 0.5,)),
]
