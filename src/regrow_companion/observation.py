"""Watch the wiring of anybody's network while their own code trains it. Two lines are added, the loop stays theirs.

    watch = regrow.observe(model)        # before training
    for images, labels in loader:
        ...                              # their step, their pruning and growing
        watch()                          # as often as one likes
    watch.save("wiring")                 # svg, png and csv; or watch.table(), watch.figure(), watch.tail()
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from numpy.typing import NDArray
from torch import Tensor, nn

from regrow import metrics
from regrow.errors import DataError
from regrow.metrics import input_heat_map, k_shells
from regrow.tails.fit import TailFit, fit_tail, fit_tails
from regrow_companion import figures, style
from regrow_companion.plots.nb09_degrees import bin_centres, binned, degree_axis, log_bins

Masks = Mapping[str, Tensor]
PRUNED = "weight_mask"  # where torch.nn.utils.prune keeps its mask
FEWER = 0.05  # so many connections less than at the first look deserve a warning
WATCHED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # weights [n_out, n_in, ...]


def observe(model: nn.Module, masks: Masks | Callable[[], Masks] | None = None) -> Observation:
    """Start watching a model and take the first look at it, before training.

    A connection is where `masks` says so: a mapping (read anew at every look) or a function that returns one, from a
    layer's or weight's name, "fc1" or "fc1.weight", to a tensor of the weight's shape; layers it leaves out are not
    watched. Without it a connection is where `torch.nn.utils.prune` has left one, and otherwise where the weight is
    not zero; connections grown at zero are then not seen before their first step, so look before the rewiring and not
    right after it (a warning comes with the first look that misses many). Raises DataError for a model
    without linear or convolutional layers and for masks that do not fit it.
    """
    return Observation(model, masks)


class Observation:
    """Degrees of every watched layer at every look, and the whole wiring at the first and the last one."""

    def __init__(self, model: nn.Module, masks: Masks | Callable[[], Masks] | None = None) -> None:
        self._model, self._masks = model, masks
        self._steps: list[int] = []
        self._warned = False
        self._degrees: dict[str, tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]]] = {}
        self.first = self.last = self._wiring()
        self.shapes = {name: mask.shape for name, mask in self.first.items()}
        self._keep(0)

    def __call__(self, step: int | None = None) -> None:
        """Take a look. `step` is what time axes show: by default looks are counted, from the one before training."""
        self.last = self._wiring()
        if {name: mask.shape for name, mask in self.last.items()} != self.shapes:
            raise DataError("The model or its masks have other layers or shapes than when watching began; call "
                            "regrow.observe again for the changed network.")
        self._warn_of_zeros()
        self._keep(self._steps[-1] + 1 if step is None else step)

    @property
    def steps(self) -> NDArray[np.int64]:
        """[T], one entry a look."""
        return np.array(self._steps)

    @property
    def in_degree(self) -> dict[str, NDArray[np.int32]]:
        """Incoming connections [T, n_out] of every layer's neurons or channels (Section 4.5)."""
        return {name: np.stack(into) for name, (into, _) in self._degrees.items()}

    @property
    def out_degree(self) -> dict[str, NDArray[np.int32]]:
        """Outgoing connections [T, n_in] of the neurons or channels that every layer reads."""
        return {name: np.stack(out) for name, (_, out) in self._degrees.items()}

    @property
    def is_chain(self) -> bool:
        """Whether the layers are fully connected ones that follow each other, as in the paper's MLP."""
        shapes = list(self.shapes.values())
        return (len(shapes) > 1 and all(len(shape) == 2 for shape in shapes)
                and all(below[0] == above[1] for below, above in pairwise(shapes)))

    def degrees(self) -> dict[str, NDArray[np.int32]]:
        """[T, n] by layer: total degrees of hidden neurons in a chain, in-degrees of each layer's units elsewhere."""
        if not self.is_chain:
            return self.in_degree
        hidden = metrics.hidden_layer_degrees(self.in_degree, self.out_degree, list(self.shapes))
        return {f"hidden {i}": degrees for i, degrees in enumerate(hidden, start=1)}

    def pooled(self) -> NDArray[np.int32]:
        """The degrees of all units side by side, [T, n]."""
        return np.concatenate(list(self.degrees().values()), axis=1)

    def thresholds(self) -> metrics.Thresholds:
        """The paper's thresholds of dormancy and start of the tail, scaled with the mean degree at the last look."""
        return metrics.scaled_thresholds(float(self.pooled()[-1].mean()))

    def tail(self, xmin: int | None = None) -> TailFit:
        """Power law fitted to the degrees at the last look (Section 4.6); xmin is the higher threshold by default.

        `regrow.tails.fit` and its neighbours test it. Raises DataError where no degree reaches xmin.
        """
        return fit_tail(self.pooled()[-1], self.thresholds().high if xmin is None else xmin)

    def shells(self, *, first: bool = False) -> list[NDArray[np.int32]]:
        """k-shell of every neuron at the last (or first) look, input layer first. DataError unless `is_chain`."""
        if not self.is_chain:
            raise DataError("k-shells need fully connected layers that follow each other; for other networks look at "
                            "the degrees of each layer.")
        return k_shells((self.first if first else self.last).values())

    def table(self) -> pd.DataFrame:
        """One row for each look and layer, "all" for all units together.

        Columns: step, layer, units, connections (into the layer's units, or in and out in a chain, over the number of
        units: mean), std, largest, dormant low and dormant high (units at or below `thresholds`), n_tail, alpha, D.
        """
        limits, parts = self.thresholds(), []
        for layer, degrees in {"all": self.pooled(), **self.degrees()}.items():
            fits = fit_tails(degrees, max(1, limits.high))
            parts.append(pd.DataFrame({
                "step": self.steps, "layer": layer, "units": degrees.shape[1], "mean": degrees.mean(axis=1),
                "std": degrees.std(axis=1), "largest": degrees.max(axis=1),
                "dormant low": metrics.dormant_counts(degrees, limits.low),
                "dormant high": metrics.dormant_counts(degrees, limits.high),
                "n_tail": fits.n_tail, "alpha": fits.alpha, "D": fits.D}))
        return pd.concat(parts, ignore_index=True)

    def figure(self, image_shape: tuple[int, int, int] | None = None) -> Figure:
        """The paper's pictures of this network; `image_shape` (C, H, W) adds the input heat map of Figure 8."""
        return figure(self, image_shape)

    def save(self, folder: Path | str, stem: str = "wiring",
             image_shape: tuple[int, int, int] | None = None) -> Path:
        """Write `figure` as svg and png with `table` as csv, and a json beside them; returns the path of the png."""
        return save(self, Path(folder), stem, image_shape)

    def _keep(self, step: int) -> None:
        self._steps.append(step)
        for name, mask in self.last.items():
            into, out = self._degrees.setdefault(name, ([], []))
            into.append(metrics.in_degree(mask).astype(np.int32))
            out.append(metrics.out_degree(mask).astype(np.int32))

    def _warn_of_zeros(self) -> None:
        if self._masks is not None or self._warned:
            return
        modules = dict(self._model.named_modules())
        for name, mask in self.last.items():
            before, now = int(self.first[name].sum()), int(mask.sum())
            if now < (1 - FEWER) * before and not hasattr(modules[name], PRUNED):
                self._warned = True
                warnings.warn(f"{now:,} weights of layer {name!r} are not zero, and {before:,} were at the first look: "
                              "if connections are grown at zero, look before the rewiring or give masks=, else they "
                              "are missing here.", stacklevel=3)
                return

    def _wiring(self) -> dict[str, NDArray[np.bool_]]:
        layers = {name: module for name, module in self._model.named_modules() if isinstance(module, WATCHED)}
        if not layers:
            raise DataError("There is nothing to watch: the model has no linear or convolutional layer.")
        masks = self._masks() if callable(self._masks) else self._masks
        if masks is None:
            return {name: _array(_connections(module)) for name, module in layers.items()}
        given = {name.removesuffix(".weight"): mask for name, mask in masks.items()}
        for name, mask in given.items():
            if name not in layers:
                raise DataError(f"masks names {name!r}, but the model's layers are {', '.join(layers)}.")
            if mask.shape != layers[name].weight.shape:
                raise DataError(f"The mask of {name} is {tuple(mask.shape)}, but its weight is "
                                f"{tuple(layers[name].weight.shape)}.")
        return {name: _array(given[name] != 0) for name in layers if name in given}


