"""Masks in the forms in which people have them, brought to one: the name of a weight -> a bool array of its shape.

What can mean one thing only is accepted; anything else is refused in a sentence. Masks of biases say nothing about
connections and are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regrow.errors import DataError
from regrow.weights import Found, Weight

FORMS = ("masks must be a mapping from layers to masks, a list with one mask for each layer, or a function that "
         "returns one of them")


def converted(masks: Any, found: Found, model: nn.Module) -> dict[str, NDArray[np.bool_] | None]:
    """Path of a weight -> where its connections are, or None where the layer is said to have no mask.

    Takes a mapping (keys: names of layers, weights or torch's own masks, the layers themselves or their weights; it may
    be nested), a list in the order of the layers, or one mask for the only layer. Masks may be torch tensors, sparse
    ones too, numpy or scipy arrays, or nested lists; a connection is what is not zero. Raises DataError for what is
    none of these or has two meanings.
    """
    if callable(masks) and not isinstance(masks, Tensor | Mapping | nn.Module):
        masks = masks()
        if masks is None:
            raise DataError(f"The function given as masks returned None; {FORMS}.")
    if isinstance(masks, nn.ParameterDict | nn.ParameterList):
        masks = dict(masks.items()) if isinstance(masks, nn.ParameterDict) else list(masks)
    if isinstance(masks, Mapping):
        given = _by_name(masks, found, model)
    elif _is_array(masks):
        if len(found.weights) != 1:
            raise DataError(f"There is one mask, and {len(found.weights)} layers: give a mapping from their names, "
                            f"{_names(found)}, to masks.")
        given = {found.weights[0].path: masks}
    elif isinstance(masks, Iterable) and not isinstance(masks, str | bytes | Iterator | nn.Module):
        given = _in_order(list(masks), found)
    else:
        raise DataError(f"{FORMS}, not {_kind(masks)}.")
    if not given:
        raise DataError(f"masks holds no mask of a layer; the model's layers are {_names(found)}.")
    weights = {weight.path: weight for weight in found.weights}
    return {path: None if mask is None else _checked(_array(mask, weights[path]), weights[path])
            for path, mask in given.items()}


def _by_name(masks: Mapping[Any, Any], found: Found, model: nn.Module) -> dict[str, Any]:
    flat = dict(_flat(masks))
    if any(isinstance(key, str) and key.endswith("_mask") for key in flat):  # torch's own state: masks beside weights
        flat = {key: mask for key, mask in flat.items() if isinstance(key, str) and key.endswith("_mask")}
    vectors = {name for name, tensor in model.state_dict(keep_vars=True).items() if getattr(tensor, "ndim", 2) < 2}
    given: dict[str, Any] = {}
    for key, mask in flat.items():
        weight = found.named(key)
        if weight is None:
            if isinstance(key, str) and _says_bias(key, vectors):
                continue
            raise DataError(f"masks names {key!r}, but the model's layers are {_names(found)}.")
        if weight.path in given and not _same(given[weight.path], mask):
            raise DataError(f"masks names {weight.name} twice, with different masks: give one.")
        given[weight.path] = mask
    return given


def _flat(masks: Mapping[Any, Any], above: str = "") -> Iterator[tuple[Any, Any]]:
    for key, value in masks.items():
        key = f"{above}.{key}" if above else key
        if isinstance(value, Mapping):
            yield from _flat(value, str(key))
        else:
            yield key, value


def _says_bias(key: str, vectors: set[str]) -> bool:
    word = key.removesuffix("_mask").removeprefix("module.")
    return word in vectors or f"{word}_orig" in vectors or word.rpartition(".")[2].startswith("bias")


def _in_order(masks: list[Any], found: Found) -> dict[str, Any]:
    """A list goes along the layers; a shorter one may leave some out if the shapes allow one way only."""
    if len(masks) == len(found.weights):
        return {weight.path: mask for weight, mask in zip(found.weights, masks, strict=True)}
    ways = list(_ways(masks, list(found.weights), 2))
    if len(ways) != 1:
        raise DataError(f"masks lists {len(masks)} masks and the model has {len(found.weights)} layers, so it is not "
                        f"clear which is whose: give a mapping from their names, {_names(found)}, to masks.")
    return {weight.path: mask for weight, mask in zip(ways[0], masks, strict=True)}


def _ways(masks: list[Any], weights: list[Weight], most: int) -> Iterator[list[Weight]]:
    """Up to `most` ways to give every mask a weight of its shape, in order."""
    if not masks:
        yield []
        return
    for i, weight in enumerate(weights[:len(weights) - len(masks) + 1]):
        if most > 0 and (masks[0] is None or tuple(np.shape(_plain(masks[0]))) == weight.shape):
            for rest in _ways(masks[1:], weights[i + 1:], most):
                most -= 1
                yield [weight, *rest]


def _array(mask: Any, weight: Weight) -> NDArray[Any]:
    try:
        array = np.asarray(_plain(mask))
    except (TypeError, ValueError, RuntimeError):
        array = np.asarray(None)
    if array.dtype.kind not in "biufc":
        raise DataError(f"The mask of {weight.name} must be an array of zeros and ones, not {_kind(mask)}.")
    if array.dtype.kind in "fc" and not np.isfinite(array).all():  # infinities: as of a mask that is added
        raise DataError(f"The mask of {weight.name} holds NaN or infinities, so that it is not clear where a "
                        "connection is: give zeros and ones.")
    return array


def _checked(array: NDArray[Any], weight: Weight) -> NDArray[np.bool_]:
    if array.shape != weight.shape:
        hint = "; it fits the other way round, so transpose it" if array.shape == weight.shape[::-1] else ""
        raise DataError(f"The mask of {weight.name} is {array.shape}, but its weight is {weight.shape}{hint}.")
    return array != 0


def _plain(mask: Any) -> Any:
    """Something that numpy reads."""
    if isinstance(mask, Tensor):
        mask = mask.detach()
        if mask.layout != torch.strided:
            mask = mask.to_dense()
        return (mask != 0 if mask.dtype != torch.bool and not mask.is_floating_point() else
                mask.float() if mask.dtype.itemsize < 4 and mask.is_floating_point() else mask).numpy(force=True)
    return mask.toarray() if hasattr(mask, "toarray") else mask


def _is_array(masks: Any) -> bool:
    return isinstance(masks, Tensor | np.ndarray) or hasattr(masks, "toarray")


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(np.asarray(_plain(one)) != 0, np.asarray(_plain(other)) != 0)


def _names(found: Found) -> str:
    return ", ".join(weight.name for weight in found.weights)


def _kind(value: Any) -> str:
    return repr(value) if isinstance(value, str | bytes | int | float | None) else f"a {type(value).__name__}"
