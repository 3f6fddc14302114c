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
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regrow import metrics
from regrow.errors import DataError
from regrow.metrics import k_shells
from regrow.tails.fit import TailFit, fit_tail, fit_tails

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

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
        import pandas as pd

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
        from regrow.plots import observed

        return observed.figure(self, image_shape)

    def save(self, folder: Path | str, stem: str = "wiring",
             image_shape: tuple[int, int, int] | None = None) -> Path:
        """Write `figure` as svg and png with `table` as csv, and a json beside them; returns the path of the png."""
        from regrow.plots import observed

        return observed.save(self, Path(folder), stem, image_shape)

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