def _connections(module: nn.Module) -> Tensor:
    mask: Any = getattr(module, PRUNED, None)
    weight = module.weight if mask is None else mask
    assert isinstance(weight, Tensor)
    return weight.detach() != 0


def _array(mask: Tensor) -> NDArray[np.bool_]:
    return mask.to(device="cpu", dtype=torch.bool).numpy(force=True).copy()


FIRST, LAST = "#8a8a8a", "#0072B2"


def figure(watch: Observation, image_shape: tuple[int, int, int] | None = None) -> Figure:
    """Degree distributions (Fig. 5), spread, tail exponent and distance (Figs. 6, 7), dormant units (Fig. 9), and
    for chains of fully connected layers k-shells (Fig. 12); with `image_shape` the input heat map (Fig. 8)."""
    with plt.rc_context():
        style.use_style()
        drawn = [_distribution, _spread, _tail, _dormant]
        panels = len(drawn) + watch.is_chain + (image_shape is not None)
        columns = 3 if panels > 4 else 2
        fig, grid = plt.subplots(2, columns, figsize=(3 * columns, 5.4), squeeze=False)
        axes = list(grid.ravel())
        table = watch.table()
        for draw, ax in zip(drawn, axes, strict=False):
            draw(ax, watch, table[table["layer"] == "all"])
        rest = axes[len(drawn):]
        if watch.is_chain:
            _shells(rest.pop(0), watch)
        if image_shape is not None:
            _input(fig, rest.pop(0), watch, image_shape)
        for ax in rest:
            ax.remove()
        units, kind = watch.pooled().shape[1], "hidden neurons" if watch.is_chain else "output units of all layers"
        limits = watch.thresholds()
        fig.supxlabel(f"{units} {kind}; thresholds {limits.low} and {limits.high} (the paper's 10 and 110, scaled with "
                      f"the mean degree {limits.mean_degree:.3g})", fontsize=7.5)
        plt.close(fig)
    return fig


