"""One prune-and-regrow step of a layer that fits on the page, stage by stage, with each rule (Section 4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import Tensor

from regrow.config import CHOICES, OWN
from regrow.rules import LayerState, scores
from regrow.topology import Rewiring, rewire
from regrow_companion import study
from regrow_companion.style import style_of
from regrow_companion.widgets.description import Control, Widget
from regrow_companion.widgets.panel import Panel
from regrow_companion.widgets.pictures import View, axes, paper, pixels, ticks

# The layer of notebook 03: five neurons feed four; sizes 0.1 ... 1.0, so that everything can be checked by eye.
WEIGHT = torch.tensor([[0.9, 0.0, 0.3, 0.0, -0.4], [0.0, -0.7, 0.0, 0.1, 0.0],
                       [0.2, 0.0, 0.0, -0.6, 0.0], [0.0, 0.5, -0.8, 0.0, -1.0]], dtype=torch.float64)
GRADIENT = torch.tensor([[0.1, 0.5, -0.6, 0.0, 0.2], [-0.4, 0.3, 0.1, 0.2, -0.1],
                         [0.4, 0.9, -0.8, 0.2, 0.7], [-0.2, -0.4, 1.0, 0.3, 0.0]], dtype=torch.float64)
AVERAGE = 0.81 * GRADIENT.roll(1, dims=1) + 0.01 * GRADIENT  # two batches, -G and G, after a made-up past (Eq. 10)
STAGES = {"before": "before", "mark": "mark those that go", "prune": "prune", "score": "score the empty places",
          "grow": "grow where the score is highest"}
SCORED = list(STAGES).index("score")  # from here on the growth rule matters
PRUNING = ("magnitude", "set", "set_legacy", "random")
RATES = (0.1, 0.2, 0.4)
KEPT, GOES, COMES, FAINT = "#333333", "#E69F00", "#56B4E9", "#BBBBBB"  # no growth rule has these


@dataclass(frozen=True)
class Step:
    """The layer, what the rules make of it, and the growth rule's score of every place."""

    layer: LayerState
    rewiring: Rewiring
    score: Tensor


def step(prune: str, grow: str, rate: float, seed: int) -> Step:
    """The update with these rules; the same seed draws the same numbers. Arrays are [4, 5]."""
    def layer() -> LayerState:
        return LayerState(WEIGHT, WEIGHT != 0, torch.Generator().manual_seed(seed), GRADIENT, AVERAGE)

    rewiring = rewire(layer(), rate=rate, prune=prune, grow=grow)
    drawn = layer()
    if prune == "random":  # which draws first; in `rewire` from a row of ten connections
        torch.rand(int(drawn.mask.sum()), generator=drawn.generator)
    return Step(layer(), rewiring, scores(drawn, grow))


def draw(prune: str, rate: float, seed: int, stage: int, grow: str) -> View:
    """The layer as a bipartite graph at one of five stages, and beside it what the rule of that stage compares."""
    return _drawn(prune, rate, seed, stage, grow if stage >= SCORED else study.STRATEGIES[0])


@lru_cache(maxsize=4)  # growth rules look alike until they score
def _drawn(prune: str, rate: float, seed: int, stage: int, grow: str) -> View:
    it = step(prune, grow, rate, seed)
    mask, pruned, grown = (part.numpy() for part in (it.layer.mask, it.rewiring.pruned, it.rewiring.grown))
    there = mask if stage < 2 else (mask & ~pruned) | grown if stage == 4 else mask & ~pruned
    with paper(7, 3.4) as fig:
        graph, bars = fig.add_axes((0.01, 0.0, 0.47, 0.9)), axes(fig, (0.56, 0.2, 0.43, 0.68))
        _graph(graph, there, pruned if stage == 1 else pruned & False, grown if stage == 4 else grown & False,
               ghosts=(pruned & ~there) if stage >= 2 else pruned & False)
        if stage < SCORED:
            _bars(bars, it.layer.weight.abs().numpy(), mask, pruned if stage else pruned & False, GOES, "goes",
                  "connections, weakest first", "size of the weight")
        else:
            _bars(bars, it.score.abs().numpy(), ~(mask & ~pruned), grown if stage == 4 else grown & False, COMES,
                  "grows", "empty places, lowest score first", f"{style_of(grow).label} growth: score")
        fig.suptitle(f"{stage + 1} of {len(STAGES)}: {list(STAGES.values())[stage]}", y=0.98)
        return View(pixels(fig), "Five neurons feed four: a bipartite graph, and the numbers that the rule compares.",
                    _words(it, prune, grow, rate, stage, there))


