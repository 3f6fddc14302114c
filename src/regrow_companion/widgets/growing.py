"""Rich get richer: a small network trained with each growth rule, its wiring and its degrees update by update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from regrow.config import RunConfig
from regrow.metrics import in_degree
from regrow_companion.study import growth_rules
from regrow_companion.style import style_of
from regrow_companion.widgets.description import Control, Widget
from regrow_companion.widgets.panel import Panel
from regrow_companion.widgets.pictures import INCH, SHARPNESS, View, axes, paper, pixels, ticks

POOL = 4  # pixels of a side that become one: 28 x 28 images enter as 7 x 7
CONFIG = RunConfig(hidden=(24,), epochs=10, batch_size=64, train_limit=1920, sparsity=0.8, prune_rate=0.3,
                   update_interval=6, lr=0.05)
LEADERS = 3  # neurons drawn in colour


@dataclass(frozen=True)
class Race:
    """One run: masks [U+1, n_out, n_in] of both layers after every update, first before training; accuracy in %."""

    method: str
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]]
    steps: NDArray[np.int64]  # [U+1]
    accuracy: float

    @property
    def degrees(self) -> NDArray[np.int64]:
        """Incoming connections of every hidden neuron, [U+1, n_hidden]."""
        return self.masks[0].sum(axis=2)


@cache
def races() -> Mapping[str, Race]:
    """Train the small network once with each rule: the same start, the same images in the same order. A few seconds."""
    return {grow: _race(CONFIG.but(grow=grow)) for grow in growth_rules()}


def _race(config: RunConfig) -> Race:
    from torch.nn.functional import avg_pool2d  # imported when somebody trains

    from regrow import data, train  # the same

    full = data.load(config.dataset, image_format="native", train_limit=config.train_limit)

    def small(images: data.ImageSet) -> data.ImageSet:
        return replace(images, images=avg_pool2d(images.images.float(), POOL).round().byte())

    images = replace(full, train=small(full.train), validation=small(full.validation), test=small(full.test),
                     image_shape=(1, 28 // POOL, 28 // POOL))
    seen: list[tuple[int, list[NDArray[np.bool_]]]] = []

    def watch(run: train.Run) -> None:
        if run.step % config.update_interval == 0:
            seen.append((run.step, [mask.numpy().copy() for mask in run.engine.masks.values()]))

    run = train.start(config, images)
    watch(run)
    record = train.finish(run, images, save=watch)
    first, second = (np.stack(masks) for masks in zip(*(masks for _, masks in seen), strict=True))
    return Race(config.grow, (first, second), np.array([step for step, _ in seen]), float(record.test_accuracy[-1]))


def draw(update: int, marked: int | str = "now", runs: Mapping[str, Race] | None = None) -> View:
    """After `update` topology updates: above, the network of each rule; below, how many inputs each neuron has had.

    In colour are the leaders after `marked` updates, or those of the moment for "now"; before training there are none.
    """
    runs = races() if runs is None else runs
    last = len(next(iter(runs.values())).steps) - 1
    top = max(int(race.degrees.max()) for race in runs.values())
    said = []
    stride = 1.1 * last  # the three plots stand side by side on one axis, which is drawn in half the time
    with paper(7, 4.0) as fig:
        networks = fig.add_axes((0.07, 0.45, 0.92, 0.43))
        networks.set_axis_off()
        networks.set(xlim=(-0.05, 3.25), ylim=(-0.1, 2.12))
        lines = axes(fig, (0.075, 0.115, 0.91, 0.32), xlabel="topology update", ylabel="inputs of a neuron")
        for column, (method, race) in enumerate(runs.items()):
            now = race.degrees[update]
            there = update if isinstance(marked, str) else marked
            leaders = np.argsort(-race.degrees[there], kind="stable")[:LEADERS * (there > 0)]
            _network(networks, 1.1 * column, [layer[update] for layer in race.masks], leaders, method)
            networks.text(1.1 * column + 0.5, 2.25, f"{style_of(method).label} growth", ha="center", fontsize=10,
                          color=style_of(method).colour)
            _lines(lines, stride * column, race.degrees[: update + 1], leaders, method)
            said.append(f"{style_of(method).label} growth: from {now.min()} to {now.max()} inputs"
                        + (f"; neurons {_listed(leaders + 1)} have {_listed(now[leaders])}, "
                           f"{100 * now[leaders].sum() / now.sum():.0f} % of all" if leaders.size else ""))
        marks = range(0, last + 1, 10)
        ticks(lines, "x", [stride * column + t for column in range(len(runs)) for t in marks],
              [str(t) for _ in runs for t in marks])
        ticks(lines, "y", range(0, top + 1, 10))
        lines.vlines([stride * column for column in range(1, len(runs))], 0, top, color="black", linewidth=0.8)
        lines.set(xlim=(0, stride * (len(runs) - 1) + last), ylim=(0, top + 1))
        fig.suptitle(f"after {update} update{'s' * (update > 1)}" if update else "before training", y=0.995)
        shown = pixels(fig)
    where = f"After {update} of {last} topology updates" if update else "Before training, with the same wiring for all"
    end = "" if update < last else " Test accuracy at the end: " + ", ".join(
        f"{style_of(method).label} {race.accuracy:.0f} %" for method, race in runs.items()) + "."
    return View(shown, "Three small networks side by side, and the number of inputs of each hidden neuron over time.",
                f"{where}. " + ". ".join(part[0].upper() + part[1:] for part in said) + f".{end}")


def _listed(numbers: NDArray[np.int64]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last


def _network(ax: Axes, x: float, masks: list[NDArray[np.bool_]], leaders: NDArray[np.int64], method: str) -> None:
    """One network between x and x + 1, input below; the leaders and their connections are in colour."""
    colour = style_of(method).colour
    rows = [x + np.linspace(0.01, 0.99, n) for n in (masks[0].shape[1], *(mask.shape[0] for mask in masks))]
    rich = np.isin(np.arange(rows[1].size), leaders)
    for layer, mask in enumerate(masks):
        post, pre = np.nonzero(mask)
        of_leader = rich[post if layer == 0 else pre]
        for some, shade, width in ((~of_leader, "#D4D4D4", 0.2), (of_leader, colour, 0.4)):
            gap = np.full(some.sum(), np.nan)  # one broken line is drawn many times faster than so many lines
            xs = np.column_stack([rows[layer][pre[some]], rows[layer + 1][post[some]], gap])
            ax.plot(xs.ravel(), np.tile((layer, layer + 1, np.nan), len(xs)), color=shade, linewidth=width, zorder=1,
                    antialiased=False)  # hundreds of soft edges would be half of a page
    ax.plot(rows[0], np.zeros(rows[0].size), ".", markersize=2.5, color="#333333")
    ax.plot(rows[2], np.full(rows[2].size, 2), ".", markersize=6, color="#333333")
    ax.fill_between([x - 0.02, x + 1.02], 0.72, 1.28, color="white", alpha=0.85, linewidth=0, zorder=2)
    places = np.column_stack([rows[1], np.where(np.arange(rich.size) % 2, 1.19, 0.81)])
    numbers = PathCollection([_number(n, bold) for n, bold in enumerate(rich.tolist(), start=1)], offsets=places,
                             offset_transform=ax.transData, color="black", linewidth=0, zorder=4)
    numbers.set_transform(Affine2D().scale(INCH * SHARPNESS / 72))  # the paths are in points
    ax.add_collection(numbers, autolim=False)
    ax.scatter(rows[1], np.ones(rows[1].size), s=4 + 4.5 * in_degree(masks[0]), zorder=3, linewidth=0.6,
               edgecolor="black", color=np.where(rich, colour, "white"))


@cache
def _number(n: int, bold: bool) -> Path:
    """A neuron's number as an outline around (0, 0): a hundred texts would take as long as all else."""
    drawn = TextPath((0, 0), str(n), size=7, prop=FontProperties(weight="bold" if bold else "normal"))
    box = drawn.get_extents()
    return drawn.transformed(Affine2D().translate(-(box.x0 + box.x1) / 2, -(box.y0 + box.y1) / 2))