def save(watch: Observation, folder: Path, stem: str, image_shape: tuple[int, int, int] | None) -> Path:
    """Write figure and table as `save_figure` writes ours."""
    table = watch.table()
    last = table[table["layer"] == "all"].iloc[-1]
    alt = (f"Degrees of a network over {len(watch.steps)} looks. At the last one the {last['units']} units have a mean "
           f"degree of {last['mean']:.1f}, a standard deviation of {last['std']:.1f} and a largest degree of "
           f"{last['largest']}; {last['dormant low']} have {watch.thresholds().low} connections or fewer.")
    return figures.save_figure(figure(watch, image_shape), stem, data=table, alt=alt, out=folder,
                               profile="own network", caption="Wiring of a watched network")


def _distribution(ax: Axes, watch: Observation, table: pd.DataFrame) -> None:
    degrees, looks = watch.pooled(), sorted({0, len(watch.steps) // 2, len(watch.steps) - 1})
    edges = log_bins(int(degrees.max()))
    for colour, look in zip(plt.colormaps["viridis_r"](np.linspace(0.15, 0.95, len(looks))), looks, strict=True):
        density = binned(degrees[look], edges)
        there = density > 0
        ax.plot(bin_centres(edges)[there], density[there], "o-", markersize=3, color=colour,
                label=f"step {watch.steps[look]}")
    degree_axis(ax, float(degrees.max()))
    ax.set(yscale="log", xlabel="degree $k$", ylabel="$P(k)$", title="degree distribution")
    ax.legend()


def _spread(ax: Axes, watch: Observation, table: pd.DataFrame) -> None:
    ax.plot(table["step"], table["largest"], label="largest")
    ax.plot(table["step"], table["std"], linestyle="--", label="standard deviation")
    ax.plot(table["step"], table["mean"], color=FIRST, label="mean")
    ax.set(yscale="log", xlabel="step", ylabel="degree", title="spread of the degrees")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(top=6 * ax.get_ylim()[1])  # room for the legend
    ax.legend(loc="upper right", ncols=2)


def _tail(ax: Axes, watch: Observation, table: pd.DataFrame) -> None:
    ax.plot(table["step"], table["alpha"], color=LAST, label=r"$\alpha$ (left)")
    ax.set(xlabel="step", ylabel=r"exponent $\alpha$", title=f"power-law tail, $k$ ≥ {watch.thresholds().high}")
    ax.margins(y=0.25)
    other = ax.twinx()
    other.plot(table["step"], table["D"], color="#D55E00", linestyle="--", label="$D$ (right)")
    other.set(ylabel="distance $D$", ylim=(0, 1.5 * max(0.01, np.nanmax([0.0, *table["D"]]))))
    other.spines["right"].set_visible(True)
    if not np.isfinite(table["alpha"]).any():
        ax.text(0.5, 0.5, "too few units\nin the tail to fit", transform=ax.transAxes, ha="center", va="center")
    handles = [*ax.get_lines(), *other.get_lines()]
    ax.legend(handles, [str(handle.get_label()) for handle in handles])


def _dormant(ax: Axes, watch: Observation, table: pd.DataFrame) -> None:
    limits = watch.thresholds()
    for name, threshold, line in (("dormant low", limits.low, "-"), ("dormant high", limits.high, "--")):
        ax.plot(table["step"], 100 * table[name] / table["units"], linestyle=line, label=f"$k$ ≤ {threshold}")
    ax.set(xlabel="step", ylabel="dormant units (%)", ylim=(0, 100), title="dormant units")
    ax.legend()


def _shells(ax: Axes, watch: Observation) -> None:
    for first, colour, name in ((True, FIRST, "first look"), (False, LAST, "last look")):
        shells = np.concatenate(watch.shells(first=first)[:-1])  # the output layer is dense in most networks
        k = np.arange(shells.max() + 1)
        ax.step(k, [np.mean(shells >= i) for i in k], where="post", color=colour, label=name)
    ax.set(xlabel="shell $k$", ylabel="share in shell $k$ or higher", ylim=(0, 1.02), title="k-shells")
    ax.legend()


def _input(fig: Figure, ax: Axes, watch: Observation, image_shape: tuple[int, int, int]) -> None:
    inputs = next(iter(watch.out_degree.values()))[-1]
    try:
        heat = input_heat_map(inputs, image_shape)
    except ValueError as error:
        raise DataError(f"No heat map for image_shape={image_shape}: {error}") from None
    fig.colorbar(style.heat_map(ax, heat), ax=ax, label="connections")
    ax.set_title("connections per pixel, last look")
