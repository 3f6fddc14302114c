"""Where the network looks (Sections 5.3, Appendices G and H): input connections laid over the image, and their degrees.

Everything here needs a network whose first layer has one neuron per value of an image, that is an MLP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from regrow import cost
from regrow.metrics import input_heat_map
from regrow.record import Moment, Record
from regrow_companion.study import by_method
from regrow_companion.style import cell_ticks, heat_map, seed_band, style_of

SHOWN = 0.999  # of all values, within the colour scales of Figures 8 and 19: a few corners would use up half of them


def input_maps(record: Record) -> NDArray[np.int64]:
    """Connections leaving each pixel, colours added up, at each moment: [moments, H, W] (Fig. 8)."""
    return input_heat_map(record.input_degrees().astype(np.int64), cost.image_shape(record.config))


def hidden_maps(record: Record) -> NDArray[np.int64]:
    """Paths pixel -> hidden 1 -> hidden 2 at each moment, [moments, H, W]: our reading of Fig. 19."""
    return input_heat_map(record.input_paths(), cost.image_shape(record.config))


# ------------------------------------------------------------------------------------------ one number for a map

def concentration(heat: ArrayLike, share: float = 0.1) -> NDArray[np.float64]:
    """Fraction of all connections that leave the `share` of pixels with most of them: [..., H, W] -> [...].

    It is `share` for a flat map and 1 if all connections start from so few pixels.
    """
    pixels = np.asarray(heat, dtype=float)
    pixels = np.sort(pixels.reshape(*pixels.shape[:-2], -1), axis=-1)
    top = round(share * pixels.shape[-1])
    return pixels[..., -top:].sum(axis=-1) / pixels.sum(axis=-1)


def mirror_overlap(heat: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Symmetry: the part of a map that it shares with its mirror image, left-right or (axis -2) top-bottom.

    [..., H, W] -> [...], sum(min(H, mirror(H))) / sum(H): 1 for a map that equals its mirror image, 0 for one that lies
    on one side only.
    """
    pixels = np.asarray(heat, dtype=float)
    return np.minimum(pixels, np.flip(pixels, axis)).sum(axis=(-2, -1)) / pixels.sum(axis=(-2, -1))


def rim(heat: ArrayLike) -> NDArray[np.float64]:
    """Mean on the outermost ring of pixels over the mean of all, [..., H, W] -> [...]: 1 if it is like the rest."""
    pixels = np.asarray(heat, dtype=float)
    ring = np.ones(pixels.shape[-2:], dtype=bool)
    ring[1:-1, 1:-1] = False
    return pixels[..., ring].mean(axis=-1) / pixels.mean(axis=(-2, -1))


def map_numbers(records: Iterable[Record],
                maps: Callable[[Record], NDArray[np.int64]] = input_maps) -> pd.DataFrame:
    """One row a record and moment: method, seed, epoch, then concentration, mirror_overlap, top_bottom (the same
    upside down) and rim of its own map."""
    frames = []
    for record in records:
        heat = maps(record)
        frames.append(pd.DataFrame({
            "method": record.config.method, "seed": record.config.seed, "epoch": [m.epoch for m in record.moments],
            "concentration": concentration(heat), "mirror_overlap": mirror_overlap(heat),
            "top_bottom": mirror_overlap(heat, -2), "rim": rim(heat)}))
    return pd.concat(frames, ignore_index=True)


# ------------------------------------------------------------------------------------------------------- figures

def figure08(records: Iterable[Record]) -> tuple[Figure, pd.DataFrame]:
    """Input layer on the image: a row for each strategy, a column for each moment, mean over seeds, one colour scale.

    The first column, before training, is ours; the others are the paper's five. The scale goes from the smallest value
    to where all but a thousandth lie below.
    """
    return heat_grid(records, input_maps, "connections per pixel", SHOWN, from_zero=False)


