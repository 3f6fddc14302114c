"""How many connections each layer gets before training: sparsity and initialisation on any of the paper's networks."""

from __future__ import annotations

from functools import cache
from math import prod

from regrow import models, sparsity
from regrow.config import RunConfig
from regrow_companion.paper import MODEL_NAMES
from regrow_companion.plots.nb02_densities import LOOKS, NETWORKS, RGB32
from regrow_companion.widgets.description import Control, Widget
from regrow_companion.widgets.panel import Panel
from regrow_companion.widgets.pictures import View, axes, paper, pixels, ticks

INITS = ("erk", "er", "uniform", "erk_printed")
SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995)
FULL, PART = "#E69F00", "#333333"


@cache
def weight_shapes(network: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the maskable weights of one of the five networks for CIFAR-10."""
    return models.weight_shapes(RunConfig(model=network), 10, RGB32)


def draw(network: str, init: str, absent: float) -> View:
    """Density of every layer at sparsity `absent` (0 ... 0.995); the dashed line is that of the whole network."""
    shapes = weight_shapes(network)
    shares = sparsity.densities(shapes, 1 - absent, init)
    counts = sparsity.connection_counts(shapes, 1 - absent, init)
    full = [name for name, shape in shapes.items() if counts[name] == prod(shape)]
    places = range(1, len(shapes) + 1)
    with paper(7, 3.1) as fig:
        foot = 0.22 if 4 < len(shapes) <= 20 else 0.16
        ax = axes(fig, (0.085, foot, 0.9, 0.84 - foot), ylabel="density, %",
                  xlabel="layer, in forward order" if len(shapes) > 20 else "")
        colours = [FULL if name in full else PART for name in shapes]
        heights = [100 * share for share in shares.values()]
        ax.vlines(places, 0.01, heights, colors=colours, linewidth=2.5 if len(shapes) <= 20 else 1.5)
        for colour, marker, label in ((FULL, "s", "dense"), (PART, "o", "sparse")):
            ax.plot([x for x, c in zip(places, colours, strict=True) if c == colour],
                    [y for y, c in zip(heights, colours, strict=True) if c == colour], linestyle="none", color=colour,
                    marker=marker, markersize=5 if len(shapes) <= 20 else 3.5, label=label)
        ax.axhline(100 * (1 - absent), color="#767676", linestyle="--", linewidth=1.2, label="the whole network")
        ticks(ax, "y", (0.1, 1, 10, 100), log=True)
        if len(shapes) <= 20:
            ticks(ax, "x", places, shapes)
            ax.tick_params(axis="x", rotation=90 if len(shapes) > 4 else 0)
        else:
            ticks(ax, "x", range(5, len(shapes) + 1, 5))
        ax.set(xlim=(0.4, len(shapes) + 0.6), ylim=(0.05, 170))
        fig.suptitle(f"{MODEL_NAMES[network]}, {LOOKS[init].label}, {100 * absent:g} % sparse", y=0.98)
        fig.legend(*ax.get_legend_handles_labels(), loc="upper right", bbox_to_anchor=(0.99, 0.93), ncols=3)
        return View(pixels(fig), f"Density of every layer of {MODEL_NAMES[network]} on a logarithmic axis.",
                    _words(network, init, absent, counts, shares, full))


def _words(network: str, init: str, absent: float, counts: dict[str, int], shares: dict[str, float],
           full: list[str]) -> str:
    weights = sum(map(prod, weight_shapes(network).values()))
    kept = f"{MODEL_NAMES[network]} keeps {sum(counts.values()):,} of {weights:,} weights ({100 * (1 - absent):g} %)."
    if len(full) == len(shares):
        return f"{kept} Every layer is dense."
    thin, thick = (f(shares, key=shares.__getitem__) for f in (min, max))
    if init == "uniform":
        return f"{kept} With the uniform rule every layer has the same density."
    if len(full) > 3:
        dense = f"{len(full)} of {len(shares)} layers are dense"
    else:
        dense = f"{' and '.join(full)} {'are' if len(full) > 1 else 'is'} dense" if full else (
            f"No layer is dense; {thick} comes nearest with {100 * shares[thick]:.3g} %")
    return f"{kept} {dense}. The thinnest is {thin}: {100 * shares[thin]:.2g} %, {counts[thin]:,} connections."


def density() -> Panel:
    """Sparsity and uniform, ER or ERK initialisation on the paper's five networks (Section 3.2.3, Table 2)."""
    return Panel(Widget(draw, {
        "network": Control("network", [(MODEL_NAMES[name], name) for name in NETWORKS], "mlp", menu=True),
        "init": Control("initialisation", [(LOOKS[name].label, name) for name in INITS], "erk", menu=True),
        "absent": Control("sparsity", [(f"{100 * s:g} %", s) for s in SPARSITIES], 0.95),
    }, plays="absent"))
