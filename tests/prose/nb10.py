"""Notebook 10, the hypothesis over training."""

from __future__ import annotations

from math import factorial

import numpy as np
import pandas as pd

from prose import measures as m
from prose.said import Said, about, up
from regrow.tails.fit import PAPER_XMIN, fit_tail, select_xmin
from regrow.tails.goodness import goodness_of_fit
from regrow_companion.plots import nb10_hypothesis
from regrow_companion.plots.nb06_power_law import largest_possible
from regrow_companion.tail_tables import POOLED, Settings

PAGE = "notebooks/10_hypothesis.ipynb"
COMPUTED = "printed by the cell above, from the records"
EXCUSED = {
    'a p "close to 1"': "the paper's words",
    "if p < 0.95.": "the paper's rule",
    "the exponents lie between 2 and 3": "the paper's range",
    "uniform between 0 and 1": "a definition",
    "mean p 0.95 or more": "the paper's rule",
    "near 1 time after time": "the paper's p",
    "very likely 1.x; notebook 06 compares 2.0": "versions of a package",
    'Is $\\alpha$ "between 2 and 3"?': "the paper's range",
    "most lie on 0": "the lines of the figure",
    "close to 0.1 the cell above": "the usual rule",
    "A test on 20 neurons": "the smallest size in the cell above",
    "explain a p near 1": "the paper's p",
    "What could a p near 1": "the paper's p",
    "Seed 0, or all": "the name of a run",
    "from degree 1 on": "the reading that the cell above computes",
    "(0.8 to 1 from epoch 75 on)": COMPUTED,
    "from 0 to 0.87": COMPUTED,
    "Exponents between 2 and 3": "the paper's range",
    "gives no p near 1": "the paper's p",
    "A p of 0 out of $N$ sets cannot be 0 exactly": "an exercise",
    "here 1/501": "one in the sets of the cell above, and one",
    "stay near 0": "what the cell says",
}


def ends(column: str, grow: str) -> float:
    """Mean over seeds at the end, both hidden layers together."""
    return float(m.tail(grows=grow, update=-1)[column].mean())


def end_span(layer: str, grows: str | tuple[str, ...]) -> tuple[float, float]:
    return m.low_high(m.tail(layer, grows, update=-1)["alpha"])


def over_time(grow: str, column: str = "alpha") -> pd.Series:
    """Mean over seeds by epoch."""
    return m.tail(grows=grow).groupby("epoch")[column].mean()


def inside_from(grow: str) -> float:
    """The epoch from which the mean exponent stays between 2 and 3."""
    mean = over_time(grow)
    outside = np.flatnonzero(~mean.between(2, 3))
    return float(mean.index[outside[-1] + 1])


def highest_p() -> tuple[float, float, str]:
    """The highest mean p of any rule, its epoch and rule."""
    mean = m.tail().groupby(["strategy", "epoch"])["p"].mean()
    rule, epoch = mean.idxmax()
    return float(mean.max()), float(epoch), rule


def won(law: str) -> float:
    """Percentage of all time points at which a law has the smallest AIC."""
    return 100 * float((m.tail()["best"] == law).mean())


def cut(grow: str) -> float:
    """The exponent at the end with an upper end of the range, mean over seeds."""
    runs = m.topology(grow)
    return float(np.mean([fit_tail(run.hidden_degrees(-1), PAPER_XMIN, largest_possible(run)).alpha for run in runs]))


def decided_by_truncated() -> bool:
    """From the second update on, the truncated law is better at every time point, and decidedly."""
    later = m.tail(since=2)
    return bool(((later["ratio truncated power law"] < 0) & (later["p truncated power law"] < 0.1)).all())


def first() -> pd.DataFrame:
    """Gradient and momentum growth after the first update."""
    return m.tail(grows=m.SCORES, update=1)


def between(border: str = "mirrored") -> pd.DataFrame:
    """Exponents of single layers at the end that lie between 2 and 3."""
    table = m.tail("hidden", update=-1, border=border)
    return table[table["alpha"].between(2, 3)]


def passing_black(grow: str) -> int:
    return int((m.tail(grows=grow, update=1, border="black")["p"] > 0.1).sum())


def fallen(grow: str) -> float:
    """The first epoch at which the mean exponent is below 2."""
    mean = over_time(grow)
    return float(mean.index[np.argmax(mean < 2)])


def smallest_D(grow: str) -> int:
    """The update after which the mean distance is smallest."""
    return int(m.tail(grows=grow).groupby("update")["D"].mean().idxmin())


def chosen() -> tuple[float, ...]:
    """Where the data choose x_min, the seeds that pass at the end, those of random growth, and the smallest and largest
    exponents and tails of these, as in the cell above the sentence."""
    passing = []
    for rule in m.STRATEGIES:
        for run in m.topology(rule):
            fit = select_xmin(degrees := run.hidden_degrees(-1))[0]
            if goodness_of_fit(degrees, fit, 100, null="reselect").verdict_usual:
                passing.append((rule, fit))
    return (len(passing), sum(rule == "random" for rule, _ in passing), *m.low_high(fit.alpha for _, fit in passing),
            *m.low_high(fit.n_tail for _, fit in passing))


def often_at_the_end() -> pd.DataFrame:
    """Random growth with a shorter interval, both hidden layers together, a row a seed."""
    table = m.often()
    return table[(table["layer"] == POOLED) & (table["update"] == table["update"].max())]