def _graph(ax: Axes, there: NDArray[np.bool_], goes: NDArray[np.bool_], comes: NDArray[np.bool_],
           ghosts: NDArray[np.bool_]) -> None:
    n_out, n_in = there.shape
    left, right = np.arange(n_in)[::-1] + 0.0, np.arange(n_out)[::-1] + 0.5
    for i, j in np.argwhere(there | ghosts):
        look: dict[str, Any]
        if goes[i, j]:
            look = {"color": GOES, "linestyle": (0, (4, 2)), "linewidth": 1.8}
        elif comes[i, j]:
            look = {"color": COMES, "linestyle": "-", "linewidth": 3.2}
        elif there[i, j]:
            look = {"color": KEPT, "linestyle": "-", "linewidth": 0.6 + 2 * abs(float(WEIGHT[i, j]))}
        else:
            look = {"color": FAINT, "linestyle": ":", "linewidth": 1.0}
        ax.plot([0, 1], [left[j], right[i]], zorder=1, **look)
    for x, side, heights, degrees in ((0, -1, left, there.sum(axis=0)), (1, 1, right, there.sum(axis=1))):
        ax.scatter(np.full(len(heights), x), heights, s=330, color="white", edgecolor=KEPT, linewidth=1.2, zorder=2)
        for name, (y, degree) in enumerate(zip(heights, degrees, strict=True), start=1):
            ax.text(x, y, str(degree), ha="center", va="center", fontsize=9, zorder=3)
            ax.text(x + 0.11 * side, y, str(name), ha="center", va="center", fontsize=8, color="#767676")
    ax.text(0.5, -0.75, "in a circle: how many connections; beside it: which neuron", ha="center", fontsize=8)
    ax.set(xlim=(-0.2, 1.2), ylim=(-1.0, n_in - 0.4))
    ax.axis("off")


def _bars(ax: Axes, sizes: NDArray[np.float64], among: NDArray[np.bool_], chosen: NDArray[np.bool_], colour: str,
          verb: str, xlabel: str, ylabel: str) -> None:
    places = np.argwhere(among)
    places = places[np.argsort(sizes[among], kind="stable")]
    values = np.array([sizes[i, j] for i, j in places])
    marked = np.array([chosen[i, j] for i, j in places], dtype=bool)
    x = np.arange(len(places))
    ax.bar(x[~marked], values[~marked], color="#9FB4C7", width=0.75)
    if marked.any():
        ax.bar(x[marked], values[marked], color=colour, width=0.75, hatch="///", edgecolor="white", linewidth=0,
               label=verb)
        ax.legend(loc="upper left")
    ticks(ax, "x", x, [f"{j + 1}→{i + 1}" for i, j in places])
    ticks(ax, "y", (0, 0.5, 1))
    ax.tick_params(axis="x", rotation=90, labelsize=7, length=0)
    ax.xaxis.set_label_coords(0.5, -0.2)  # below labels that stand upright
    ax.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, 1.08), xlim=(-0.7, 19.7))


def _named(mask: Tensor) -> str:
    return ", ".join(f"{j + 1}→{i + 1}" for i, j in mask.nonzero().tolist()) or "none"


def _words(it: Step, prune: str, grow: str, rate: float, stage: int, there: NDArray[np.bool_]) -> str:
    count = f"{there.sum()} connections; incoming ones of the four neurons: {', '.join(map(str, there.sum(axis=1)))}."
    rule = CHOICES["prune"][prune].rstrip(".")
    again = it.rewiring.pruned & it.rewiring.grown
    said = ("Nothing has changed yet.",
            f"The rule '{prune}' ({rule}) marks {int(it.rewiring.pruned.sum())}: {_named(it.rewiring.pruned)}. "
            f"{rate:g} of {int(it.layer.mask.sum())} connections would be {rate * int(it.layer.mask.sum()):g}.",
            f"{int(it.rewiring.pruned.sum())} connections are gone, and as many will grow.",
            f"{int((~torch.from_numpy(there)).sum())} places are empty, those just pruned among them. "
            f"{style_of(grow).label.capitalize()} growth scores each: {CHOICES['grow'][grow].rstrip('.')}.",
            f"The {int(it.rewiring.grown.sum())} highest scores grow, with weight 0: {_named(it.rewiring.grown)}."
            + (f" Pruned and grown again: {_named(again)}." if bool(again.any()) else ""))
    return f"{count} {said[stage]}"


def update_step() -> Panel:
    """Five stages of one topology update of a 5-to-4 layer, with every pruning and growth rule."""
    return Panel(Widget(draw, {
        "prune": Control("pruning rule", [(name, name) for name in (*PRUNING, *OWN["prune"])], "magnitude", menu=True),
        "rate": Control("fraction pruned p", [(f"{p:g}", p) for p in RATES], 0.4),
        "seed": Control("random draw", [(f"number {n + 1}", n) for n in range(10)], 0, live_only=True),
        "stage": Control("stage", [(f"{i}: {name}", i - 1) for i, name in enumerate(STAGES, start=1)], 0),
        "grow": Control("growth rule", [(name, name) for name in study.growth_rules()], "gradient", menu=True),
    }, plays="stage", beat=2500))