def figure18(records: Iterable[Record]) -> tuple[Figure, pd.DataFrame]:
    """Degree distribution of the input layer (Eq. 17): a panel for each moment, a line for each strategy.

    Degrees are put in bins of a few connections, at most 40 in all; lines are means over seeds, bands one sample
    standard deviation. Dashed lines mark where a distribution ends: the largest degree, mean over seeds.
    """
    groups = by_method(records)
    degrees = {method: np.stack([record.input_degrees() for record in group]) for method, group in groups.items()}
    moments = next(iter(groups.values()))[0].moments
    largest = max(int(k.max()) for k in degrees.values())
    width = -(-(largest + 1) // 40)
    fig, axes = plt.subplots(2, -(-len(moments) // 2), figsize=(7, 4.4), sharex=True, sharey=True)
    frames = []
    for i, (ax, moment) in enumerate(zip(axes.flat, moments, strict=False)):
        for method, k in degrees.items():
            frame = _binned(k[:, i], width, largest)
            seed_band(ax, frame.index, frame.to_numpy().T, method)
            end = float(k[:, i].max(axis=1).mean())
            ax.axvline(end, color=style_of(method).colour, linestyle="--", linewidth=1)
            frames.append(pd.DataFrame({"method": method, "epoch": moment.epoch, "degree": frame.index,
                                        "share": frame.mean(axis=1), "sd": frame.std(axis=1, ddof=1),
                                        "largest_degree": end, "seeds": frame.shape[1]}))
        ax.set_title(moment.label)
        ax.set_ylim(bottom=0)
    for ax in axes[-1]:
        ax.set_xlabel("degree k of an input neuron")
    for ax in axes[:, 0]:
        ax.set_ylabel("P(k)" if width == 1 else f"P(k), mean over {width} degrees")
    handles, _ = axes.flat[0].get_legend_handles_labels()
    handles.append(Line2D([], [], color="black", linestyle="--", linewidth=1, label="where it ends"))
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    plt.close(fig)
    return fig, pd.concat(frames, ignore_index=True)


def _binned(degrees: NDArray[np.int16], width: int, largest: int) -> pd.DataFrame:
    """P(k) averaged over bins of `width` degrees: a row for each bin (index: its middle), a column for each seed."""
    bins = largest // width + 1
    shares = [np.bincount(seed // width, minlength=bins) / seed.size / width for seed in degrees]
    return pd.DataFrame(np.transpose(shares), index=(np.arange(bins) + 0.5) * width - 0.5)


def figure19(records: Iterable[Record]) -> tuple[Figure, pd.DataFrame]:
    """First hidden layer on the image, as figure08 but with a scale for each strategy, whose numbers of paths differ:
    paths of two connections that start from each pixel."""
    return heat_grid(records, hidden_maps, "paths", SHOWN, from_zero=False, by_row=True)


def heat_grid(records: Iterable[Record], maps: Callable[[Record], NDArray[np.int64]], label: str,
              shown: float = 1.0, *, from_zero: bool = True, by_row: bool = False) -> tuple[Figure, pd.DataFrame]:
    """A row for each strategy, a column for each moment, mean over seeds; one colour scale, or one for each row.

    A scale begins at 0, or at its smallest value, and ends where the fraction `shown` of its values lies below; an
    arrow on the colour bar stands for the rest. Frame: method, epoch, y, x, value.
    """
    groups = by_method(records)
    mean = {method: np.mean([maps(record) for record in group], axis=0) for method, group in groups.items()}
    moments = next(iter(groups.values()))[0].moments
    everything = np.stack(list(mean.values()))
    fig, axes = plt.subplots(len(groups), len(moments), figsize=(7, 0.9 + 1.0 * len(groups)), sharex=True, sharey=True,
                             squeeze=False)
    bar: dict[str, Any] = {"aspect": 30, "pad": 0.01, "extend": "neither" if shown == 1 else "max"}
    image: Any = None
    for row, (method, group) in zip(axes, groups.items(), strict=True):
        values = mean[method] if by_row else everything
        low, top = 0.0 if from_zero else float(values.min()), float(np.quantile(values, shown))
        for ax, heat in zip(row, mean[method], strict=True):
            image = heat_map(ax, heat, low=low, high=top)
        row[0].set_ylabel(f"{style_of(method).label} (N={len(group)})")
        if by_row:
            fig.colorbar(image, ax=row, **bar | {"aspect": 12}).set_label(label)
    height, width = everything.shape[-2:]
    for ax, moment in zip(axes[0], moments, strict=True):
        ax.set_title(moment_title(moment), fontsize=9)
        for axis, size in ((ax.xaxis, width), (ax.yaxis, height)):
            cell_ticks(axis, [0, size // 2, size - 1])
        ax.tick_params(labelsize=7)
    fig.supxlabel("x (pixels)", fontsize=9)
    fig.supylabel("y (pixels)", fontsize=9)
    if not by_row:
        fig.colorbar(image, ax=axes, shrink=0.8, **bar).set_label(f"{label}, mean over seeds")
    plt.close(fig)
    return fig, pd.concat([_long(method, moments, heat) for method, heat in mean.items()], ignore_index=True)


def moment_title(moment: Moment) -> str:
    """Short enough for a narrow panel."""
    return moment.label.replace("before training", "untrained")


def _long(method: str, moments: Sequence[Moment], heat: NDArray[np.float64]) -> pd.DataFrame:
    moment, y, x = np.indices(heat.shape)
    epochs = np.array([m.epoch for m in moments])
    return pd.DataFrame({"method": method, "epoch": epochs[moment.ravel()], "y": y.ravel(), "x": x.ravel(),
                         "value": heat.ravel()})
