"""Watch the wiring of anybody's network while their own code trains it. Two lines are added, the loop stays theirs.

    watch = regrow.observe(model)        # before training
    for images, labels in loader:
        ...                              # their step, their pruning and growing
        watch()                          # as often as one likes
    watch.save("wiring")                 # svg, png and csv; or watch.table(), watch.figure(), watch.tail()
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from regrow import metrics
from regrow.errors import DataError
from regrow.metrics import k_shells
from regrow.tails.fit import TailFit, fit_tail, fit_tails
from regrow.weights import find, unwrapped
from regrow_companion import figures
from regrow_companion.watching import chain as chains
from regrow_companion.watching import picture
from regrow_companion.watching.masks import converted

FEWER = 0.05  # so many connections less than at the first look, beside grown ones, deserve a warning


def observe(model: nn.Module, masks: Any = None, *, step: int = 0, sample: Any = None,
            chain: Sequence[Any] | None = None, embeddings: bool = False) -> Observation:
    """Start watching a model and take the first look at it, before training; `step` is where training stands.

    Watched are the weights of linear, convolutional (transposed and grouped ones too), recurrent and attention layers
    and of layers made like them, with embeddings=True those of embeddings as well (their words are inputs). Weights
    that layers share count once. A warning says what has been left out; `watch.coverage` always does.

    A connection is where `masks` says so: a mapping (read anew at every look) from layers to masks, a list with one for
    each layer, or a function that returns either; layers that it leaves out are not watched. Without it a connection is
    where a mask of the layer's own is (torch.nn.utils.prune, a parametrization, a buffer `mask`), and otherwise where
    the weight is not zero; connections grown at zero are then not seen before their first step, so look before the
    rewiring and not right after it (a warning comes once growth is seen beside missing connections).

    Neurons' total degrees and k-shells need a chain: fully connected layers of which each one's outputs are the next
    one's inputs. Whether the model is one is found by running a copy of it once, on `sample` (what it is called with; a
    tuple for several arguments) or on two rows of zeros. `chain` lists the layers instead, and watches these alone;
    chain=() says that there is none.

    Raises DataError for what is no model, has nothing to watch or no numbers yet, and for masks, sample, chain or step
    that do not fit it.
    """
    return Observation(model, masks, step=step, sample=sample, chain=chain, embeddings=embeddings)


class Observation:
    """Degrees of every watched layer at every look, and the whole wiring at the first and the last one.

    `first` and `last` are bool arrays by layer, of the shape in which the layer stores its weight.
    """

    def __init__(self, model: nn.Module, masks: Any = None, *, step: int = 0, sample: Any = None,
                 chain: Sequence[Any] | None = None, embeddings: bool = False) -> None:
        if not isinstance(model, nn.Module):
            raise DataError(f"observe needs the model itself, a torch.nn.Module, not a {type(model).__name__}.")
        self._model, self._masks = unwrapped(model), masks
        self._found = found = find(self._model, embeddings=embeddings)
        if not found.weights:
            unknown = f", and which axes of {', '.join(list(found.left_out)[:3])} are units is not known"
            raise DataError("There is nothing to watch: the model has no linear, convolutional, recurrent or attention "
                            f"layer{unknown if found.left_out else ''}.")
        given = None if masks is None else converted(masks, found, self._model)
        order = None if chain is None else chains.named(chain, found)
        watched = [weight for weight in found.weights if given is None or weight.path in given]
        if order:
            by_path = {weight.path: weight for weight in watched}
            if missing := [path for path in order if path not in by_path]:
                raise DataError(f"chain names {missing[0].removesuffix('.weight')}, for which masks has no mask.")
            watched = [by_path[path] for path in order]
        elif chain is None:
            order = chains.traced(self._model, watched, found, sample)
            watched.sort(key=lambda weight: order.index(weight.path) if order else 0)
        self._weights = {weight.name: weight for weight in watched}
        self._given = set() if given is None else given.keys()
        self._embeddings, self._is_chain = embeddings, bool(order) and len(watched) > 1
        self._steps: list[int] = []
        self._degrees: dict[str, tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]]] = {}
        self._masked: set[str] = set()  # layers that have had a mask of their own at some look
        self._warned = False
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.first = self.last = self._wiring()
        self.shapes = {name: mask.shape for name, mask in self.first.items()}
        self._absent = {name: ~mask for name, mask in self.first.items()}  # at some look so far
        self._keep(_whole(step))
        self._say_what_is_missing()

    def __call__(self, step: int | None = None) -> None:
        """Take a look. `step` is what time axes show: by default looks are counted, from the one before training."""
        step = self._steps[-1] + 1 if step is None else _whole(step)
        if step < self._steps[-1]:
            raise DataError(f"step {step} comes after step {self._steps[-1]}: steps cannot fall; call regrow.observe "
                            "again for another training.")
        self.last = self._wiring()
        self._warn_of_zeros()
        self._keep(step)

    def __repr__(self) -> str:
        return f"<Observation of {self.coverage.removesuffix('.')}; last look at step {self._steps[-1]}>"

    @property
    def coverage(self) -> str:
        """How many of the network's weights are watched, and which are not: one sentence."""
        ours = sum(int(np.prod(shape)) for shape in self.shapes.values())
        left = dict(self._found.left_out)
        left |= {weight.name: int(np.prod(weight.shape)) for weight in self._found.weights
                 if weight.name not in self._weights}
        total = ours + sum(left.values())
        layers = "1 layer" if len(self.shapes) == 1 else f"{len(self.shapes)} layers"
        text = f"{layers} with {_share(ours, total)} of {total:,} weights watched"
        if not left:
            return f"{text}."
        names = sorted(left, key=lambda name: -left[name])
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"{text}; left out: {', '.join(f'{name} ({left[name]:,})' for name in names[:3])}{more}."

    @property
    def steps(self) -> NDArray[np.int64]:
        """[T], one entry a look."""
        return np.array(self._steps, dtype=np.int64)

    @property
    def in_degree(self) -> dict[str, NDArray[np.int32]]:
        """Incoming connections [T, n_out] of every layer's neurons, channels or gates (Section 4.5)."""
        return {name: np.stack(into) for name, (into, _) in self._degrees.items()}

    @property
    def out_degree(self) -> dict[str, NDArray[np.int32]]:
        """Outgoing connections [T, n_in] of the neurons or channels that every layer reads."""
        return {name: np.stack(out) for name, (_, out) in self._degrees.items()}

    @property
    def is_chain(self) -> bool:
        """Whether the layers are fully connected ones that follow each other, as in the paper's MLP."""
        return self._is_chain

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

    @property
    def tail_start(self) -> int:
        """Where the tail begins unless somebody says otherwise: the higher threshold, 1 at least."""
        return max(1, self.thresholds().high)

    def tail(self, xmin: int | None = None) -> TailFit:
        """Power law fitted to the degrees at the last look (Section 4.6); xmin is `tail_start` by default.

        `regrow.tails.fit` and its neighbours test it. Raises DataError where no degree reaches xmin.
        """
        last, start = self.pooled()[-1], self.tail_start
        if xmin is None and last.max() < start:
            raise DataError(f"There is no tail to fit: it begins at {start} connections here (the paper's 110, scaled "
                            f"with the mean degree), and no unit has more than {last.max()}; name another start, "
                            "tail(xmin).")
        return fit_tail(last, start if xmin is None else xmin)

    def shells(self, *, first: bool = False) -> list[NDArray[np.int32]]:
        """k-shell of every neuron at the last (or first) look, input layer first. DataError unless `is_chain`."""
        if not self.is_chain:
            raise DataError("k-shells need fully connected layers that follow each other, each one's outputs the next "
                            "one's inputs and nothing else: give chain=[...] or sample=... if these do, else look at "
                            "the degrees of each layer.")
        masks = self.first if first else self.last
        return k_shells(self._weights[name].by_group(mask)[0] for name, mask in masks.items())

    def table(self) -> pd.DataFrame:
        """One row for each look and layer, "all" for all units together.

        Columns: step, layer, units, connections (into the layer's units, or in and out in a chain, over the number of
        units: mean), std, largest, dormant low and dormant high (units at or below `thresholds`), n_tail, alpha, D.
        """
        limits, parts = self.thresholds(), []
        for layer, degrees in {"all": self.pooled(), **self.degrees()}.items():
            fits = fit_tails(degrees, self.tail_start)
            parts.append(pd.DataFrame({
                "step": self.steps, "layer": layer, "units": degrees.shape[1], "mean": degrees.mean(axis=1),
                "std": degrees.std(axis=1), "largest": degrees.max(axis=1),
                "dormant low": metrics.dormant_counts(degrees, limits.low),
                "dormant high": metrics.dormant_counts(degrees, limits.high),
                "n_tail": fits.n_tail, "alpha": fits.alpha, "D": fits.D}))
        return pd.concat(parts, ignore_index=True)

    def figure(self, image_shape: tuple[int, int, int] | None = None) -> Figure:
        """The paper's pictures of this network; `image_shape` (C, H, W) adds the input heat map of Figure 8."""
        return picture.figure(self, image_shape)

    def save(self, folder: Path | str, stem: str = "wiring",
             image_shape: tuple[int, int, int] | None = None) -> Path:
        """Write `figure` as svg and png with `table` as csv, and a json beside them; returns the path of the png.

        Raises FigureError where files of these names are there that are not ours.
        """
        table, limits = self.table(), self.thresholds()
        last = table[table["layer"] == "all"].iloc[-1]
        alt = (f"Degrees of a network over {len(self.steps)} looks. At the last one the {last['units']} units have a "
               f"mean degree of {last['mean']:.1f}, a standard deviation of {last['std']:.1f} and a largest degree of "
               f"{last['largest']}; {last['dormant low']} have {limits.low} connections or fewer.")
        return figures.save_figure(self.figure(image_shape), stem, data=table, alt=alt, out=Path(folder),
                                   profile="own network", caption=f"Wiring of a watched network: {self.coverage}")

    def _keep(self, step: int) -> None:
        self._steps.append(step)
        for name, mask in self.last.items():
            into, out = self._degrees.setdefault(name, ([], []))
            into.append(self._weights[name].in_degree(mask).astype(np.int32))
            out.append(self._weights[name].out_degree(mask).astype(np.int32))

    def _wiring(self) -> dict[str, NDArray[np.bool_]]:
        """The connections of every watched layer now, found anew: layers and tensors may have been replaced."""
        found = find(self._model, embeddings=self._embeddings)
        given = {} if self._masks is None else converted(self._masks, found, self._model)
        now = {weight.name: weight for weight in found.weights}
        same = now.keys() == {weight.name for weight in self._found.weights} and given.keys() == self._given
        wiring = {}
        for name in self._weights if same else ():
            mask = given.get(now[name].path)
            wiring[name] = now[name].connections().numpy(force=True).copy() if mask is None else mask
        if not same or any(mask.shape != self.shapes.get(name, mask.shape) for name, mask in wiring.items()):
            raise DataError("The model or its masks have other layers or shapes than when watching began; call "
                            "regrow.observe again for the changed network.")
        self._weights = {name: now[name] for name in self._weights}
        self._masked |= {name for name, weight in self._weights.items() if weight.is_masked or weight.path in given}
        return wiring

    def _say_what_is_missing(self) -> None:
        """After the first look: layers that nobody could count, and layers that seem to have no connection."""
        if self._masks is None and self._found.left_out:
            warnings.warn(f"{self.coverage} embeddings=True adds those of embeddings.", stacklevel=4)
        empty = [name for name, mask in self.first.items() if not mask.any() and name not in self._masked]
        if empty:
            warnings.warn(f"All weights of {', '.join(map(repr, empty))} are zero, so no connection is seen there: if "
                          "they only begin at zero, look after the first step or give masks=.", stacklevel=4)

    def _warn_of_zeros(self) -> None:
        """Growth at zero shows when fewer weights are not zero than at first although connections have grown."""
        for name, mask in self.last.items():
            before, now, grown = int(self.first[name].sum()), int(mask.sum()), bool((mask & self._absent[name]).any())
            self._absent[name] |= ~mask
            if grown and now < (1 - FEWER) * before and not self._warned and name not in self._masked:
                self._warned = True
                warnings.warn(f"{now:,} weights of layer {name!r} are not zero, and {before:,} were at the first look, "
                              "although connections have grown: if they grow at zero, look before the rewiring or give "
                              "masks=, else they are missing here.", stacklevel=3)


def _whole(step: Any) -> int:
    """A step as a whole number. Raises DataError for anything else."""
    number = step.item() if isinstance(step, Tensor | np.ndarray | np.generic) and step.ndim == 0 else step
    if isinstance(number, bool) or not isinstance(number, int | float) or number != number or number % 1:
        raise DataError(f"step must be a whole number, such as the optimizer steps so far, not {step!r}.")
    return int(number)


def _share(part: int, whole: int) -> str:
    """Percent, and 100 or 0 only where it is all or nothing."""
    percent = 100 * part / whole
    return f"{percent:.0f} %" if part in (0, whole) or 1 <= percent <= 99 else f"{percent:.3g} %"
