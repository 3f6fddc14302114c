"""How an initialisation spreads connections over the layers of a network (Section 3.2.3, Table 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from regrow import models, sparsity
from regrow.config import RunConfig
from regrow_companion.paper import MODEL_NAMES

NETWORKS = ("mlp", "convnet", "vgg16", "resnet50-cifar", "resnet56")  # the paper's five, shallow to deep
TITLES = {"resnet50-cifar": "ResNet-50 for CIFAR (6n+2)"}
RGB32 = (3, 32, 32)


@dataclass(frozen=True)
class Look:
    """How one initialisation is drawn; no strategy has these colours."""

    label: str
    colour: str
    linestyle: Any
    marker: str
    size: float
    filled: bool = True


# Where they agree, an open circle, a cross and a dot lie on one another and can still be told apart.
LOOKS = {
    "uniform": Look("uniform", "#767676", (0, (4, 2)), "", 0),
    "er": Look("ER", "#E69F00", "-", "o", 6.5, filled=False),
    "erk_printed": Look("ERK as printed in Table 2", "#CC79A7", ":", "x", 5),
    "erk": Look("ERK as everybody implements it", "#000000", "-", "o", 2.6),
}


def layer_densities(networks: Sequence[str] = NETWORKS, density: float = 0.05, classes: int = 10) -> pd.DataFrame:
    """Density and exact number of connections of every layer, one row per network, initialisation and layer.

    Columns: network, initialisation, number (of the layer, from 1, in forward order), layer, shape of its weight
    ('out x in x h x w'), weights, density, connections.
    """
    rows: list[dict[str, Any]] = []
    for name in networks:
        shapes = models.weight_shapes(RunConfig(model=name), classes, RGB32)
        for init in LOOKS:
            shares = sparsity.densities(shapes, density, init)
            counts = sparsity.connection_counts(shapes, density, init)
            rows += [{"network": name, "initialisation": init, "number": number, "layer": layer,
                      "shape": "x".join(map(str, shape)), "weights": prod(shape), "density": shares[layer],
                      "connections": counts[layer]} for number, (layer, shape) in enumerate(shapes.items(), start=1)]
    return pd.DataFrame(rows)


def density_figure(networks: Sequence[str] = NETWORKS, density: float = 0.05) -> tuple[Figure, pd.DataFrame]:
    """Density of every layer in forward order on a logarithmic axis, a panel per network, a line per initialisation.

    Networks of up to 20 layers share the first row, deeper ones get a row each. Exact: nothing is left to chance,
    nothing is trained. The frame is `layer_densities(networks, density)`.
    """
    frame = layer_densities(networks, density)
    depth = {name: int(group["number"].max()) for name, group in frame.groupby("network")}
    shallow, deep = ([name for name in networks if (depth[name] > 20) == tall] for tall in (False, True))
    rows = [row for row in (shallow, *([name] for name in deep)) if row]
    fig = plt.figure(figsize=(7, 0.7 + 2.0 * len(rows)))
    grid = fig.add_gridspec(len(rows), 1)
    panels: list[tuple[str, Axes]] = []
    for i, row in enumerate(rows):
        inner = grid[i].subgridspec(1, len(row), width_ratios=[depth[name] + 2 for name in row])
        panels += [(name, fig.add_subplot(inner[j])) for j, name in enumerate(row)]
    for name, ax in panels:
        here = frame[frame["network"] == name]
        for init, look in LOOKS.items():
            line = here[here["initialisation"] == init]
            ax.plot(line["number"], 100 * line["density"], color=look.colour, linestyle=look.linestyle, linewidth=1,
                    marker=look.marker, markersize=look.size, fillstyle="full" if look.filled else "none",
                    label=look.label)
        _layer_axis(ax, here[here["initialisation"] == "erk"])
        _percent_axis(ax, 100 * float(frame["density"].min()))
        ax.set_title(f"{TITLES.get(name, MODEL_NAMES[name])}, {depth[name]} layers with a mask" if name in deep
                     else f"{MODEL_NAMES[name]}, {depth[name]} layers")
        ax.set_xlabel("layer, in forward order" if depth[name] > 5 else "layer")
    for row in rows:  # one label a row is enough
        next(ax for name, ax in panels if name == row[0]).set_ylabel("density, %")
    fig.legend(*panels[0][1].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    plt.close(fig)
    return fig, frame


def _layer_axis(ax: Axes, layers: pd.DataFrame) -> None:
    """Names of layers; in a deep network those of its parts, with lines between them, and its 1x1 shortcuts."""
    names, numbers = layers["layer"].tolist(), layers["number"].to_numpy()
    ax.set_xlim(0.4, len(names) + 0.6)
    if len(names) <= 20:
        ax.set_xticks(numbers, names, rotation=90 if len(names) > 3 else 0)
        return
    parts = [name.partition(".")[0] for name in names]
    begins = [i for i, part in enumerate(parts) if i == 0 or part != parts[i - 1]]
    middles = [(numbers[a] + numbers[b - 1]) / 2 for a, b in pairwise([*begins, len(names)])]
    ax.set_xticks(middles, [parts[i] for i in begins])
    ax.tick_params(axis="x", length=0)
    for i in begins[1:]:
        ax.axvline(numbers[i] - 0.5, color="#BBBBBB", linewidth=0.6, zorder=0)
    for i, name in enumerate(names):
        if "shortcut" in name:
            ax.annotate("1×1 shortcut", (numbers[i], 100 * layers["density"].iloc[i]), xytext=(7, 0),
                        textcoords="offset points", va="center", fontsize=7.5)


def _percent_axis(ax: Axes, lowest: float) -> None:
    """A logarithmic axis in percent up to 100, the same in all panels."""
    ax.set_yscale("log")
    ax.set_ylim(0.8 * lowest, 150)
    ax.set_yticks([t for t in (1, 2, 5, 10, 20, 50, 100) if t >= 0.8 * lowest])
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.grid(axis="y", color="#E6E6E6", linewidth=0.6)
    ax.set_axisbelow(True)
