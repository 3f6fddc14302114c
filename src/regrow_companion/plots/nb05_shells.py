"""k-shells drawn (Sections 4.5.1 and 5.4): an example network, peeling step by step, before and after training.

Colours of node layers are those of the paper's caption (visible blue, hidden green and orange); they are lighter than
the colours of strategies, which are named in words here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from regrow import cost, models
from regrow.config import RunConfig
from regrow.datasets import known
from regrow.metrics import chain, k_shells
from regrow.record import Record
from regrow.sparsity import connection_counts, random_masks
from regrow_companion.study import by_method
from regrow_companion.style import style_of

Masks = list[NDArray[np.bool_]]
Shells = list[NDArray[np.int32]]  # one array for each node layer, input first

LAYER_COLOURS = ("#4C96CC", "#3DA87C", "#E8A33D", "#A98BC9", "#8C8C8C")  # visible, hidden 1, hidden 2, ...
_FADED = "#D9D9D9"
_PALE = 0.35  # opacity

# Rows are neurons, from the first hidden layer to the output; a 1 is a connection from the layer below.
_EXAMPLE = (
    "001000000 000000100 100000101 000100101 100000100 001000111 001000100 111000101",
    "10100011 00010000 00001011 00101111 01000000 00000011",
    "011100 101101 000010 011000",
)


def example_masks() -> Masks:
    """Masks of a made-up 9-8-6-4 network whose neurons lie in shells 0 to 3 (Fig. 10)."""
    return [np.array([[c == "1" for c in row] for row in layer.split()]) for layer in _EXAMPLE]


def initial_masks(config: RunConfig) -> Masks:
    """The masks that a run starts from, without training anything."""
    shapes = models.weight_shapes(config, known(config.dataset).classes, cost.image_shape(config))
    counts = connection_counts(shapes, 1 - config.sparsity, config.init)
    return [mask.numpy() for mask in random_masks(shapes, counts, config.seed).values()]


def layer_names(layers: int) -> list[str]:
    """'visible', 'hidden 1', ..., 'output' for so many layers of neurons."""
    return ["visible", *(f"hidden {i}" for i in range(1, layers - 1)), "output"]


def floors(masks: Iterable[ArrayLike]) -> list[int]:
    """The lowest shell that each node layer's neurons can be in, whatever the sparse layers look like.

    A dense layer of a x b connections puts both its sides into the min(a, b)-core; elsewhere the floor is 0.
    """
    dense = [min(mask.shape) if mask.all() else 0 for mask in chain(masks)[0]]
    return [max(below, above) for below, above in pairwise([0, *dense, 0])]


# ------------------------------------------------------------------------------------------------ small networks

def draw_network(ax: Axes, masks: Iterable[ArrayLike], shells: Shells, core: int = 0) -> None:
    """A layered graph, input on the left; each node carries its shell as colour and number.

    Nodes below shell `core` and their connections are grey: what is left is the core-core of the network.
    """
    matrices, sizes = chain(masks)
    height = max(sizes)
    places = [np.column_stack([np.full(n, float(layer)), (height + n) / 2 - 0.5 - np.arange(n)])
              for layer, n in enumerate(sizes)]
    for layer, matrix in enumerate(matrices):
        post, pre = np.nonzero(matrix)
        kept = (shells[layer][pre] >= core) & (shells[layer + 1][post] >= core)
        lines = np.stack([places[layer][pre], places[layer + 1][post]], axis=1)
        for among, colour, width in ((~kept, _FADED, 0.6), (kept, "#6E6E6E", 1.0)):
            ax.add_collection(LineCollection(list(lines[among]), colors=colour, linewidths=width, zorder=1))
    top = max(int(shell.max()) for shell in shells)
    size = 190.0 if height > 5 else 240.0
    for place, layer_shells in zip(places, shells, strict=True):
        for (x, y), k in zip(place, layer_shells.tolist(), strict=True):
            colour, ink = shell_colour(k, top)
            gone = k < core
            ax.scatter([x], [y], s=size, color="white" if gone else colour, edgecolor=_FADED if gone else "black",
                       linewidth=0.8, zorder=2)
            ax.annotate(str(k), (x, y), ha="center", va="center", fontsize=8, color="#9A9A9A" if gone else ink)
    for x, name in enumerate(layer_names(len(sizes))):
        ax.annotate(name, (x, -0.1), ha="center", va="top", fontsize=8)
    ax.set(xlim=(-0.4, len(sizes) - 0.6), ylim=(-0.6, height))
    ax.axis("off")


def shell_colour(k: int, top: int) -> tuple[Any, str]:
    """Colour of shell k in a network whose core is shell `top`, and that of writing on it."""
    share = k / top if top else 1.0
    return mpl.colormaps["viridis_r"](0.05 + 0.85 * share), "white" if share > 0.45 else "black"


def node_table(masks: Iterable[ArrayLike], shells: Shells) -> pd.DataFrame:
    """One row a neuron: layer, index, degree, shell, and the indices in the next layer that it feeds."""
    matrices, sizes = chain(masks)
    rows = []
    for layer, name in enumerate(layer_names(len(sizes))):
        for i in range(sizes[layer]):
            received = int(matrices[layer - 1][i].sum()) if layer else 0
            feeds = np.flatnonzero(matrices[layer][:, i]) if layer < len(matrices) else np.array([], dtype=int)
            rows.append({"layer": name, "index": i, "degree": received + len(feeds),
                         "shell": int(shells[layer][i]), "feeds": " ".join(map(str, feeds.tolist()))})
    return pd.DataFrame(rows)


def figure10() -> tuple[Figure, pd.DataFrame]:
    """(a) An example MLP, every neuron coloured by its shell; (b) how many neurons each shell has."""
    masks = example_masks()
    shells = k_shells(masks)
    counts = np.bincount(np.concatenate(shells))
    fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.6), width_ratios=(1.7, 1))
    draw_network(left, masks, shells)
    left.set_title("(a) an example MLP; the number is the neuron's shell")
    colours = [shell_colour(k, len(counts) - 1)[0] for k in range(len(counts))]
    bars = right.bar(np.arange(len(counts)), counts, color=colours, edgecolor="black", linewidth=0.8)
    right.bar_label(bars, fontsize=8, padding=2)
    right.set(title="(b) its k-shell distribution", xlabel="shell k", ylabel="number of neurons",
              xticks=np.arange(len(counts)))
    right.yaxis.set_major_locator(MaxNLocator(integer=True))
    plt.close(fig)
    return fig, node_table(masks, shells)


def peeling(masks: Iterable[ArrayLike]) -> tuple[Figure, pd.DataFrame]:
    """One panel for each k: the k-core of a small network, with everything outside it in grey."""
    matrices, sizes = chain(masks)
    shells = k_shells(matrices)
    top = max(int(shell.max()) for shell in shells)
    fig, axes = plt.subplots(1, top + 1, figsize=(7, 0.55 * max(sizes) + 0.5), squeeze=False)
    for k, ax in enumerate(axes[0]):
        draw_network(ax, matrices, shells, core=k)
        ax.set_title("the whole network" if k == 0 else f"its {k}-core")
    plt.close(fig)
    return fig, node_table(matrices, shells)


# ------------------------------------------------------------------------------------------------ distributions

def shell_counts(networks: Mapping[str, Sequence[Masks]]) -> pd.DataFrame:
    """Neurons in each shell, for each method and node layer but the output.

    `networks` holds the masks of one network per seed. Columns: method, layer, shell, neurons (mean over seeds), most
    (the largest number of any seed), isolated (the shell is the layer's floor, see floors), size (neurons in the
    layer), seeds.
    """
    frames = []
    for method, seeds in networks.items():
        shells = [k_shells(masks) for masks in seeds]
        sizes, floor = [len(shell) for shell in shells[0]], floors(seeds[0])
        length = 1 + max(int(shell.max()) for network in shells for shell in network)
        for layer, name in enumerate(layer_names(len(sizes))[:-1]):
            counts = np.array([np.bincount(network[layer], minlength=length) for network in shells])
            k = np.arange(length)
            frames.append(pd.DataFrame({
                "method": method, "layer": name, "shell": k, "neurons": counts.mean(axis=0),
                "most": counts.max(axis=0), "isolated": k == floor[layer], "size": sizes[layer], "seeds": len(counts)}))
    return pd.concat(frames, ignore_index=True)


def figure11(configs: Sequence[RunConfig]) -> tuple[Figure, pd.DataFrame]:
    """k-shell distribution before training: one panel a layer.

    Bars are means over the configs' seeds, pale bars behind them the seed with most neurons in that shell.
    """
    frame = shell_counts({"before training": [initial_masks(config) for config in configs]})
    fig, axes = _panels(frame, height=2.7)
    for ax in axes[0]:
        ax.set_xlabel("shell k")
    axes[0][0].set_ylabel(f"neurons (N={len(configs)} seeds)")
    _legend(fig)
    plt.close(fig)
    return fig, frame


def figure12(records: Iterable[Record]) -> tuple[Figure, pd.DataFrame]:
    """k-shell distribution after training: a row for each strategy, a column for each layer.

    Bars are means over seeds, pale bars behind them the seed with most neurons in that shell: k_max differs from seed
    to seed, so that a standard deviation would reach beyond all the neurons there are. The triangle marks the floor,
    where neurons are isolated; their number is written above it.
    """
    networks = {method: [list(record.masks(5).values()) for record in group]
                for method, group in by_method(records).items()}
    frame = shell_counts(networks)
    fig, axes = _panels(frame, height=1.0 + 1.75 * len(networks), mark_floor=True)
    for row, (method, seeds) in zip(axes, networks.items(), strict=True):
        row[0].set_ylabel(f"{style_of(method).label} (N={len(seeds)})\nneurons")
        cores = [max(int(shell.max()) for shell in k_shells(masks)) for masks in seeds]
        span = f"{min(cores)}–{max(cores)}" if min(cores) < max(cores) else f"{cores[0]}"
        row[-1].annotate(f"$k_{{max}}$: {span}", (0.99, 0.98), xycoords="axes fraction", ha="right", va="top",
                         fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("shell k")
    _legend(fig, Line2D([], [], color="black", marker="v", linestyle="none", markersize=5,
                        label="isolated: lowest shell that the layer allows"))
    plt.close(fig)
    return fig, frame


def _panels(frame: pd.DataFrame, height: float, mark_floor: bool = False) -> tuple[Figure, NDArray[Any]]:
    """Bars of shell_counts, methods down and layers across; one x-axis for all, one y-axis for each column."""
    methods, layers = list(frame["method"].unique()), list(frame["layer"].unique())
    fig, axes = plt.subplots(len(methods), len(layers), figsize=(7, height), sharex=True, sharey="col", squeeze=False)
    for row, method in zip(axes, methods, strict=True):
        for ax, layer, colour in zip(row, layers, LAYER_COLOURS, strict=False):
            part = frame[(frame["method"] == method) & (frame["layer"] == layer)]
            ax.bar(part["shell"], part["most"], width=1.0, color=colour, alpha=_PALE, linewidth=0)
            ax.bar(part["shell"], part["neurons"], width=1.0, color=colour, linewidth=0)
            ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
            if mark_floor:
                _mark(ax, part[part["isolated"]].iloc[0])
    for ax, layer in zip(axes[0], layers, strict=True):
        part = frame[frame["layer"] == layer]
        ax.set_title(f"{layer} ({part['size'].iloc[0]:,} neurons)")
        ax.set_ylim(0, part["most"].max() * (1.35 if mark_floor else 1.05))  # room for what _mark writes
    return fig, axes


def _legend(fig: Figure, *more: Line2D) -> None:
    handles = [Patch(color=LAYER_COLOURS[0], label="mean over seeds"),
               Patch(color=LAYER_COLOURS[0], alpha=_PALE, linewidth=0, label="largest count over the seeds"), *more]
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _mark(ax: Axes, floor: pd.Series) -> None:
    """A triangle above the bar of the isolated neurons, and their number."""
    above = mpl.transforms.ScaledTranslation(0, 5 / 72, ax.figure.dpi_scale_trans)
    ax.plot([floor["shell"]], [floor["most"]], "v", color="black", markersize=5, transform=ax.transData + above)
    number = f"{floor['neurons']:.1f}".removesuffix(".0")
    ax.annotate(f"isolated: {number}", (0.03, 0.98), xycoords="axes fraction", va="top", fontsize=8)


def backbone(records: Iterable[Record], moment: int = 5) -> pd.DataFrame:
    """One row a record: method, seed, highest shell k_max, and per hidden layer how many neurons are in it (`core`).

    `isolated` counts the neurons in the lowest shell that the layer allows, `unfed` those that nothing reaches.
    """
    rows = []
    for record in records:
        masks = list(record.masks(moment).values())
        shells, floor = k_shells(masks), floors(masks)
        top = max(int(shell.max()) for shell in shells)
        row: dict[str, Any] = {"method": record.config.method, "seed": record.config.seed, "k_max": top}
        for layer, name in list(enumerate(layer_names(len(shells))))[1:-1]:
            row |= {f"core, {name}": int((shells[layer] == top).sum()),
                    f"isolated, {name}": int((shells[layer] == floor[layer]).sum()),
                    f"unfed, {name}": int((~masks[layer - 1].any(axis=1)).sum())}
        rows.append(row)
    return pd.DataFrame(rows)
