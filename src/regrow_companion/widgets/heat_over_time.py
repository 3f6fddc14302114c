"""Where the networks look while they train: input heat maps of the growth rules side by side (Section 5.3, Fig. 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from regrow import cost
from regrow.metrics import input_heat_map
from regrow.record import Record
from regrow_companion import study
from regrow_companion.plots.nb11_heat_maps import concentration
from regrow_companion.style import style_of
from regrow_companion.widgets import examples
from regrow_companion.widgets.description import Control, Options, Widget, distinct
from regrow_companion.widgets.panel import Panel
from regrow_companion.widgets.pictures import View, paper, pixels, ticks


@dataclass(frozen=True)
class Maps:
    """Connections leaving each pixel, [seeds, times, H, W] by growth rule, the seeds, and the epochs [times]."""

    of: Mapping[str, NDArray[np.float64]]
    seeds: tuple[int, ...]
    epochs: NDArray[np.float64]
    title: str

    def of_seed(self, seed: int | str) -> dict[str, NDArray[np.float64]]:
        """Of one seed, or the mean of all for "mean": [times, H, W] by growth rule."""
        return {method: maps[self.seeds.index(seed)] if isinstance(seed, int) else maps.mean(axis=0)
                for method, maps in self.of.items()}


def maps_of(records: Sequence[Record]) -> Maps:
    """After every update where the records have them all, else at the paper's moments, as shipped records do."""
    first = records[0].layers[0]
    always = all(first in record.out_degree for record in records)

    def maps(record: Record) -> NDArray[np.float64]:
        degrees = record.out_degree[first] if always else record.input_degrees()
        return input_heat_map(degrees.astype(np.int32), cost.image_shape(record.config)).astype(float)

    epochs = records[0].epochs_at if always else np.array([moment.epoch for moment in records[0].moments])
    groups = study.by_method(records)
    seeds = tuple(record.config.seed for record in next(iter(groups.values())))
    return Maps({method: np.stack([maps(record) for record in group]) for method, group in groups.items()}, seeds,
                epochs, examples.named(records))


def draw(colours: str, seed: int | str, time: int, maps: Maps) -> View:
    """One map per growth rule at one time; `colours` is "shared" (all rules, all times) or "own" (each map's own);
    `seed` "mean" is the mean of all."""
    epoch, said, shown = float(maps.epochs[time]), [], maps.of_seed(seed)
    highest = max(float(of.max()) for of in shown.values())
    with paper(7, 2.9) as fig:
        width = 0.86 / len(shown)
        for column, (method, of) in enumerate(shown.items()):
            heat, place = of[time], 0.02 + width * column
            ax = fig.add_axes((place, 0.02, width - 0.02, 0.8))
            top = highest if colours == "shared" else float(heat.max())
            ax.imshow(heat, vmin=0, vmax=top)
            ax.set_axis_off()
            at_most = "" if colours == "shared" else f", 0–{top:.0f}"
            fig.text(place + width / 2 - 0.01, 0.845, f"{style_of(method).label} growth{at_most}", ha="center",
                     fontsize=10, color=style_of(method).colour)
            said.append(f"{style_of(method).label} {100 * float(concentration(heat)):.0f} %")
        bar = fig.add_axes((0.9, 0.08, 0.018, 0.68))
        fig.colorbar(ScalarMappable(Normalize(0, highest if colours == "shared" else 1)), cax=bar)
        step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**6) if highest / s < 6)
        if colours == "shared":
            ticks(bar, "y", np.arange(0, highest + 1e-9, step).tolist())
        else:
            ticks(bar, "y", (0, 1), ("none", "most"))
        bar.set_title("per pixel", fontsize=8, y=1.03)
        fig.suptitle(f"{maps.title}: " + (f"epoch {epoch:.3g}" if epoch else "before training"), y=0.985)
        return View(pixels(fig),
                    "Heat maps of the connections that leave each pixel of the image, one per growth rule.",
                    f"{f'At epoch {epoch:.3g}' if epoch else 'Before training'} the tenth of the pixels with most "
                    f"connections has this share of all: {', '.join(said)}. An even spread would be 10 %.")


def heat_map(records: Sequence[Record] | None = None) -> Panel:
    """Input heat maps along training; `records` of MLPs of one size and length, by default ours."""
    maps = maps_of(examples.records() if records is None else records)
    times = [(f"epoch {epoch:.3g}" if epoch else "before training", i) for i, epoch in enumerate(maps.epochs)]
    seeds: Options = [(f"seed {seed}", seed) for seed in maps.seeds[:2]]
    if len(maps.seeds) > 1:
        seeds = [(f"mean of {len(maps.seeds)}", "mean"), *seeds]
    return Panel(Widget(partial(draw, maps=maps), {
        "colours": Control("colour scale", [("the same for all", "shared"), ("each its own", "own")], "shared",
                           menu=True),
        "seed": Control("runs", seeds, seeds[0][1], menu=True),
        "time": Control("time", distinct(times), 0),
    }, plays="time", beat=1500))
