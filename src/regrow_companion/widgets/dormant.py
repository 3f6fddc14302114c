"""Which neurons count as dormant: the threshold against the time of training (Section 5.4, Fig. 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from regrow.metrics import dormant_counts
from regrow.record import Record
from regrow_companion import study
from regrow_companion.style import style_of
from regrow_companion.widgets import examples
from regrow_companion.widgets.description import Control, Options, Widget, distinct
from regrow_companion.widgets.panel import Panel
from regrow_companion.widgets.pictures import View, axes, paper, pixels, ticks

TIMES = (0, 1, 2, 5, 10, 25, 50, 100, 150, 200, 210, 220, 230, 240, 250, 275, 300)  # of 300
POWERS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000)


@dataclass(frozen=True)
class Degrees:
    """Total degrees of the hidden neurons, int [seeds, U+1, n] by growth rule, and the epochs [U+1]."""

    of: dict[str, NDArray[np.int32]]
    epochs: NDArray[np.float64]
    title: str

    @property
    def neurons(self) -> int:
        return next(iter(self.of.values())).shape[-1]


def degrees_of(records: Sequence[Record]) -> Degrees:
    """Degrees of MLPs of one size and length, by growth rule."""
    groups = study.by_method(records)
    return Degrees({method: np.stack([run.hidden_degrees() for run in group]) for method, group in groups.items()},
                   records[0].epochs_at, examples.named(records))


def draw(threshold: int, update: int, degrees: Degrees) -> View:
    """Left: share of neurons with degree `threshold` or less over training; right: all degrees after one update."""
    epoch, last, said = degrees.epochs[update], degrees.epochs[-1], []
    top = max(int(k.max()) for k in degrees.of.values())
    grid = np.unique(np.geomspace(1, top, 150).round().astype(int))
    with paper(7, 3.4) as fig:
        left = axes(fig, (0.08, 0.15, 0.41, 0.66), xlabel="epoch", ylabel=f"dormant: degree ≤ {threshold}, %")
        right = axes(fig, (0.57, 0.15, 0.40, 0.66), xlabel="degree k (logarithmic)",
                     ylabel=f"degree ≤ k at epoch {epoch:.0f}, %")
        for method, k in degrees.of.items():
            shares = 100 * dormant_counts(k, threshold) / degrees.neurons
            _seeds(left, degrees.epochs, shares, method)
            now = np.sort(k[:, update].ravel())
            right.plot(grid, 100 * np.searchsorted(now, grid, side="right") / now.size, color=style_of(method).colour)
            right.plot([max(threshold, 1)], [shares[:, update].mean()], clip_on=False, **style_of(method).line)
            said.append(f"{style_of(method).label} {shares[:, update].mean():.1f} %")
        for ax, at in ((left, epoch), (right, max(threshold, 1))):
            ax.axvline(at, color="#767676", linewidth=1, linestyle=(0, (4, 3)))
            ticks(ax, "y", (0, 20, 40, 60, 80, 100))
            ax.set_ylim(0, 103)
        ticks(left, "x", np.linspace(0, last, 4).round().tolist())
        ticks(right, "x", [t for t in POWERS if t <= top], log=True)
        left.set_xlim(0, last)
        right.set_xlim(1, top)
        fig.suptitle(degrees.title, y=0.985)
        fig.legend(*left.get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(0.5, 0.93), ncols=3)
        return View(pixels(fig), "Left: share of dormant neurons over the epochs; right: distribution of degrees.",
                    f"At epoch {epoch:.1f} of {last:.0f}, this share of {degrees.neurons:,} hidden neurons has "
                    f"{threshold} connections or fewer: {', '.join(said)}.")


def _seeds(ax: Axes, epochs: NDArray[np.float64], shares: NDArray[np.float64], method: str) -> None:
    """A thin line for every seed, and their mean; shares are [seeds, U+1]."""
    style, gap = style_of(method), np.full((len(shares), 1), np.nan)  # one broken line is drawn faster than five
    if len(shares) > 1:
        ax.plot(np.tile([*epochs, np.nan], len(shares)), np.hstack([shares, gap]).ravel(), color=style.colour,
                linewidth=0.6, alpha=0.6)
    ax.plot(epochs, shares.mean(axis=0), markevery=max(1, epochs.size // 8), label=f"{style.label} (N={len(shares)})",
            **style.line)


def _times(epochs: NDArray[np.float64]) -> Options:
    """Some twenty updates: dense at the start and towards the end, where the prune rate fades."""
    updates = np.unique(np.abs(epochs - epochs[-1] * np.array(TIMES)[:, None] / TIMES[-1]).argmin(axis=1))
    return distinct([(f"epoch {epochs[u]:.3g}" if u else "before training", int(u)) for u in updates])


def dormancy(records: Sequence[Record] | None = None) -> Panel:
    """Share of dormant hidden neurons for any threshold and time; `records` of MLPs of one size, by default ours."""
    runs = examples.records() if records is None else records
    degrees, limits = degrees_of(runs), runs[0].thresholds
    largest = max(int(k.max()) for k in degrees.of.values())
    thresholds = sorted({limits.low, limits.high, *(t for t in (3, 30, 400) if t < largest)})
    return Panel(Widget(partial(draw, degrees=degrees), {
        "threshold": Control("dormant: degree ≤", [(f"{t}", t) for t in thresholds], limits.low),
        "update": Control("time", _times(degrees.epochs), len(degrees.epochs) - 1),
    }, plays="update"))