def _lines(ax: Axes, x: float, degrees: NDArray[np.int64], leaders: NDArray[np.int64], method: str) -> None:
    """Degrees [updates so far, n_hidden] from `x` on; the leaders are in colour."""
    style, time = style_of(method), x + np.arange(len(degrees))
    others = np.delete(degrees, leaders, axis=1).T
    broken = np.column_stack([others, np.full(len(others), np.nan)])
    ax.plot(np.tile([*time, np.nan], len(others)), broken.ravel(), color="#BBBBBB", linewidth=0.8)
    ax.plot(time, degrees[:, leaders], color=style.colour, marker=style.marker, markevery=[-1], clip_on=False)


def rich_get_richer() -> Panel:
    """Three small networks growing side by side, with play and pause; trained when it is first called (seconds)."""
    runs = races()
    last = len(next(iter(runs.values())).steps) - 1
    updates = [n for n in (0, 1, 2, 3, 5, 10, 15, 20, *range(30, last, 10)) if n < last] + [last]
    return Panel(Widget(partial(draw, runs=runs), {
        "update": Control("topology updates", [(f"{n}" if n else "before training", n) for n in updates], 0),
        "marked": Control("in colour, who leads", [("at the moment", "now"), ("after the first update", 1),
                                                   ("at the end", last)], "now", menu=True),
    }, plays="update"))
