"""Which weights of anybody's network hold connections, which of their axes are neurons, and where a connection is.

Every kind of layer says it in its own way: most store outputs first, transposed convolutions, embeddings and the Conv1D
of language models inputs first; groups of a convolution are networks side by side; a mask may be a buffer of the layer
or live in a parametrization. This is the one place that knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from regrow.errors import DataError

STRUCTURED = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)  # what they store are the connections


@dataclass(frozen=True, eq=False)
class Weight:
    """One weight of a layer: `module`'s tensor called `attribute`.

    It is [n_out, n_in, ...], or [n_in, n_out, ...] if `inputs_first`; further axes are places of a kernel. The first
    axis of a layer with groups runs over all of them, the second one over the channels of one group. `path` is the
    name of the tensor, `name` that of the layer where this says the same; `tied` are other paths of the same numbers.
    """

    path: str
    module: nn.Module
    attribute: str
    inputs_first: bool = False
    groups: int = 1
    tied: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.removesuffix(".weight")

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """Itself, or the parameters that a parametrization, torch's prune or weight_norm make it of."""
        return tuple(_behind(self.module, self.attribute))

    @property
    def shape(self) -> tuple[int, ...]:
        """As stored. Raises DataError as `value` does."""
        return tuple(self.value().shape)

    @property
    def sizes(self) -> tuple[int, int]:
        """(n_out, n_in), all groups together."""
        first, second = self.shape[0], self.shape[1] * self.groups
        return (second, first) if self.inputs_first else (first, second)

    def value(self) -> Tensor:
        """Its numbers now, detached; nothing is changed by asking, not even the buffers of a parametrization.

        Raises DataError for a weight that has no numbers, or not all of them, or not as numbers.
        """
        value = self._computed()
        what = f"The weight of {self.name} " if self.name != self.path else f"{self.path} "
        if is_lazy(value):
            raise DataError(f"{what}has no shape yet, as its layer is lazy: send one batch through the model first.")
        if value.is_meta:
            raise DataError(f"{what}lies on the meta device and has no numbers: load or initialise the model first.")
        if type(value).__name__ == "DTensor":
            raise DataError(f"{what}is spread over several processes: call full_tensor() on it, or look at a model "
                            "that is whole.")
        if not (value.is_floating_point() or value.is_complex()):
            raise DataError(f"{what}is quantised ({value.dtype}): look at the model before it is quantised.")
        return value.detach()

    def _computed(self) -> Tensor:
        if not parametrize.is_parametrized(self.module, self.attribute):
            return getattr(self.module, self.attribute)
        steps = list(self.module.parametrizations[self.attribute].modules())  # type: ignore[index,union-attr]
        training = [step.training for step in steps]
        try:
            for step in steps:
                step.training = False  # spectral normalisation would go on with its power iteration
            with torch.no_grad():
                return getattr(self.module, self.attribute)
        finally:
            for step, before in zip(steps, training, strict=True):
                step.training = before

    def connections(self) -> Tensor:
        """Bool tensor of the weight's shape: True where a mask of the layer's own, or else a number, is not zero.

        Of a sparse tensor all that it stores counts. Raises DataError as `value` does.
        """
        value = self.value()
        masks = [mask.expand(value.shape) for mask in self._masks() if _spreads_over(mask, value)]
        if masks:
            return torch.stack([mask.detach().to(value.device) != 0 for mask in masks]).all(0)
        if value.layout in STRUCTURED:
            return _stored(value)
        value = value.to_dense() if value.layout != torch.strided else value
        return (value.float() if value.dtype.itemsize == 1 else value) != 0  # no comparison of 8-bit floats

    @property
    def is_masked(self) -> bool:
        """Whether the layer carries a mask of its own."""
        return any(True for _ in self._masks())

    def _masks(self) -> Iterator[Tensor]:
        """Of torch's prune, of torch.ao's and sparsimony's parametrizations, and a buffer `mask` of zeros and ones."""
        if isinstance(pruned := getattr(self.module, f"{self.attribute}_mask", None), Tensor):
            yield pruned
        if parametrize.is_parametrized(self.module, self.attribute):
            steps = self.module.parametrizations[self.attribute].modules()  # type: ignore[index,union-attr]
            yield from (mask for step in steps if isinstance(mask := getattr(step, "mask", None), Tensor))
        own = getattr(self.module, "mask", None)
        if self.attribute == "weight" and isinstance(own, Tensor) and bool(((own == 0) | (own == 1)).all()):
            yield own

    def by_group(self, mask: Any) -> Any:
        """A mask of the weight's shape, numpy or torch, as [groups, n_out / groups, n_in / groups, ...]."""
        parts = mask.reshape(self.groups, mask.shape[0] // self.groups, *mask.shape[1:])
        return parts.swapaxes(1, 2) if self.inputs_first else parts

    def in_degree(self, mask: Any) -> Any:
        """Incoming connections of every output unit or channel, [n_out] (Section 4.5); kind and device as of mask."""
        parts = self.by_group(mask)
        return parts.sum(axis=tuple(range(2, parts.ndim))).reshape(-1)

    def out_degree(self, mask: Any) -> Any:
        """Outgoing connections of every input unit or channel, [n_in]."""
        parts = self.by_group(mask)
        return parts.sum(axis=(1, *range(3, parts.ndim))).reshape(-1)


@dataclass(frozen=True)
class Found:
    """The weights of a network in order of definition, and its other parameters of two axes or more: name -> size."""

    weights: tuple[Weight, ...]
    left_out: dict[str, int]

    def named(self, key: object) -> Weight | None:
        """The weight that is meant: by its layer's or its own name, its mask's name, its layer or itself.

        Names may begin as those of a wrapped model do. None if there is none, or more than one in that layer.
        """
        if not isinstance(key, str):
            meant = [weight for weight in self.weights
                     if key is weight.module or any(key is parameter for parameter in weight.parameters)]
            return meant[0] if len(meant) == 1 else None
        paths = {path: weight for weight in self.weights for path in (weight.path, *weight.tied)}
        word = _clean(key).removesuffix("_mask")
        for name in (word, word.removeprefix("module."), f"module.{word}"):
            for path in (name, f"{name}.weight".removeprefix(".")):
                if path in paths:
                    return paths[path]
        return None


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside torch.compile's and the parallel wrappers."""
    while True:
        if isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        else:
            return model


def find(model: nn.Module, *, embeddings: bool = False) -> Found:
    """Every weight between units: of linear, convolutional, recurrent and attention layers, and those made like them.

    Weights that share their numbers count once. Embeddings (inputs are the words) come along if asked for. Layers of no
    size have no connections and are passed over.
    """
    model = unwrapped(model)
    weights: dict[object, Weight] = {}
    owned: set[int] = set()
    for place, module in model.named_modules():
        for attribute in _attributes(module):
            layout = _layout(module, attribute, embeddings)
            path = _clean(f"{place}.{attribute}")
            if layout is None or ".parametrizations." in f".{path}":
                continue
            weight = Weight(path, module, attribute, *layout)
            owned |= {id(parameter) for parameter in weight.parameters}
            key = _identity(weight)
            if key is None:
                continue
            if key in weights:
                first = weights[key]
                weight = Weight(first.path, first.module, first.attribute, first.inputs_first, first.groups,
                                (*first.tied, path))
            weights[key] = weight
    left_out, seen = {}, set(weights)
    for place, parameter in model.named_parameters():
        if id(parameter) not in owned and not is_lazy(parameter) and parameter.ndim > 1 \
                and parameter.numel() and (key := _numbers(parameter)) not in seen:
            seen.add(key)
            left_out[_clean(place).removesuffix(".weight")] = parameter.numel()
    return Found(tuple(weights.values()), left_out)


def _clean(path: str) -> str:
    """Without the layers of indirection of compiled modules inside a model."""
    return re.sub(r"(^|\.)_orig_mod(?=\.|$)", "", path).removeprefix(".")


def _attributes(module: nn.Module) -> list[str]:
    """Tensors of a module itself behind which parameters stand, in order of definition."""
    names: dict[str, None] = {}
    for name, _ in module.named_parameters(recurse=False):
        for ending in ("_orig", "_g", "_v"):  # of torch.nn.utils.prune and its older normalisations
            if name.endswith(ending) and isinstance(getattr(module, name.removesuffix(ending), None), Tensor):
                name = name.removesuffix(ending)
                break
        names[name] = None
    if parametrize.is_parametrized(module):
        names |= dict.fromkeys(module.parametrizations)  # type: ignore[arg-type]
    return list(names)


def _behind(module: nn.Module, attribute: str) -> Iterator[nn.Parameter]:
    if parametrize.is_parametrized(module, attribute):
        yield from module.parametrizations[attribute].parameters()  # type: ignore[index,union-attr]
        return
    own = dict(module.named_parameters(recurse=False, remove_duplicate=False))
    yield from (own[name] for name in (attribute, *(f"{attribute}{ending}" for ending in ("_orig", "_v", "_g")))
                if name in own)


def _layout(module: nn.Module, attribute: str, embeddings: bool) -> tuple[bool, int] | None:
    """(inputs first, groups) of a module's tensor, None if it joins no units or we cannot know which axes are units."""
    match module:
        case nn.MultiheadAttention():
            return (False, 1) if attribute.endswith("proj_weight") else None
        case nn.RNNBase() | nn.RNNCellBase():  # gate by gate, one below the other
            return (False, 1) if attribute.startswith("weight_") else None
        case nn.Embedding() | nn.EmbeddingBag():
            return (True, 1) if embeddings and attribute == "weight" else None
    if attribute != "weight":
        return None
    match module:
        case nn.Linear():
            return False, 1
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            return False, module.groups
        case nn.ConvTranspose1d() | nn.ConvTranspose2d() | nn.ConvTranspose3d():
            return True, module.groups
    return _by_its_sizes(module)


def _by_its_sizes(module: nn.Module) -> tuple[bool, int] | None:
    """The layout of a layer of somebody else's, from the sizes that it names as torch's own layers do.

    A square weight, which fits either way, is taken as torch has it, outputs first.
    """
    shape = next((tuple(parameter.shape) for parameter in _behind(module, "weight")), ())
    if parametrize.type_before_parametrizations(module).__name__ == "Conv1D" and len(shape) == 2:
        return True, 1  # Hugging Face's
    for kind, groups in (("features", 1), ("channels", getattr(module, "groups", 1))):
        n_in, n_out = getattr(module, f"in_{kind}", None), getattr(module, f"out_{kind}", None)
        if len(shape) < 2 or not isinstance(n_in, int) or not isinstance(n_out, int) or not isinstance(groups, int):
            continue
        fits = shape[:2] == (n_out, n_in // groups), shape[:2] == (n_in, n_out // groups)
        if any(fits):
            return (fits[1] and bool(getattr(module, "transposed", not fits[0]))), groups
    return None


def _identity(weight: Weight) -> object:
    """What two weights have in common that are the same numbers; None for a weight without any."""
    parameters = weight.parameters
    if not parameters:
        return id(weight.module), weight.attribute
    if is_lazy(parameters[0]):
        return id(parameters[0])
    return _numbers(parameters[0]) if parameters[0].numel() else None


def _numbers(parameter: Tensor) -> object:
    """Memory and size of a tensor: the same for a transposed view as well."""
    if parameter.is_meta or parameter.layout != torch.strided or type(parameter).__name__ == "DTensor":
        return id(parameter)
    return parameter.device, parameter.data_ptr(), parameter.numel()


def _spreads_over(mask: Tensor, value: Tensor) -> bool:
    """Whether a mask has the weight's shape, or length 1 along an axis: one entry for a whole unit, say."""
    return mask.ndim == value.ndim and all(m in (1, n) for m, n in zip(mask.shape, value.shape, strict=True))


def _stored(value: Tensor) -> Tensor:
    """Where a sparse tensor holds a number, zeros among them."""
    ones = torch.ones_like(value.values() if value.layout != torch.sparse_coo else value.coalesce().values())
    match value.layout:
        case torch.sparse_coo:
            full = torch.sparse_coo_tensor(value.coalesce().indices(), ones, value.shape, check_invariants=False)
        case torch.sparse_csr:
            full = torch.sparse_csr_tensor(value.crow_indices(), value.col_indices(), ones, value.shape,
                                           check_invariants=False)
        case _:
            full = torch.sparse_csc_tensor(value.ccol_indices(), value.row_indices(), ones, value.shape,
                                           check_invariants=False)
    return full.to_dense() != 0
