"""One look for every figure: a colour, a marker and a line per strategy, and a band for the spread of seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from regrow.errors import RegrowError


class FigureError(RegrowError, ValueError):
    """A figure or table that a reader could not use: nothing in it, no description, no labels."""


@dataclass(frozen=True)
class Style:
    """How one method looks in every figure; `label` is what a legend says."""

    colour: str
    marker: str
    linestyle: Any
    label: str

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments for Axes.plot (without the label)."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.linestyle}


# From the palette of Okabe and Ito, chosen so that any two differ clearly with a red-green deficiency as well
# (test_figures.py simulates it). Markers and dashes say the same again for print in grey.
_BASE = {
    "random": Style("#0072B2", "o", "-", "random"),
    "gradient": Style("#D55E00", "s", "-", "gradient"),
    "momentum": Style("#009E73", "^", "-", "momentum"),
    "static": Style("#56B4E9", "D", (0, (1, 1.2)), "static"),
    "dense": Style("#000000", "X", "-.", "dense"),
}
# For rules a user registers: what the palette has left, with other markers.
_SPARE_COLOURS = ("#CC79A7", "#E69F00", "#882255", "#999933")
_SPARE_MARKERS = ("v", "P", "*", "<", ">", "p", "h")


def style_of(method: str) -> Style:
    """The style of a method as RunConfig.method names it.

    A switch such as 'random>gradient' is dashed, with the marker of the rule it starts with and the colour of the
    rule it ends with. A registered rule gets a style from its name alone, the same in every figure and process.
    """
    if ">" in method:
        first, last = (style_of(rule) for rule in method.split(">", 1))
        return Style(last.colour, first.marker, (0, (5, 2)), f"{first.label} → {last.label}")
    if method in _BASE:
        return _BASE[method]
    digest = hashlib.sha256(method.encode()).digest()
    return Style(_SPARE_COLOURS[digest[0] % len(_SPARE_COLOURS)], _SPARE_MARKERS[digest[1] % len(_SPARE_MARKERS)],
                 "-", method)


_RULES = ("random", "gradient", "momentum")
STYLE: dict[str, Style] = _BASE | {f"{a}>{b}": style_of(f"{a}>{b}") for a in _RULES for b in _RULES if a != b}

_RC: Any = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "mathtext.fontset": "dejavusans",  # ship with mpl
    "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "legend.fontsize": 8, "figure.titlesize": 11, "legend.frameon": False,
    "lines.linewidth": 1.6, "lines.markersize": 5,
    "axes.spines.top": False, "axes.spines.right": False,
    "figure.figsize": (7.0, 3.2), "figure.constrained_layout.use": True, "figure.facecolor": "white",
    "image.cmap": "viridis", "image.interpolation": "nearest",
    "svg.hashsalt": "regrow", "svg.fonttype": "path",
}


def use_style() -> None:
    """Set matplotlib's defaults for this process: readable at a page's text width (7 in), the same bytes anywhere."""
    mpl.rcParams.update(_RC)
    mpl.rcParams["axes.prop_cycle"] = cycler(color=[style.colour for style in _BASE.values()])


def seed_band(ax: Axes, x: Any, ys: Any, method: str | Style) -> Line2D:
    """Mean over seeds as a line, mean +- one sample standard deviation (ddof 1, as the paper prints) as a band.

    x is [T], ys is [n_seeds, T]; `method` may also be a style of one's own. One seed has no band. The label carries N,
    the number of seeds. Raises FigureError for other shapes.
    """
    x, ys = np.asarray(x, dtype=float), np.asarray(ys, dtype=float)
    if x.ndim != 1 or ys.ndim != 2 or ys.shape[1] != x.size or not ys.size:
        raise FigureError(f"A seed band needs x of shape [T] and ys of shape [seeds, T], not {x.shape} and {ys.shape}.")
    style, mean = method if isinstance(method, Style) else style_of(method), ys.mean(axis=0)
    if len(ys) > 1:
        sd = ys.std(axis=0, ddof=1)
        ax.fill_between(x, mean - sd, mean + sd, color=style.colour, alpha=0.2, linewidth=0)
    (line,) = ax.plot(x, mean, markevery=max(1, x.size // 8), label=f"{style.label} (N={len(ys)})", **style.line)
    return line


def seed_lines(ax: Axes, frame: pd.DataFrame, x: str, y: str, method: str | Style, *, label: str | None = None,
               **line: Any) -> None:
    """What seed_band draws, of a long frame: a row per seed and x, seeds in column 'seed'.

    Seeds may lack some x; mean and sample deviation are then of the others. `label` replaces the one with N, `line`
    are further arguments of Axes.plot. Call it before y becomes logarithmic: seaborn averages on the axis as it is.
    """
    import seaborn as sns  # takes a second to import, and most notebooks draw nothing with it

    style = method if isinstance(method, Style) else style_of(method)
    if label is None:
        label = f"{style.label} (N={frame['seed'].nunique()})"
    band: Any = "sd" if frame[x].duplicated().any() else None
    # Arrays have no names that seaborn would write beside the axes; it would also give every marker a white edge.
    sns.lineplot(x=frame[x].to_numpy(), y=frame[y].to_numpy(), errorbar=band, err_kws={"alpha": 0.2, "linewidth": 0},
                 legend=False, ax=ax, label=label, **style.line | {
                     "markevery": max(1, frame[x].nunique() // 8), "markeredgecolor": style.colour,
                     "markeredgewidth": mpl.rcParams["lines.markeredgewidth"]} | line)


def strips(ax: Axes, x: Any, y: Any, look: Style, *, size: float, orient: str = "v") -> None:
    """Single runs as points at the places x [n] and y [n]; `orient` says whether values go up ('v') or right ('h').

    Places are the caller's, who spreads those that would hide each other: seaborn's jitter differs in every drawing.
    """
    import seaborn as sns  # as above

    sns.stripplot(x=np.asarray(x), y=np.asarray(y), orient=orient, native_scale=True, jitter=False, marker=look.marker,
                  color=look.colour, size=size, alpha=0.6, linewidth=0, legend=False, ax=ax)


def heat_map(ax: Axes, matrix: Any, *, low: float | None = None, high: float | None = None,
             colours: str | Colormap = "viridis") -> QuadMesh:
    """A matrix [rows, columns] as square cells in a frame, row 0 on top; returns what a colour bar needs.

    The scale goes from `low` to `high`, by default the smallest and the largest value. Cell (i, j) lies between i and
    i + 1, j and j + 1, and there are no ticks, see cell_ticks.
    """
    import seaborn as sns  # as above

    # As pixels also in an svg, where every cell would be a path.
    sns.heatmap(np.asarray(matrix), ax=ax, vmin=low, vmax=high, cmap=colours, cbar=False, square=True,
                xticklabels=False, yticklabels=False, rasterized=True)
    ax.spines[:].set_visible(True)
    mesh = ax.collections[-1]
    assert isinstance(mesh, QuadMesh)
    return mesh


def cell_ticks(axis: Axis, cells: Sequence[float], labels: Sequence[object] | None = None) -> None:
    """Ticks in the middle of some cells of a heat map; they say the number of the cell, or `labels`."""
    axis.set_ticks([cell + 0.5 for cell in cells], labels=[str(name) for name in (labels or cells)])


def unlabelled_axes(fig: Figure) -> list[str]:
    """Axes that hold data but do not say what it is, as 'panel 2 (y)'.

    In a grid, a label anywhere in the panel's column (x) or row (y) counts, and so do supxlabel and supylabel. A panel
    without ticks, such as an image, needs no axis labels but a title, a row or column heading, or a figure title.
    """
    found = []
    for number, ax in enumerate((a for a in fig.axes if a.get_visible() and a.has_data()), start=1):
        column, row = _neighbours(fig, ax, "colspan"), _neighbours(fig, ax, "rowspan")
        has = {"x": any(a.get_xlabel() for a in column) or bool(fig.get_supxlabel()),
               "y": any(a.get_ylabel() for a in row) or bool(fig.get_supylabel())}
        no_ticks = not ax.axison or not (len(ax.get_xticks()) or len(ax.get_yticks()))
        if hasattr(ax, "_colorbar") or no_ticks:  # one name is enough
            titled = any(a.get_title() for a in [*column, *row]) or bool(fig.get_suptitle())
            missing = [] if titled or any(has.values()) else ["no title"]
        else:
            missing = [axis for axis, labelled in has.items() if not labelled]
        if missing:
            found.append(f"panel {number} ({', '.join(missing)})")
    return found


def _neighbours(fig: Figure, ax: Axes, span: str) -> list[Axes]:
    """The axes in the same column (span='colspan') or row of the same grid, and those sharing that axis by twinx/y."""
    group = ax.get_shared_x_axes() if span == "colspan" else ax.get_shared_y_axes()
    spec = ax.get_subplotspec()
    near = [ax, *(a for a in fig.axes if a.bbox.bounds == ax.bbox.bounds and group.joined(a, ax))]
    if spec is not None:
        for other in fig.axes:
            theirs = other.get_subplotspec()
            if theirs is not None and theirs.get_gridspec() is spec.get_gridspec() \
                    and getattr(theirs, span) == getattr(spec, span):
                near.append(other)
    return near
