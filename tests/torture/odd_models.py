"""Networks as other people build them, with what `regrow.observe` must say of each, counted in plain loops.

Random kinds of layers, groups, sharing, order, pruning and state; masks in the forms in which people keep them.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize, prune

import regrow
from regrow.errors import RegrowError
from torture.promises import Stage, Tally


@dataclass
class Odd:
    """A network and what is true of it. `weights`: name -> (bool weight as stored, inputs first, groups); None: it must
    be refused. `chain`: the names in forward order, () if it is none."""

    kind: str
    model: Any
    weights: dict[str, tuple[np.ndarray, bool, int]] | None
    chain: tuple[str, ...] = ()
    asked: dict[str, Any] = field(default_factory=dict)  # of observe
    left_out: bool = False


def wrong(odd: Odd) -> list[str]:
    """What `observe` says that is not so, one sentence each."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            watch = regrow.observe(odd.model, **odd.asked)
            watch()
        except RegrowError as error:
            text = str(error)
            if odd.weights is not None:
                return [f"{odd.kind} was refused: {text}"]
            return [] if text.endswith(".") and "\n" not in text else [f"{odd.kind}: no sentence: {text}"]
        except Exception as error:
            return [f"{odd.kind}: {type(error).__name__}: {error}"]
    if odd.weights is None:
        return [f"{odd.kind} was accepted"]
    found = []
    if odd.left_out != any("left out" in str(warning.message) for warning in said):
        found.append(f"{odd.kind}: {'nothing' if odd.left_out else 'something'} was said of what is left out")
    if set(watch.shapes) != set(odd.weights):
        return [f"{odd.kind}: watched are {list(watch.shapes)}, there are {list(odd.weights)}"]
    for name, (mask, inputs_first, groups) in odd.weights.items():
        for ours, theirs in zip((watch.in_degree[name], watch.out_degree[name]), counted(mask, inputs_first, groups),
                                strict=True):
            if ours.tolist() != [theirs] * 2:
                found.append(f"{odd.kind}: degrees of {name} are {ours[0].tolist()} and not {theirs}")
    if watch.is_chain != bool(odd.chain):
        return [*found, f"{odd.kind} is {'no' if odd.chain else 'a'} chain"]
    if odd.chain and not found:
        matrices = [mask.T if inputs_first else mask for mask, inputs_first, _ in map(odd.weights.get, odd.chain)]
        if tuple(watch.shapes) != odd.chain or np.concatenate(watch.shells()).tolist() != _cores(matrices):
            found.append(f"{odd.kind}: another order, {list(watch.shapes)}, or other shells")
    return found


