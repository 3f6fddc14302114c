"""A tail and what was fitted to it: the share of values >= k, on logarithmic axes (as in Fig. 2)."""

from __future__ import annotations

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from regrow.tails.compare import Comparison
from regrow.tails.fit import TailFit, whole_numbers
from regrow.tails.laws import Law, gauss_sum

POINTS = 120  # at which a law is drawn
LOOKS = {  # law -> colour, dashes
    "power law": ("#D55E00", "-"), "log-normal": ("#0072B2", "--"), "stretched exponential": ("#56B4E9", "-."),
    "truncated power law": ("#E69F00", (0, (5, 1))), "exponential": ("#999999", ":"),
    "negative binomial": ("#009E73", (0, (3, 1, 1, 1))), "Poisson": ("#CC79A7", (0, (1, 1.5))),
}


def tail_figure(x: ArrayLike, fit: TailFit, comparison: Comparison) -> tuple[Figure, pd.DataFrame]:
    """The values of x (0 has no place on a logarithmic axis), the fitted power law and the alternatives.

    The frame has the columns `series` ("data" or the name of a law), `k` and `share` of all values that are k or more;
    laws begin at xmin, with the share of values that the data have there.
    """
    frame = tail_frame(x, fit, comparison)
    fig, ax = plt.subplots(figsize=(7, 3.4))
    data = frame[frame["series"] == "data"]
    ax.loglog(data["k"], data["share"], "o", color="black", markersize=3, linestyle="none", label="data")
    for name, (colour, dashes) in LOOKS.items():
        part = frame[frame["series"] == name]
        weight = comparison[name].weight
        ax.loglog(part["k"], part["share"], color=colour, linestyle=dashes,
                  linewidth=2.2 if name == "power law" else 1.2, label=f"{name}, AIC weight {weight:.2f}")
    for bound in (fit.xmin, fit.xmax):
        if bound is not None:
            ax.axvline(bound, color="black", linewidth=0.6, linestyle=":")
    n = whole_numbers(x).size
    ax.set(xlabel="k", ylabel="share of values ≥ k", ylim=(0.5 / n, 1.5),
           title=f"alpha = {fit.alpha:.3f} ± {fit.sigma:.3f} from xmin = {fit.xmin}, n = {fit.n_tail} of {fit.n}")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    plt.close(fig)
    return fig, frame


def tail_frame(x: ArrayLike, fit: TailFit, comparison: Comparison) -> pd.DataFrame:
    """What tail_figure draws."""
    values = whole_numbers(x)
    k, counts = np.unique(values, return_counts=True)
    at_least = counts[::-1].cumsum()[::-1] / values.size
    frames = [pd.DataFrame({"series": "data", "k": k, "share": at_least})[k > 0]]
    inside = values[(values >= fit.xmin) & (values <= (fit.xmax or values.max()))]
    grid = np.unique(np.geomspace(fit.xmin, inside.max(), POINTS).round()).astype(np.int64)
    above = (values > inside.max()).mean()  # beyond xmax, if the data go on
    for name, law in comparison.laws.items():
        share = above + survival(law, grid) * inside.size / values.size
        seen = share > 0.1 / values.size
        frames.append(pd.DataFrame({"series": name, "k": grid, "share": share})[seen])
    return pd.concat(frames, ignore_index=True)


def survival(law: Law, grid: NDArray[np.int64]) -> NDArray[np.float64]:
    """P(X >= k) at ascending k that begin with xmin, from sums of P over the integers in between."""
    masses = [0.0]
    for first, last in pairwise(grid.tolist()):
        nodes, weights = gauss_sum(first, float(last), (first + last) / 2)
        masses.append(float(weights @ np.exp(law.log_pmf(nodes))))
    return np.maximum(1 - np.cumsum(masses), 0.0)
