"""Notebook 06, fitting a power law to the run of Figures 2 and 6."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from prose import measures as m
from prose.said import Said
from regrow.record import Record
from regrow.tails.fit import TailFit, fit_tail
from regrow.tails.goodness import generator, sample
from regrow_companion.plots.nb06_power_law import largest_possible

PAGE = "notebooks/06_power_laws.ipynb"
DRAWN, VERSION, EXERCISE = "settings of the cell below", "of a package, whose source says it", "an exercise"
EXCUSED = {
    "power law with exponent 2.2 that ends at 800 are fitted": DRAWN,
    "after training (N = 1)": "one run, whose seed stands beside it",
    "**alpha stops at 3** unless `parameter_ranges` says otherwise (version 2.0)": VERSION,
    "starts at exactly 3": VERSION,
    "very likely used 1.x, as 2.0 is newer": VERSION,
    "theirs between 2 and 3": "the usual range",
    "to know $\\alpha = 2.5$ with a standard error of 0.01, from $x_{min} = 10$": EXERCISE,
    "Leave out 0": EXERCISE,
    "power law with exponent 2.2 that begins at 110": EXERCISE,
    "Of 400, 800, 1,600, 3,200, 6,400 and 12,800": EXERCISE,
    "less than 0.08 too large": EXERCISE,
    "a law with exponent 2.2 that lies beyond ten times its start": EXERCISE,
}


def run(seed: int = 0) -> Record:
    (record,) = (record for record in m.topology("gradient") if record.config.seed == seed)
    return record


def threshold() -> int:
    return run().thresholds.high


@cache
def fit(seed: int = 0, bounded: bool = False) -> TailFit:
    """Of the hidden degrees at the end, from the paper's threshold on."""
    record = run(seed)
    end = (largest_possible(record),) if bounded else ()
    return fit_tail(record.hidden_degrees(-1), threshold(), *end)


def gap() -> pd.Series:
    """Figure 6 where its two curves are farthest apart; drawn from this run."""
    drawn = m.figure_data("fig06", [run()])
    return drawn.loc[drawn["gap"].idxmax()]



@cache
def endless() -> float:
    """The exponent of Exercise 3 if the end is that of the paper's network."""
    x_max = largest_possible(run())
    return fit_tail(sample(2.2, 110, 20_000, generator("exercise 3", x_max), xmax=x_max), 110).alpha


def beyond_ten_times() -> float:
    """Share of a law with exponent 2.2."""
    k = np.arange(110, 1_000_000, dtype=float) ** -2.2
    return float(k[990:].sum() / k.sum())


SAID = [
    Said("The paper's $x_{min}$ is {} (Section 5.4)", lambda: (threshold(),)),
    Said("Left, shares of {} hidden neurons by degree on logarithmic axes, with the stretch from {} to {} marked. "
         "Right, the tail's share at or above each degree: the data bend below both fitted laws, exponents {} without "
         "an upper end and {} with it.](",
         lambda: (m.hidden(), threshold(), largest_possible(run()), fit().alpha, fit(bounded=True).alpha)),
    Said("one run of {300} epochs on CIFAR-10", lambda: ()),
    Said("Distribution function of the {} degrees from {} on beside the fitted power law. They are farthest apart at "
         "degree {}, by D = {};", lambda: (fit().n_tail, threshold(), gap()["degree"], fit().D,
                                            abs(gap()["gap"] - fit().D) < 1e-5)),
    Said("From $x_{min} = {}$ on that matters little", lambda: (threshold(),)),
    Said("this one is at the lower end, {}, or outside, {}, depending on whether the law knows its end; the other {} "
         "seeds give {} to {} without an end",
         lambda: (fit().alpha, fit(bounded=True).alpha, m.seeds("gradient") - 1,
                  *m.low_high(fit(seed).alpha for seed in range(1, m.seeds("gradient"))))),
    Said("About a sixteenth of such a law lies beyond ten times its start",
         lambda: (abs(1 / beyond_ten_times() - 16) < 1,)),
    Said("The largest degree possible in the first hidden layer, {} in the paper's network, is therefore near enough "
         "to $x_{min} = {}$ to matter: an exponent fitted without it is about a tenth too large",
         lambda: (largest_possible(run()), threshold(), 0.05 < endless() - 2.2 < 0.15)),
]
