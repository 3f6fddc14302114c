"""Pictures of the tour: images, masks, accuracy and the pixels that a network looks at. None is a figure of the paper.

Numpy arrays and records in, figure and the numbers behind it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from regrow.record import Record
from regrow_companion.study import by_method
from regrow_companion.style import seed_band, style_of


def class_images(images: ArrayLike, labels: ArrayLike, names: Sequence[str], each: int = 4) -> Figure:
    """The first `each` images of every class, a column per class; images are [N, H, W], labels [N]."""
    images, labels = np.asarray(images), np.asarray(labels)
    columns = [np.concatenate(images[labels == label][:each]) for label in range(len(names))]
    width, fig = images.shape[2], plt.figure(figsize=(7, 0.7 * each + 0.4))
    ax = fig.add_subplot()
    ax.imshow(np.concatenate(columns, axis=1), cmap="gray_r")
    ax.set_xticks((np.arange(len(names)) + 0.5) * width, names)
    ax.tick_params(axis="x", length=0, labelsize=7, top=True, labeltop=True, bottom=False, labelbottom=False)
    ax.set(yticks=[], title=f"{each} images of each class")
    ax.spines[:].set_visible(False)
    plt.close(fig)
    return fig


def mask_picture(masks: Mapping[str, ArrayLike], neurons: int = 60) -> tuple[Figure, pd.DataFrame]:
    """Masks [n_out, n_in] one above the other, a black dot per connection; only the first `neurons` rows are drawn.

    The frame counts the connections of every row drawn.
    """
    fig, axes = plt.subplots(len(masks), 1, figsize=(7, 1.55 * len(masks)), sharex=True, squeeze=False)
    rows: list[dict[str, Any]] = []
    for ax, (name, mask) in zip(axes[:, 0], masks.items(), strict=True):
        shown = np.asarray(mask)[:neurons]
        ax.imshow(shown, cmap="gray_r", aspect="auto", vmin=0, vmax=1, interpolation="antialiased",
                  extent=(0.5, shown.shape[1] + 0.5, len(shown) + 0.5, 0.5))
        ax.set(title=name, yticks=[1, len(shown)])
        ax.spines[:].set_visible(True)
        rows += [{"panel": name, "neuron": i, "in-degree": int(k)} for i, k in enumerate(shown.sum(axis=1), start=1)]
    axes[-1, 0].set_xlabel("pixel, row after row")
    fig.supylabel("neuron of the first hidden layer", fontsize=9)
    plt.close(fig)
    return fig, pd.DataFrame(rows)


def accuracy_figure(records: Sequence[Record]) -> tuple[Figure, pd.DataFrame]:
    """Test accuracy after every epoch, one line per strategy, mean and band over seeds if there are several."""
    fig, ax = plt.subplots(figsize=(5, 2.8))
    frames = []
    for method, group in by_method(records).items():
        epochs = np.arange(1, group[0].config.epochs + 1)
        seed_band(ax, epochs, [record.test_accuracy for record in group], method)
        frames += [pd.DataFrame({"strategy": method, "seed": record.config.seed, "epoch": epochs,
                                 "test accuracy": record.test_accuracy}) for record in group]
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel="test accuracy in percent")
    ax.legend()
    plt.close(fig)
    return fig, pd.concat(frames, ignore_index=True)


def pixel_figure(variation: ArrayLike, maps: Mapping[str, ArrayLike]) -> tuple[Figure, pd.DataFrame]:
    """How much each pixel varies between images, beside the connections that leave it in each network.

    `variation` and every map are [H, W]. The maps share one colour scale. The frame has one row per panel and pixel.
    """
    fig, axes = plt.subplots(1, 1 + len(maps), figsize=(7, 2.4))
    varied = axes[0].imshow(np.asarray(variation), cmap="gray")
    axes[0].set_title("how the images vary", fontsize=9)
    fig.colorbar(varied, ax=axes[0], location="bottom", label="standard deviation\nof the grey value", shrink=0.9)
    counts: dict[str, NDArray[Any]] = {name: np.asarray(degrees) for name, degrees in maps.items()}
    top = max(degrees.max() for degrees in counts.values())
    for ax, (name, degrees) in zip(axes[1:], counts.items(), strict=True):
        drawn = ax.imshow(degrees, vmin=0, vmax=top)
        ax.set_title("before training" if name == "before" else f"{style_of(name).label} growth", fontsize=9)
    fig.colorbar(drawn, ax=list(axes[1:]), location="bottom", label="connections that leave the pixel", shrink=0.6)
    for ax in axes:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    plt.close(fig)
    rows = [{"panel": name, "row": i, "column": j, "value": float(value)}
            for name, values in {"variation": np.asarray(variation), **counts}.items()
            for (i, j), value in np.ndenumerate(values)]
    return fig, pd.DataFrame(rows)


GRID = 32  # neurons in a row of a panel: hidden 1 of the paper's MLP has 32 x 32


def grown_networks(records: Sequence[Record], accuracies: Mapping[str, float]) -> tuple[Figure, pd.DataFrame]:
    """The neurons of the first hidden layer as dots, a panel for the wiring that all records start from and one for
    what each of them has become; the area of a dot is the neuron's in-degree.

    Records are of one seed and one wiring, a growth rule each; `accuracies` are percents by rule, for the titles. The
    frame has a row per neuron and a column per panel.
    """
    first = records[0].layers[0]
    panels = {"the start of all three": (records[0].in_degree[first][0], "#555555")}
    for record in records:
        rule = record.config.method
        panels[f"{rule} growth: {accuracies[rule]:.1f} %"] = (record.in_degree[first][-1], style_of(rule).colour)
    mean = float(np.mean(next(iter(panels.values()))[0]))
    fig, axes = plt.subplots(1, len(panels), figsize=(7, 2.15))
    for ax, (title, (degrees, colour)) in zip(axes, panels.items(), strict=True):
        row, column = np.divmod(np.arange(len(degrees)), GRID)
        widths = 0.8 * np.sqrt(degrees / mean)  # in cells of the grid
        ax.add_collection(EllipseCollection(widths, widths, np.zeros(len(degrees)), units="xy", facecolor=colour,
                                            alpha=0.75, linewidth=0, offsets=np.column_stack([column, row]),
                                            offset_transform=ax.transData, rasterized=True))
        ax.set(xlim=(-1.5, GRID + 0.5), ylim=(len(degrees) / GRID + 0.5, -1.5), xticks=[], yticks=[], aspect="equal")
        ax.set_title(title, fontsize=8)
        ax.set_xlabel(f"largest {degrees.max():,}\n{(degrees <= 10).sum():,} have 10 or fewer", fontsize=7)
        ax.spines[:].set_visible(False)
    plt.close(fig)
    frame = pd.DataFrame({title.partition(":")[0]: degrees for title, (degrees, _) in panels.items()})
    return fig, frame.rename_axis("neuron").reset_index()
