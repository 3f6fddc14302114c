"""One degree distribution and the power law fitted to it: its two ends (Fig. 2), the distance D (Fig. 6); what p is
where the law is true; and any tail with its laws: the share of values >= k, on logarithmic axes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike, NDArray

from regrow import metrics
from regrow.record import Record
from regrow.tails.compare import Comparison
from regrow.tails.fit import TailFit, fit_tail, tail_of
from regrow.tails.given import whole_numbers
from regrow.tails.laws import Law, gauss_sum
from regrow_companion.plots.nb09_degrees import DATA, OTHER_THEORY, THEORY, bin_centres, binned, log_bins
from regrow_companion.style import style_of

ZOOM = 12  # integers on either side of the largest gap


def largest_possible(record: Record) -> int:
    """The degree of a hidden neuron that is connected to everything in the layers before and after it."""
    shapes = list(record.shapes.values())
    return max(below[1] + above[0] for below, above in pairwise(shapes))


# ---------------------------------------------------------------------------------------------- where to fit, Fig. 2

def figure2(degrees: ArrayLike, xmin: int, xmax: int, method: str = "gradient") -> tuple[Figure, pd.DataFrame]:
    """Degrees of one network, and the power law fitted from xmin to xmax and from xmin without an upper end.

    (a) P(k) of Eq. 17, every degree and in bins that widen; the laws are drawn on the stretch they were fitted to,
    scaled by its share of the neurons. (b) the share of the tail with degree k or more, where no bins are needed.
    Frame: panel, series, degree, value.
    """
    values = whole_numbers(degrees)
    fits = {"unbounded": fit_tail(values, xmin), "bounded": fit_tail(values, xmin, xmax)}
    looks: dict[str, dict[str, Any]] = {"unbounded": {"color": OTHER_THEORY, "linestyle": "--"},
                                        "bounded": {"color": THEORY, "linestyle": "-"}}
    fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.7))
    rows: list[dict[str, Any]] = []

    def draw(ax: Axes, panel: str, series: str, k: ArrayLike, value: ArrayLike, **look: Any) -> None:
        ax.plot(k, value, **look)
        rows.extend({"panel": panel, "series": series, "degree": float(a), "value": float(b)}
                    for a, b in zip(np.asarray(k), np.asarray(value), strict=True))

    k, share = metrics.degree_distribution(values[values > 0])
    share = share * np.mean(values > 0)  # zeros have no place on a logarithmic axis, but they count
    draw(left, "P(k)", "each degree", k, share, color=DATA, marker=".", markersize=3, linestyle="none",
         label="every degree")
    edges = log_bins(int(values.max()))
    means, some = binned(values, edges), (edges[:-1] > 0) & (binned(values, edges) > 0)
    draw(left, "P(k)", "binned", bin_centres(edges)[some], means[some], color=style_of(method).colour, linestyle="none",
         marker=style_of(method).marker, markersize=4, label="data: (a) in bins, (b) each value")
    tail = tail_of(values, xmin, None)
    steps = np.unique(tail)
    above = np.array([np.mean(tail >= j) for j in steps])
    draw(right, "P(K >= k)", "data", steps, above, color=style_of(method).colour, drawstyle="steps-pre")
    for series, fit in fits.items():
        ends = (xmin, xmax if fit.xmax else int(values.max()))
        at = np.unique(np.geomspace(*ends, 200).round().astype(int))
        name = f"fitted {'to $x_{max}$' if fit.xmax else 'without upper end'}: $\\alpha$ = {fit.alpha:.2f}"
        draw(left, "P(k)", series, at, np.exp(fit.log_pmf(at)) * fit.n_tail / fit.n, label=name, **looks[series])
        # Both on the same tail, so that they can be read against the same steps.
        draw(right, "P(K >= k)", series, at, fit.survival(at) * fit.n_tail / tail.size, **looks[series])
    for ax in (left, right):
        ax.set(xscale="log", yscale="log")
        _plain(ax)
    left.set(title="(a) all degrees", xlabel="degree k of a hidden neuron", ylabel="P(k)",
             xlim=(0.8, max(xmax, values.max()) * 1.5), ylim=(None, left.get_ylim()[1] * 3))
    right.set(title=f"(b) the tail, {fits['unbounded'].n_tail} of {values.size} neurons", xlabel="degree k",
              ylabel="share of the tail with degree ≥ k", xlim=(xmin / 1.15, max(xmax, values.max()) * 1.3),
              ylim=(0.5 / tail.size, 2.5))
    _ends(left, xmin, xmax)
    _ends(right, xmin, xmax)
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    plt.close(fig)
    return fig, pd.DataFrame(rows)


def _ends(ax: Axes, xmin: int, xmax: int) -> None:
    """Shade what is left out of the fit, and name both ends."""
    low, high = ax.get_xlim()
    for begin, end in ((low, xmin), (xmax, high)):
        ax.axvspan(begin, end, color="#000000", alpha=0.05, linewidth=0)
    for at, name in ((xmin, "min"), (xmax, "max")):
        ax.axvline(at, color="#333333", linewidth=0.8, linestyle=":")
        room = np.log(at / low) > 0.3 * np.log(high / low)  # left of the line, else right of it
        ax.annotate(f"$x_{{{name}}}$ = {at}", (at, 0.98 if room else 0.02), (-3 if room else 3, 0),
                    xycoords=("data", "axes fraction"), textcoords="offset points", ha="right" if room else "left",
                    va="top" if room else "bottom", fontsize=8)
    ax.set_xlim(low, high)


def _plain(ax: Axes) -> None:
    ax.xaxis.set_major_formatter(FuncFormatter(lambda k, _: f"{k:,.0f}"))


# ------------------------------------------------------------------------------------------ how far it fits, Fig. 6

def gaps(degrees: ArrayLike, fit: TailFit) -> pd.DataFrame:
    """Both distribution functions of the tail at every integer from xmin - 1 to its largest value, xmax at most.

    Columns: degree k, observed (whether the tail holds k), empirical F^(k), fitted F(k), gap = |F^ - F| (Eq. 19 takes
    its largest), next observed (whether the tail holds k + 1: only there do plfit and powerlaw look).
    """
    tail = np.sort(tail_of(whole_numbers(degrees), fit.xmin, fit.xmax))
    k = np.arange(fit.xmin - 1, tail[-1] + 1)
    empirical = np.searchsorted(tail, k, side="right") / tail.size
    fitted = 1 - fit.survival(k + 1)
    if fit.xmax is not None:
        fitted[k >= fit.xmax] = 1.0
    return pd.DataFrame({"degree": k, "observed": np.isin(k, tail), "empirical": empirical, "fitted": fitted,
                         "gap": np.abs(empirical - fitted), "next observed": np.isin(k + 1, tail)})


def figure6(degrees: ArrayLike, fit: TailFit, method: str = "gradient") -> tuple[Figure, pd.DataFrame]:
    """(a) The tail's distribution function, empirical and fitted, with D drawn where they are farthest apart.

    (b) The same place seen close up, at single integers: D over all of them, and the largest difference just before an
    observed value, which is what plfit, igraph and powerlaw report. The frame is `gaps(degrees, fit)`.
    """
    frame, colour = gaps(degrees, fit), style_of(method).colour
    worst = frame.loc[frame["gap"].idxmax()]
    usual = frame[frame["next observed"]]
    usual = usual.loc[usual["gap"].idxmax()]
    fig, (whole, close) = plt.subplots(1, 2, figsize=(7, 3.5))
    near = frame[(frame["degree"] - worst["degree"]).abs() <= ZOOM]
    for ax, part, marks in ((whole, frame, False), (close, near, True)):
        ax.step(part["degree"], part["empirical"], where="post", color=colour, label=r"data, $\hat F(k)$",
                marker=style_of(method).marker if marks else "", markersize=3)
        ax.plot(part["degree"], part["fitted"], color=THEORY, linestyle="--", linewidth=1.2,
                marker="." if marks else "", label=rf"fitted power law, $F(k)$, $\alpha$ = {fit.alpha:.2f}")
    _gap(whole, worst, THEORY, "-", "D over all integers (Eq. 19)")
    whole.annotate(f"D = {worst['gap']:.3f}\nat k = {worst['degree']:.0f}",
                   (worst["degree"], (worst["empirical"] + worst["fitted"]) / 2), (0.62, 0.3),
                   textcoords="axes fraction", va="center", fontsize=8,
                   arrowprops={"arrowstyle": "-", "linewidth": 0.6, "shrinkB": 4})
    _gap(close, worst, THEORY, "-", "")
    if near["degree"].min() <= usual["degree"] <= near["degree"].max():
        _gap(close, usual, OTHER_THEORY, (0, (1, 1)), "")
    whole.plot([], [], color=OTHER_THEORY, linestyle=(0, (1, 1)), linewidth=2.5,
               label="D just before observed degrees only")
    whole.set(title=f"(a) the whole tail, {fit.n_tail} neurons", xscale="log", xlabel="degree k (logarithmic)",
              ylabel="share with degree ≤ k", ylim=(0, 1.02))
    _plain(whole)
    whole.xaxis.set_minor_formatter(FuncFormatter(lambda k, _: f"{k:,.0f}" if f"{k:.0f}"[0] in "25" else ""))
    whole.tick_params(axis="x", which="minor", labelsize=7)
    close.set(title="(b) close up, integer by integer", xlabel="degree k",
              xlim=(near["degree"].min(), near["degree"].max()))
    low, high = close.get_ylim()
    close.set_ylim(low - 0.25 * (high - low), high)
    same = "the same" if usual["degree"] == worst["degree"] else f"at k = {usual['degree']:.0f}"
    close.text(0.98, 0.03, f"D over all integers: {worst['gap']:.4f}\nbefore observed ones: {usual['gap']:.4f}, {same}",
               transform=close.transAxes, ha="right", va="bottom", fontsize=8)
    close.xaxis.get_major_locator().set_params(integer=True)
    fig.legend(*whole.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    plt.close(fig)
    return fig, frame


def _gap(ax: Axes, row: Any, colour: str, line: Any, label: str) -> None:
    low, high = sorted((row["empirical"], row["fitted"]))
    ax.vlines(row["degree"], low, high, color=colour, linestyle=line, linewidth=2.5, label=label, zorder=4)


# ------------------------------------------------------------------------------------------- p where the law is true

def p_values_figure(refitted: ArrayLike, careless: ArrayLike) -> tuple[Figure, pd.DataFrame]:
    """Histograms of p (Eq. 20) of data sets that are drawn from a power law: each synthetic set fitted anew, and not.

    The dashed line is a uniform p. Frame: series, p, one row a data set.
    """
    fig, axes = plt.subplots(1, 2, figsize=(7, 2.9), sharey=True)
    series = {"(a) every synthetic set has its own fit": np.asarray(refitted),
              "(b) all are compared with the data's fit": np.asarray(careless)}
    edges = np.linspace(0, 1, 11)
    for ax, (title, p), colour in zip(axes, series.items(), (DATA, OTHER_THEORY), strict=True):
        ax.hist(p, edges, color=colour, edgecolor="white", linewidth=0.8)
        ax.axhline(p.size / 10, color=THEORY, linestyle="--", linewidth=1.2, label="uniform")
        ax.set(title=f"{title}\n{p.size} data sets, mean p = {p.mean():.2f}", xlabel="p", xlim=(0, 1))
    axes[0].set_ylabel("data sets in each tenth of p")
    axes[0].legend(loc="upper left")
    plt.close(fig)
    return fig, pd.concat([pd.DataFrame({"series": title[4:], "p": p}) for title, p in series.items()],
                          ignore_index=True)


# ----------------------------------------------------------------------------------------------- any tail, seven laws

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
        masses.append(float(weights @ np.exp(law.log_mass(nodes))))
    return np.maximum(1 - np.cumsum(masses), 0.0)