LAWS = ("truncated power law", "stretched exponential", "negative binomial", "exponential", "power law", "log-normal")
SAID = [
    Said("About once in {}", lambda: (about(factorial(5) / (5 * 0.05)**5, 10_000),)),
    Said("; ".join(f"{rule}: exponent {{}}, D {{}}, p {{}}" for rule in m.STRATEGIES)
         + ". The highest mean p is {}, momentum growth at epoch {}",
         lambda: (*(ends(column, rule) for rule in m.STRATEGIES for column in ("alpha", "D", "p")), *highest_p()[:2],
                  highest_p()[2] == "momentum")),
    Said("seeds, x_min = {}", lambda: (PAPER_XMIN,)),
    Said("In (d) lines are shifted by {}", lambda: (nb10_hypothesis.SHIFT,)),
    Said("and layers (every {} updates)", lambda: (Settings().layers_every,)),
    Said("the paper's scale: {} runs of 300 epochs", lambda: (len(m.of_need("fig07")),)),
    Said("it is under random growth from epoch {} on and ends at {} (seeds: {} to {}). Under gradient and momentum "
         "growth it is there at once, with {}, but falls below {2} within {} epochs and ends at {} and {} ({} to {}, "
         "{} to {})",
         lambda: (inside_from("random"), ends("alpha", "random"), *end_span("all hidden", "random"),
                  m.tail(grows=m.SCORES, update=1)["alpha"].mean(),
                  about(max(fallen(rule) for rule in m.SCORES), 10), *(ends("alpha", rule) for rule in m.SCORES),
                  *(end for rule in m.SCORES for end in end_span("all hidden", rule)))),
    Said("with a black one all {} runs ended between {} and {}",
         lambda: (len(m.tail(border="black", update=-1)), *m.low_high(m.tail(border="black", update=-1)["alpha"]))),
    Said("it is smallest after {} to {} updates and then rises", lambda: m.low_high(m.each(smallest_D))),
    Said("Largest p: {}, at the end {}", lambda: (m.tail()["p"].max(), m.tail(update=-1)["p"].max())),
    Said("hidden 1 ends at {} to {} under random growth and at {} to {} under the others, hidden 2 at {} to {} and at "
         "{} to {}. Of these {} exponents {} are between {2} and {3}, all in hidden 2 and at {} or more; with the "
         "black border there was none",
         lambda: (*end_span("hidden 1", "random"), *end_span("hidden 1", m.SCORES), *end_span("hidden 2", "random"),
                  *end_span("hidden 2", m.SCORES), len(m.tail("hidden", update=-1)), len(between()),
                  between()["alpha"].min(), set(between()["layer"]) == {"hidden 2"}, len(between("black")) == 0)),
    Said("all {} seeds of gradient and momentum growth pass p > 0.1 at this moment ({} to {} in the kept table; black "
         "border: {} and {} of {})",
         lambda: (len(first()), *m.low_high(first()["p"]), passing_black("gradient"), passing_black("momentum"),
                  len(m.tail(grows="gradient", update=1, border="black")), bool((first()["p"] > 0.1).all()))),
    Said("But of their {} single layers only {} do, and barely ({} at most",
         lambda: (len(m.tail("hidden", m.SCORES, update=1)), int((m.tail("hidden", m.SCORES,
                  update=1)["p"] > 0.1).sum()),
                  m.tail("hidden", m.SCORES, update=1)["p"].max())),
    Said("From the second update on no p exceeds {}, or {} in a single layer",
         lambda: (m.tail(since=2)["p"].max(), m.tail("hidden", since=2)["p"].max())),
    Said(", ".join(f"{law} {{}}%" for law in LAWS), lambda: [won(law) for law in LAWS]),
    Said("The pure power law, black, wins {} of {} time points, both after the first update",
         lambda: (int((m.tail()["best"] == "power law").sum()), len(m.tail()),
                  set(m.tail()[m.tail()["best"] == "power law"]["update"]) == {1})),
    Said("the weight of the pure law stays below one in a million",
         lambda: (m.tail(since=2)["weight"].max() < 1e-6, decided_by_truncated())),
    Said("every {400}: exponent {}, D {}, p {} at most; every {100}: exponent {}, D {}, p {} at most",
         lambda: [value for end in (m.tail(grows="random", update=-1), often_at_the_end())
                  for value in (end["alpha"].mean(), end["D"].mean(), end["p"].max())]),
    Said("N = {} seeds of the latter", lambda: (len(m.of_need("sec5.3")),)),
    Said("Lines of p are shifted by {} from each other", lambda: (nb10_hypothesis.SHIFT,)),
    Said("The runs below have an update every {} steps instead of every {}",
         lambda: (m.of_need("sec5.3")[0].config.update_interval, m.topology("random")[0].config.update_interval)),
    Said("Exponents end at {} to {}, below the {} to {} of the usual interval, but no p of any seed at any time "
         "exceeds {}, so neither rule keeps the law",
         lambda: (*m.low_high(often_at_the_end()["alpha"]), *end_span("all hidden", "random"),
                  up(m.often()["p"][m.often()["layer"] == POOLED].max()))),
    Said("The paper fixed $x_{min}$ at {}", lambda: (PAPER_XMIN,)),
    Said("at the paper's scale to {}, {} and {}", lambda: m.each(cut)),
    Said("{} seeds pass, {} of them of random growth, but with exponents of {} to {} on {} to {} neurons", chosen),
    Said("the others end at about {2}, most seeds just below",
         lambda: ((m.tail(grows=m.SCORES, update=-1)["alpha"] < 2).mean() > 0.5,)),
    Said("after the first update every seed passes the usual rule, p > 0.1; the largest is {}",
         lambda: (first()["p"].max(), bool((first()["p"] > 0.1).all()))),
]
