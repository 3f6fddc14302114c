"""The k-shells of a network as an onion that is peeled layer by layer (Section 4.5.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from regrow.metrics import adjacency, k_shells
from regrow_companion import study
from regrow_companion.plots.nb05_shells import LAYER_COLOURS, example_masks, layer_names
from regrow_companion.style import style_of
from regrow_companion.widgets import examples
from regrow_companion.widgets.description import Control, Options, Widget
from regrow_companion.widgets.panel import Panel
from regrow_companion.widgets.pictures import View, axes, paper, pixels, ticks

MOST_LINES = 200  # connections drawn one by one
FEW = 60  # neurons that are drawn as numbered circles


@dataclass(frozen=True)
class Onion:
    """A network ready to be peeled: shell and place of every neuron, [n] and [n, 2], layers one after the other."""

    shells: list[NDArray[np.int32]]  # for each layer of neurons
    places: NDArray[np.float64]
    edges: NDArray[np.int64]  # [n_edges, 2], both ends; empty for a large network

    @property
    def shell(self) -> NDArray[np.int32]:
        return np.concatenate(self.shells)

    @property
    def core(self) -> int:
        """The highest shell."""
        return int(self.shell.max())


def onion(masks: Iterable[ArrayLike]) -> Onion:
    """Shells of a chain of masks [n_out, n_in]; the core lies in the middle, shell 0 outside."""
    matrices = list(masks)
    shells = k_shells(matrices)
    shell = np.concatenate(shells)
    place = np.empty(shell.size)
    mixed = np.random.default_rng(0).permutation(shell.size)  # neurons of a shell lie among each other, whatever layer
    place[np.lexsort((mixed, -shell))] = np.arange(shell.size)  # 0 for the innermost
    radius, angle = radius_of(place + 0.5, shell.size), place * np.pi * (3 - np.sqrt(5))  # as seeds of a sunflower
    graph = adjacency(matrices).tocoo()
    lines = np.column_stack([graph.coords[0], graph.coords[1]])[graph.coords[0] < graph.coords[1]]
    places = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    return Onion(shells, places, lines.astype(np.int64) if len(lines) <= MOST_LINES else np.empty((0, 2), np.int64))


def radius_of(inside: Any, neurons: int) -> Any:
    """Radius of the disc that holds so many of the neurons, evenly spread; 1 for all of them."""
    return np.sqrt(inside / neurons)


def draw(network: str, k: int, onions: Mapping[str, Onion]) -> View:
    """The k-core: neurons of shells below k are peeled off and leave faint dots. Beside it, neurons in each shell."""
    it = onions[network]
    with paper(7, 3.8) as fig:
        whole = fig.add_axes((0.0, 0.02, 0.48, 0.88))
        bars = axes(fig, (0.57, 0.14, 0.42, 0.68), xlabel="shell k", ylabel="neurons",
                    room=(0.25, 0.42))
        _peeled(whole, it, k)
        _bars(bars, it, k)
        fig.suptitle(f"{network}: its {k}-core" if k else f"{network}: the whole network", y=0.985)
        fig.legend(*whole.get_legend_handles_labels(), loc="upper right", bbox_to_anchor=(0.995, 0.92),
                   ncols=len(it.shells), columnspacing=1.0, handletextpad=0.1,
                   markerscale=0.6 if it.shell.size <= FEW else 1.4)
        return View(pixels(fig),
                    "A network as an onion, its core in the middle, and how many neurons are in each shell.",
                    _words(network, it, k))


def _peeled(ax: Axes, it: Onion, k: int) -> None:
    shell, few = it.shell, it.shell.size <= FEW
    stays = shell >= k
    for a, b in it.edges[(stays[it.edges]).all(axis=1)]:
        ax.plot(*it.places[[a, b]].T, color="#BBBBBB", linewidth=0.8, zorder=1)
    ax.plot(*it.places[~stays].T, ".", color="#DDDDDD", markersize=5 if few else 1.5, zorder=1)
    start = 0
    for name, colour, layer in zip(layer_names(len(it.shells)), _colours(len(it.shells)), it.shells, strict=True):
        here = np.arange(start, start + layer.size)
        here, start = here[layer >= k], start + layer.size
        ax.plot(*it.places[here].T, "o", color=colour, markersize=11 if few else 2.2, markeredgecolor="black",
                markeredgewidth=0.6 if few else 0, label=name, zorder=2)
    if few:
        for (x, y), own, left in zip(it.places, shell, stays, strict=True):
            if left:
                ax.text(x, y, str(own), ha="center", va="center", fontsize=8, zorder=3)
    if 0 < k <= it.core:
        ring, edge = np.linspace(0, 2 * np.pi, 200), radius_of(stays.sum(), shell.size)
        ax.plot(edge * np.cos(ring), edge * np.sin(ring), color="#333333", linewidth=0.8, linestyle=(0, (4, 3)))
    ax.set(xlim=(-1.06, 1.06), ylim=(-1.06, 1.06), aspect="equal")
    ax.set_axis_off()


def _bars(ax: Axes, it: Onion, k: int) -> None:
    counts = np.array([np.bincount(layer, minlength=it.core + 1) for layer in it.shells])
    base = np.zeros(it.core + 1)
    edges = np.arange(it.core + 2) - 0.5
    for row, colour in zip(counts, _colours(len(it.shells)), strict=True):
        ax.stairs(base + row, edges, baseline=base, fill=True, color=colour)
        base = base + row
    top = float(base.max())
    ax.axvspan(-0.5, k - 0.5, color="white", alpha=0.75, linewidth=0)
    ax.axvline(k - 0.5, color="#333333", linewidth=0.8, linestyle=(0, (4, 3)))
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500) if it.core / s < 9)
    high = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10**6) if top / s < 6)
    ticks(ax, "x", range(0, it.core + 1, step))
    ticks(ax, "y", np.arange(0, top + 1, high).tolist())
    ax.set(xlim=(-0.5, it.core + 0.5), ylim=(0, 1.05 * top))


def _colours(layers: int) -> tuple[str, ...]:
    return (*LAYER_COLOURS[: layers - 1], "#4D4D4D")


def _words(network: str, it: Onion, k: int) -> str:
    stays = [int((layer >= k).sum()) for layer in it.shells]
    if not sum(stays):
        return (f"{network}: nothing is left; the core was shell {it.core} with "
                f"{int((it.shell == it.core).sum())} neurons.")
    parts = ", ".join(f"{n} of {layer.size} {name}" for n, layer, name in
                      zip(stays, it.shells, layer_names(len(it.shells)), strict=True))
    here = int((it.shell == k).sum())
    return (f"{network}: {sum(stays):,} of {it.shell.size:,} neurons are in the {k}-core ({parts}). {here} of them are "
            f"in shell {k} and go next. The core is shell {it.core}.")


def shells(networks: Mapping[str, Iterable[ArrayLike]] | None = None) -> Panel:
    """Peel a small example, or trained networks, shell by shell.

    `networks` are masks [n_out, n_in] of fully connected layers, in forward order, by name; without it, the example of
    Figure 10 and one run per growth rule, before and after training.
    """
    if networks is None:
        runs = [group[0] for group in study.by_method(examples.records()).values()]
        networks = {"example": example_masks(), "before training": list(runs[0].masks(0).values())} | {
            f"{style_of(run.config.method).label} growth": list(run.masks(5).values()) for run in runs}
    onions = {name: onion(masks) for name, masks in networks.items()}
    return Panel(Widget(partial(draw, onions=onions), {
        "network": Control("network", [(name, name) for name in onions], next(iter(onions)), menu=True),
        "k": Control("peel below k", lambda network: _cuts(onions[network].core), 0),
    }, plays="k"))


def _cuts(core: int) -> Options:
    """Where to peel: nothing, everything, the core, and up to thirteen shells below it."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**6) if core / s < 14)
    return [(f"k = {k}" if k else "nothing yet", k) for k in sorted({*range(0, core, step), core, core + 1})]