def counted(mask: np.ndarray, inputs_first: bool, groups: int) -> tuple[list[int], list[int]]:
    """In- and out-degrees, connection by connection."""
    first, second = mask.shape[0], mask.shape[1] * groups
    side, other = [0] * first, [0] * second
    for i, j, *_ in np.argwhere(mask).tolist():
        side[i] += 1
        other[i // (first // groups) * mask.shape[1] + j] += 1
    return (other, side) if inputs_first else (side, other)


def _cores(matrices: Sequence[np.ndarray]) -> list[int]:
    graph, start = nx.Graph(), 0
    for matrix in matrices:
        n_out, n_in = matrix.shape
        graph.add_nodes_from(range(start, start + n_in + n_out))
        graph.add_edges_from((start + i, start + n_in + o) for o, i in np.argwhere(matrix).tolist())
        start += n_in
    core = nx.core_number(graph)
    return [core[i] for i in range(len(core))]


def draw(chance: random.Random) -> Odd:
    """One of the kinds, at random."""
    torch.manual_seed(chance.randrange(2**31))
    return chance.choice((chain, chain, branched, layers, layers, tied, given, given, refused))(chance)


class Net(nn.Module):
    """Layers defined in one order and used in another, by a function."""

    def __init__(self, layers: dict[str, nn.Module], use: Callable[[Net, Tensor], Any]) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.use = use

    def forward(self, x: Tensor) -> Any:
        return self.use(self, x)


class InputsFirst(nn.Module):
    """A layer of somebody's own that says its sizes."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.randn(in_features, out_features))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Conv1D(nn.Module):
    """As in Hugging Face's GPT-2."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.nf = n_out
        self.weight = nn.Parameter(torch.randn(n_in, n_out))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


class MaskedLinear(nn.Linear):
    """A layer of a research code, with its mask in a buffer."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out)
        self.register_buffer("mask", (torch.rand(n_out, n_in) < 0.5).float())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class FakeSparsity(nn.Module):
    """As torch.ao's and sparsimony's parametrizations."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def thinned(module: nn.Module, attribute: str, chance: random.Random) -> np.ndarray:
    """Take connections away in one of the usual ways; returns where they still are."""
    weight = getattr(module, attribute)
    mask = torch.rand(weight.shape) < chance.choice((0.2, 0.5, 0.9))
    if isinstance(module, MaskedLinear):
        return module.mask.numpy() != 0
    ways = ["zeros", "prune", "both"] if isinstance(module, nn.RNNBase) else ["zeros", "prune", "both", "parametrized"]
    how = chance.choice(ways) if type(module) in (nn.Linear, nn.Conv2d, nn.LSTM, InputsFirst, Conv1D) else "zeros"
    with torch.no_grad():
        if how in ("zeros", "both"):
            weight.mul_(mask)
    if how in ("prune", "both"):
        prune.custom_from_mask(module, attribute, mask)
    if how == "both":  # a connection that has just been grown
        prune.remove(module, attribute)
    if how == "parametrized":
        parametrize.register_parametrization(module, attribute, FakeSparsity(mask))
        with torch.no_grad():
            module.parametrizations[attribute].original[0] = 0.0  # its mask says that they are there
    return mask.numpy()


def chain(chance: random.Random) -> Odd:
    """Fully connected layers in a row."""
    sizes = [chance.randint(1, 12) for _ in range(chance.randint(3, 5))]
    names = [f"fc{i}" for i in range(1, len(sizes))]
    kinds = [chance.choice((nn.Linear, MaskedLinear, Conv1D, nn.Linear if a == b else InputsFirst))
             for a, b in pairwise(sizes)]
    made = {name: kind(a, b) for name, kind, (a, b) in zip(names, kinds, pairwise(sizes), strict=True)}
    weights = {name: (thinned(layer, "weight", chance), isinstance(layer, InputsFirst | Conv1D), 1)
               for name, layer in made.items()}
    between = [chance.choice((F.relu, torch.tanh, F.gelu, lambda x: x * torch.sigmoid(torch.tensor(2.0)),
                              lambda x: F.dropout(x, 0.5, training=True), lambda x: x.relu_(), nn.Identity(),
                              lambda x: F.layer_norm(x, x.shape[-1:]), lambda x: F.leaky_relu(x) + 1))
               for _ in names]

    def use(net: Net, x: Tensor) -> Tensor:
        for name, act in zip(names, between, strict=True):
            x = act(getattr(net, name)(x))
        return x

    shuffled = dict(chance.sample(list(made.items()), len(made)))
    return Odd("chain", Net(shuffled, use), weights, tuple(names))


def branched(chance: random.Random) -> Odd:
    """Layers that all fit each other and do not follow each other."""
    n = chance.randint(2, 9)
    made = {name: nn.Linear(n, n) for name in "abc"}
    weights = {name: (thinned(layer, "weight", chance), False, 1) for name, layer in made.items()}
    uses: tuple[Callable[[Net, Tensor], Any], ...] = (
        lambda net, x: net.c((net.a(x) @ net.b(x).mT).softmax(-1) @ x),
        lambda net, x: net.c(x + net.b(net.a(x))),
        lambda net, x: (net.b(h := torch.relu(net.a(x))), net.c(h)),
        lambda net, x: net.c(net.b(net.a(net.a(x)))),
        lambda net, x: net.c(net.a(x) * net.b(x)),
        lambda net, x: net.c(net.b(net.a(x)).flip(-1)),
        lambda net, x: net.c(net.b(torch.cat([net.a(x)[:, 1:], x[:, :1]], -1))),
        lambda net, x: net.b(net.a(x)),
        lambda net, x: net.c(net.b(net.a(x[0]["never"]))))
    return Odd("branched", Net(made, chance.choice(uses)), weights)


def layers(chance: random.Random) -> Odd:
    """Any kinds of layers, side by side, without a forward pass."""
    g, a, b = chance.choice((1, 2, 4)), 4 * chance.randint(1, 3), 4 * chance.randint(1, 3)
    kinds: dict[str, tuple[Callable[[], nn.Module], dict[str, tuple[bool, int]]]] = {
        "linear": (lambda: nn.Linear(a, b), {"": (False, 1)}),
        "conv1d": (lambda: nn.Conv1d(a, b, 3, groups=g), {"": (False, g)}),
        "conv2d": (lambda: nn.Conv2d(a, b, (2, 3), groups=g), {"": (False, g)}),
        "depthwise": (lambda: nn.Conv2d(a, a, 3, groups=a), {"": (False, a)}),
        "conv3d": (lambda: nn.Conv3d(a, b, 2, groups=g), {"": (False, g)}),
        "up1d": (lambda: nn.ConvTranspose1d(a, b, 3, groups=g), {"": (True, g)}),
        "up2d": (lambda: nn.ConvTranspose2d(a, b, 2, groups=g), {"": (True, g)}),
        "attention": (lambda: nn.MultiheadAttention(4, 2), {".in_proj_weight": (False, 1), ".out_proj": (False, 1)}),
        "cross": (lambda: nn.MultiheadAttention(4, 2, kdim=3, vdim=5), {
            ".q_proj_weight": (False, 1), ".k_proj_weight": (False, 1), ".v_proj_weight": (False, 1),
            ".out_proj": (False, 1)}),
        "lstm": (lambda: nn.LSTM(3, 4, proj_size=2), {
            ".weight_ih_l0": (False, 1), ".weight_hh_l0": (False, 1), ".weight_hr_l0": (False, 1)}),
        "gru": (lambda: nn.GRUCell(3, 4), {".weight_ih": (False, 1), ".weight_hh": (False, 1)}),
        "flipped": (lambda: InputsFirst(a, b + 1), {"": (True, 1)}),
        "masked": (lambda: MaskedLinear(a, b), {"": (False, 1)}),
        "normal": (lambda: nn.BatchNorm2d(a), {}),
        "words": (lambda: nn.Embedding(a, b), {"": (True, 1)}),
        "bilinear": (lambda: nn.Bilinear(a, b, 2), {}),
        "own": (lambda: nn.ParameterList([nn.Parameter(torch.randn(a, b))]), {})}
    names = chance.sample(sorted(kinds), chance.randint(1, 6))
    embeddings = chance.random() < 0.5
    model, weights = nn.ModuleDict({name: kinds[name][0]() for name in names}), {}
    for name in names:
        for ending, (inputs_first, groups) in kinds[name][1].items():
            if name == "words" and not embeddings:
                continue
            place, _, attribute = f"{name}{ending}".partition(".")
            module = model[place]
            if attribute == "out_proj":
                module, attribute = module.out_proj, "weight"
            weights[f"{name}{ending}"] = (thinned(module, attribute or "weight", chance), inputs_first, groups)
    unseen = {"bilinear", "own"} | (set() if embeddings else {"words"})
    return Odd("layers", model, weights or None, asked={"embeddings": embeddings, "chain": ()},
               left_out=bool(unseen & set(names)) and bool(weights))


def tied(chance: random.Random) -> Odd:
    """Weights that two layers share: the same parameter, a view of it, or the same layer under two names."""
    n = chance.randint(2, 8)
    one, other = nn.Linear(n, n, bias=False), nn.Linear(n, n, bias=False)
    mask = np.ones((n, n), bool)
    how = chance.choice(("parameter", "view", "layer", "embedding"))
    if how == "parameter":
        other.weight = one.weight
    elif how == "view":
        other.weight = nn.Parameter(one.weight.detach().T)
    elif how == "embedding":
        words = nn.Embedding(n, n)
        one.weight = words.weight
        return Odd("tied", nn.ModuleDict({"words": words, "head": one}), {"head": (mask, False, 1)})
    made = {"a": one, "b": one if how == "layer" else other}
    return Odd("tied", Net(made, lambda net, x: net.b(torch.relu(net.a(x)))), {"a": (mask, False, 1)})


def given(chance: random.Random) -> Odd:
    """Masks of a small chain in one of many forms."""
    return chance.choice(mask_forms(chance))


def mask_forms(chance: random.Random) -> list[Odd]:
    """All forms of masks, those that mean one thing and those that do not."""
    n, m = chance.randint(2, 6), chance.randint(7, 9)
    model = nn.Sequential(nn.Linear(n, m), nn.ReLU(), nn.Linear(m, 3))
    first, second = torch.rand(m, n) < 0.5, torch.rand(3, m) < 0.5
    both = {"0": (first.numpy(), False, 1), "2": (second.numpy(), False, 1)}
    one, dense = {"0": both["0"]}, {"0": both["0"], "2": (np.ones((3, m), bool), False, 1)}
    good: tuple[tuple[Any, dict[str, Any]], ...] = (
        ({"0": first, "2": second}, both), ({"0.weight": first.float(), "2.weight": second.numpy()}, both),
        ({"0": first, "0.weight": first.float()}, one), ([first, second], both), ([first], one), ([first, None], dense),
        ((first.tolist(), second.int()), both),
        ({"0": first.to_sparse(), "2": sparse.csr_array(second.numpy())}, both), ({model[0]: first}, one),
        ({model[0].weight: first, model[2]: second}, both), ({"0": first, "0.bias": torch.ones(m)}, one),
        ({"0.weight_mask": first, "0.weight_orig": torch.randn(m, n), "0.bias": torch.ones(m)}, one),
        ({"module.0.weight": first, "_orig_mod.2.weight": second}, both), (lambda: [first, second], both),
        ({"0": {"weight": first}}, one), ({"0": first, "2": None}, dense), ({"0": first.half() * -3}, one),
        ({"0": first.to(torch.bfloat16).requires_grad_()}, one), ({"0": np.asfortranarray(first.numpy())}, one))
    bad: tuple[Any, ...] = (
        {}, [], 7, lambda: None, {"0": first.T}, {"0": first[None]}, {"1": first}, {"fc": first}, "0",
        [first, second, first], [first.T, second], {"0": first, "0.weight": ~first}, {"0": "ones"}, {"0": 1}, 0.5,
        first, {"0": first / 0.0 * 0.0}, {"0.bias": torch.ones(m)}, iter([first, second]), {"0": [[1, 2], [3]]},
        {0: first}, {model[1]: first}, {"0": object()})
    taken = [Odd("masks", model, weights, tuple(weights) if len(weights) > 1 else (), {"masks": masks})
             for masks, weights in good]
    return [*taken, *(Odd("masks", model, None, asked={"masks": masks}) for masks in bad)]


def refused(chance: random.Random) -> Odd:
    """What nobody can count."""
    def packed() -> nn.Module:
        layer = nn.Linear(4, 4)
        layer.weight = nn.Parameter(torch.zeros(8, 1, dtype=torch.uint8), requires_grad=False)
        return layer

    model = chance.choice((
        nn.ReLU, lambda: nn.Linear(3, 2, device="meta"), lambda: nn.LazyLinear(3), packed,
        lambda: nn.Sequential(nn.Linear(3, 3), nn.LazyConv2d(3, 3)), lambda: nn.Linear(2, 2).state_dict(), dict,
        lambda: [nn.Linear(2, 2)], lambda: nn.Linear, lambda: nn.Linear(2, 2).parameters(), lambda: nn.BatchNorm2d(3),
        lambda: nn.Embedding(3, 3)))()
    asked = chance.choice(({}, {}, {"chain": ["nobody"]}, {"step": "epoch 3"}, {"sample": "no sample"}))
    return Odd("refused", model, None, asked=asked)


def run(stage: Stage) -> Tally:
    """`stage.planned` networks."""
    tally, began = Tally("models", stage.planned), time.monotonic()
    chance = random.Random(stage.seed)
    for _ in range(stage.planned):
        if stage.over:
            break
        odd = draw(chance)
        tally.broken += wrong(odd)
        tally.count("refused" if odd.weights is None else odd.kind)
        tally.tried += 1
    tally.seconds = time.monotonic() - began
    return tally
