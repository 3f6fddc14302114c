"""Whether the layers of a network follow each other: every output of one is an input of the next, and nothing else.

Only then a neuron's in- and out-connections can be added up, and only then there are k-shells. Shapes and the order of
definition do not tell: the projections of an attention layer all fit each other. So the network is run once, on a copy
that shares its numbers, and what its functions do with the activations is followed from tensor to tensor.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from regrow.config import nearest
from regrow.errors import DataError
from regrow.weights import Found, Weight

PRODUCTS = frozenset((
    "linear", "matmul", "__matmul__", "__rmatmul__", "mm", "addmm", "mv", "addmv", "bmm", "baddbmm",
))
# Functions that leave every unit in its place: activations, normalisations, arithmetic with constants, copies.
UNITWISE = frozenset((
    "relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "elu", "elu_", "selu", "selu_", "celu", "celu_", "gelu",
    "silu", "mish", "hardswish", "hardsigmoid", "hardtanh", "hardtanh_", "sigmoid", "sigmoid_", "tanh", "tanh_",
    "softplus", "softsign", "logsigmoid", "softmax", "log_softmax", "rrelu", "rrelu_", "threshold", "threshold_",
    "prelu", "tanhshrink", "softshrink", "hardshrink", "dropout", "dropout_", "alpha_dropout",
    "feature_alpha_dropout", "batch_norm", "layer_norm", "rms_norm", "instance_norm", "normalize", "clone",
    "detach", "contiguous", "to", "type", "float", "double", "half", "bfloat16", "cpu", "cuda", "requires_grad_",
    "add", "add_", "__add__", "__radd__", "__iadd__", "sub", "sub_", "__sub__", "__rsub__", "__isub__", "mul",
    "mul_", "__mul__", "__rmul__", "__imul__", "div", "div_", "__truediv__", "__itruediv__", "neg", "__neg__",
    "abs", "clamp", "clamp_", "clip", "clip_", "exp", "log", "log1p", "sqrt", "rsqrt", "square", "pow", "__pow__",
    "sin", "cos", "erf", "maximum", "minimum", "flatten", "view", "reshape", "squeeze", "unsqueeze", "nan_to_num",
    "addcmul", "addcdiv", "lerp",
))
ROWS = 2  # images in the batch that is made up


@dataclass(eq=False)
class _Node:
    """A tensor as it was after one function. `weights` are those that it depends on, by path; a constant depends on
    weights alone. `layer` is the weight that has just been applied."""

    made_by: str
    shape: tuple[int, ...]
    constant: bool
    sources: tuple[_Node, ...] = ()
    weights: frozenset[str] = frozenset()
    layer: str | None = None
    used: int = 0


@dataclass
class _Flow(TorchFunctionMode):
    """Every function of torch that is called, as nodes from tensor to tensor."""

    known: dict[int, tuple[Tensor, _Node]]  # the tensors are kept, so that no id comes twice
    layers: list[_Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [self._node(tensor) for tensor in _tensors((args, kwargs))]
        result = func(*args, **(kwargs or {}))
        made = list(_tensors(result))
        if made:
            self._note(getattr(func, "__name__", "?"), given, made)
        return result

    def _node(self, tensor: Tensor) -> _Node:
        if id(tensor) not in self.known:  # from where we cannot see: as good as another input
            self.known[id(tensor)] = tensor, _Node("unknown", tuple(tensor.shape), constant=False)
        return self.known[id(tensor)][1]

    def _note(self, name: str, given: Sequence[_Node], made: Sequence[Tensor]) -> None:
        live = tuple(dict.fromkeys(node for node in given if not node.constant))
        fixed = [node for node in given if node.constant]
        weights = frozenset().union(*(node.weights for node in fixed))
        for node in live:
            node.used += 1
        for tensor in made:
            node = _Node(name, tuple(tensor.shape), not live, live, weights)
            self.known[id(tensor)] = tensor, node
            if live and weights:
                one = len(weights) == len(live) == len(made) == 1 and name in PRODUCTS
                node.layer = next(iter(weights)) if one else ""
                self.layers.append(node)


def _tensors(given: Any) -> Iterator[Tensor]:
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, Mapping):
        for value in given.values():
            yield from _tensors(value)
    elif isinstance(given, list | tuple):
        for value in given:
            yield from _tensors(value)


def traced(model: nn.Module, weights: Sequence[Weight], found: Found, sample: Any = None) -> tuple[str, ...] | None:
    """Paths of `weights`, some of those `found`, in the order in which they are applied, if they follow each other.

    None if they do not. `sample` is what the model is called with: a tensor, a tuple of arguments or a mapping of named
    ones. Without it two rows of zeros are tried, as many as a weight has inputs; a model that takes something else is
    then no chain. Raises DataError for a model that fails on the sample.
    """
    fits = len(weights) > 1 and all(_is_matrix(weight) for weight in weights)
    if sample is None and not fits:
        return None
    widths = dict.fromkeys(weight.sizes[1] for weight in weights) if sample is None else ()
    samples = [weights[0].value().new_zeros((ROWS, width)) for width in widths] if sample is None else [sample]
    for given in samples:
        try:
            layers = _run(model, given, found)
        except Exception as error:  # somebody else's code
            if sample is not None:
                raise DataError(f"The model fails on the sample that was given ({type(error).__name__}: {error}): give "
                                "what it is called with in training, a tuple for several arguments.") from error
            continue
        return _order(layers, {weight.path: weight for weight in weights}) if fits else None
    return None


def named(layers: Sequence[object], found: Found) -> tuple[str, ...]:
    """Paths of the weights that a user lists as a chain. Raises DataError where they cannot be one."""
    paths: list[str] = []
    if isinstance(layers, str):
        raise DataError(f"chain must list layers in forward order, such as [{layers!r}, ...], not be one name.")
    for layer in layers:
        weight = found.named(layer)
        if weight is None:
            raise DataError(f"chain names {layer!r}{nearest(str(layer), [weight.name for weight in found.weights])}.")
        if not _is_matrix(weight):
            raise DataError(f"chain is for fully connected layers, and {weight.name} has a weight of shape "
                            f"{weight.shape}.")
        if weight.path in paths:
            raise DataError(f"chain names {weight.name} twice; every layer is applied once in a chain.")
        paths.append(weight.path)
    by_path = {weight.path: weight for weight in found.weights}
    for below, above in pairwise(by_path[path] for path in paths):
        if below.sizes[0] != above.sizes[1]:
            raise DataError(f"{above.name} cannot follow {below.name} in a chain: it has {above.sizes[1]} inputs, and "
                            f"{below.name} has {below.sizes[0]} outputs.")
    return tuple(paths)


def _is_matrix(weight: Weight) -> bool:
    return len(weight.shape) == 2 and weight.groups == 1


def _run(model: nn.Module, sample: Any, found: Found) -> list[_Node]:
    """The applications of weights in a forward pass of a copy, in their order.

    Neither the model, nor random numbers, nor a user's hooks notice it.
    """
    kept: dict[int, Any] = {id(parameter): parameter for parameter in model.parameters()}
    for module in model.modules():
        for held in vars(module).values():
            if isinstance(held, Tensor) and not held.is_leaf:  # what prune and weight_norm computed, with its history
                kept[id(held)] = held.detach()
            elif not isinstance(held, Tensor | nn.Module | dict | list | tuple) and not _can_be_copied(held):
                kept[id(held)] = held  # a lock or a logger, say
    twin = copy.deepcopy(model, kept).eval()
    for module in twin.modules():
        module._forward_hooks.clear()
        for key, hook in list(module._forward_pre_hooks.items()):
            if not type(hook).__module__.startswith("torch.nn.utils"):
                del module._forward_pre_hooks[key]
    flow = _Flow(_constants(twin, found))
    flow.known |= {id(tensor): (tensor, _Node("sample", tuple(tensor.shape), constant=tensor.ndim == 0))
                   for tensor in _tensors(sample)}  # a single number, such as a scale, has no units
    with torch.no_grad(), torch.random.fork_rng(devices=[]), flow:
        if isinstance(sample, Mapping):
            twin(**sample)
        else:
            twin(*(sample if isinstance(sample, list | tuple) else (sample,)))
    return flow.layers


def _can_be_copied(thing: Any) -> bool:
    try:
        copy.deepcopy(thing)
    except Exception:  # of whatever kind it is
        return False
    return True


def _constants(twin: nn.Module, found: Found) -> dict[int, tuple[Tensor, _Node]]:
    """All tensors that a model holds, however it holds them; a parameter of two axes or more is some weight's."""
    owner = {id(parameter): weight.path for weight in found.weights for parameter in weight.parameters}
    known: dict[int, tuple[Tensor, _Node]] = {}
    for module in twin.modules():
        held = [*vars(module).values(), *module.parameters(recurse=False), *module.buffers(recurse=False)]
        for tensor in _tensors(held):
            weights: frozenset[str] = frozenset()
            if isinstance(tensor, nn.Parameter) and tensor.ndim > 1:
                weights = frozenset([owner.get(id(tensor), f"parameter {id(tensor)}")])
            known[id(tensor)] = tensor, _Node("constant", tuple(tensor.shape), True, weights=weights)
    return known


def _order(layers: Sequence[_Node], weights: Mapping[str, Weight]) -> tuple[str, ...] | None:
    """Paths of `weights` in the order of use, if each is used once and on what the one before made, unit by unit."""
    mine = [node for node in layers if node.weights & weights.keys()]
    if sorted(str(node.layer) for node in mine) != sorted(weights):
        return None
    for node in mine:
        n_out, n_in = weights[str(node.layer)].sizes
        if node.shape[-1:] != (n_out,) or node.sources[0].shape[-1:] != (n_in,):
            return None
    for below, above in pairwise(mine):
        node = above.sources[0]
        while node is not below:
            through = node.made_by in UNITWISE and len(node.sources) == 1 and node.layer is None and node.used == 1
            if not through or node.shape[-1:] != node.sources[0].shape[-1:]:
                return None
            node = node.sources[0]
        if below.used != 1:
            return None
    return tuple(str(node.layer) for node in mine)
