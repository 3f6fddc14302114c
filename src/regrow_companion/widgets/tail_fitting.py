"""A power law fitted to degrees, live: move its ends and watch alpha, the distance D and p (Section 4.6)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from regrow.errors import RegrowError
from regrow.tails.fit import PAPER_XMIN, TailFit, fit_tail, tail_of
from regrow.tails.given import whole_numbers
from regrow.tails.goodness import RULES, Goodness, goodness_of_fit
from regrow_companion.study import STRATEGIES
from regrow_companion.style import style_of
from regrow_companion.widgets import examples
from regrow_companion.widgets.description import Control, Options, Widget
from regrow_companion.widgets.panel import Panel
from regrow_companion.widgets.pictures import View, axes, paper, pixels, ticks

LAW = "#000000"
POWERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


ENDS = (1, 2, 3, 5, 10, 20, 30, 50, PAPER_XMIN, 200, 300, 500, 700, 1000, 1500, 2000, 5000, 10000)
FIRST_XMIN = 30
LEAST = 10  # values between the ends on offer: of fewer nothing can be said


def upper_ends(values: NDArray[np.int64]) -> Options:
    """No upper end, or one that cuts something off but leaves most of the range."""
    largest = int(values.max(initial=1))
    ends = [end for end in ENDS if largest / 20 < end < largest and (values <= end).sum() >= LEAST][-3::2]
    return [("no upper end", 0), *((f"{end:,}", end) for end in ends)]


def lower_ends(values: NDArray[np.int64], xmax: int) -> Options:
    """Lower ends that leave at least LEAST values, not all of them equal; the lowest in any case."""
    inside = values[values <= xmax] if xmax else values
    fine = [end for end in ENDS if (tail := inside[inside >= end]).size >= LEAST and np.ptp(tail) > 0]
    return [(f"{end:,}", end) for end in fine or ENDS[:1]]


def gap(tail: NDArray[np.int64], fit: TailFit) -> tuple[int, float, float]:
    """Where data and law are farthest apart: k, and P(K <= k) in the data and in the law. `tail` is what was fitted."""
    k = np.arange(fit.xmin - 1, tail.max() + 1)
    data = np.searchsorted(np.sort(tail), k, side="right") / tail.size
    law = np.concatenate([[0.0], np.exp(fit.log_pmf(k[1:])).cumsum()])
    at = int(np.argmax(np.abs(data - law)))
    return int(k[at]), float(data[at]), float(law[at])


def draw(source: str, sets: int, xmax: int, xmin: int, degrees: Mapping[str, ArrayLike]) -> View:
    """The tail and its law from xmin to xmax (0: no upper end), and the distances D of `sets` synthetic tails."""
    values = whole_numbers(degrees[source])
    alt = "Left: share of the tail with degree k or more, data and fitted law; right: distances D of synthetic tails."
    with paper(7, 3.4) as fig:
        left = axes(fig, (0.1, 0.15, 0.49, 0.7), xlabel="degree k (logarithmic)", room=(0.25, 0.42),
                    ylabel="share of the tail with degree ≥ k")
        right = axes(fig, (0.68, 0.15, 0.305, 0.7), xlabel="distance D", ylabel="synthetic tails")
        fig.suptitle(f"{_named(source)}: {values.size} hidden neurons", y=0.98)
        try:
            fit = fit_tail(values, xmin, xmax or None)
            test = goodness_of_fit(values, fit, n_sets=sets)
        except RegrowError as error:
            for ax in (left, right):
                ax.set_axis_off()
            fig.text(0.5, 0.5, "nothing to fit here", ha="center", fontsize=11, color="#767676")
            return View(pixels(fig), alt, str(error))
        tail = tail_of(values, fit.xmin, fit.xmax)
        k, data, law = gap(tail, fit)
        _tail(left, tail, fit, source, (k, 1 - data, 1 - law))
        _distances(right, test)
        return View(pixels(fig), alt, _words(fit, test, k))


def _tail(ax: Axes, tail: NDArray[np.int64], fit: TailFit, source: str, worst: tuple[int, float, float]) -> None:
    k = np.unique(np.geomspace(fit.xmin, tail.max(), 120).round().astype(int))
    steps, counts = np.unique(tail, return_counts=True)
    above = counts[::-1].cumsum()[::-1] / tail.size
    ax.plot(steps, above, color=style_of(source).colour, drawstyle="steps-pre", label=f"data, {tail.size} neurons")
    ax.plot(k, fit.survival(k), color=LAW, linestyle="--", linewidth=1.2, label=f"power law, α = {fit.alpha:.2f}")
    floor = 0.5 / tail.size
    at, data, law = worst
    ax.plot([at + 1, at + 1], [max(data, floor), max(law, floor)], color="#CC79A7", linewidth=3,
            label=f"D = {fit.D:.3f} at k = {at}")
    low, high = fit.xmin / 1.1, 1.1 * max(tail.max(), fit.xmin + 1)
    ticks(ax, "x", [t for t in POWERS if low <= t <= high], log=True)
    ticks(ax, "y", [t for t in (1, 0.1, 0.01, 0.001) if t >= floor], log=True)
    ax.set(xlim=(low, high), ylim=(floor, 1.6))
    ax.legend(loc="lower left")


def _distances(ax: Axes, test: Goodness) -> None:
    counts, edges = np.histogram(test.distances, 15)
    ax.stairs(counts, edges, fill=True, color="#9FB4C7")
    ax.axvline(test.D, color="#CC79A7", linewidth=3)
    top, end = max(int(counts.max()), 1), 1.1 * max(test.D, float(edges[-1]))
    nice = next(width for width in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if end / width < 5)
    ticks(ax, "x", np.arange(0, end, nice).tolist())
    ticks(ax, "y", (0, top))
    ax.set(xlim=(0, end), ylim=(0, 1.25 * top))
    ax.set_title(f"share beyond D: p = {test.p:.2f}", y=1.03)


def _words(fit: TailFit, test: Goodness, k: int) -> str:
    end = f"to {fit.xmax:,}" if fit.xmax else "upwards"
    usual, printed = ("passes" if passed else "fails" for passed in (test.verdict_usual, test.verdict_paper))
    remarks = "".join(f" {remark}" for remark in fit.remarks)
    return (f"From k = {fit.xmin:,} {end}: {fit.n_tail} of {fit.n} neurons, alpha = {fit.alpha:.3g} ± {fit.sigma:.2g}. "
            f"Data and law are farthest apart at k = {k:,}, by D = {fit.D:.3f}. Of {test.n_sets} tails drawn from the "
            f"law itself {100 * test.p:.0f} % lie farther from their law: p = {test.p:.2f} ± {test.p_error:.2f}, "
            f"which {usual} the usual rule (p > {RULES['usual']}) and {printed} the paper's "
            f"(p ≥ {RULES['paper']}).{remarks}")


def power_law(degrees: Mapping[str, ArrayLike] | None = None) -> Panel:
    """Ends of the fitted range against alpha, D and p, for the degrees of trained networks or for sequences of yours.

    `degrees` are whole numbers by name, for example {"my network": [3, 1, 4]}; without it, hidden degrees of one run
    per growth rule. Raises DataError for numbers that are not whole.
    """
    given = {name: whole_numbers(values) for name, values in
             (degrees if degrees is not None else examples.final_degrees(examples.records())).items()}
    lower = [end for _, end in lower_ends(given["gradient" if "gradient" in given else next(iter(given))], 0)]
    return Panel(Widget(partial(draw, degrees=given), {
        "source": Control("degrees of", [(_named(name), name) for name in given],
                          "gradient" if "gradient" in given else next(iter(given)), menu=True),
        "sets": Control("synthetic tails", [(f"{n}", n) for n in (50, 100, 200, 500)], 200, live_only=True),
        "xmax": Control("upper end xmax", lambda source, **_: upper_ends(given[source]), 0),
        "xmin": Control("lower end xmin", lambda source, xmax, **_: lower_ends(given[source], xmax),
                        min(lower, key=lambda end: abs(end - FIRST_XMIN))),
    }, plays="xmin"))


def _named(source: str) -> str:
    return f"{style_of(source).label} growth" if source in STRATEGIES else source
