"""Every pruning and growth rule (Sections 4.3.2 and 4.3.3, Appendix A), and the one selection that all of them share.

A rule of one's own is a decorated function like these, in a file that REGROW_RULES names. Pruning ranks what exists:
ranking all positions, as Eq. 6 is printed, would prune nothing at 95 % sparsity, since more than half of all
weights are zero. Growth is a score for every position; RigL differs from SET by one line, SNFS by another.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import math
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from regrow.config import CHOICES, FINGERPRINTS, OWN, OWN_RULES
from regrow.errors import ConfigError, RegrowError


@dataclass(frozen=True)
class LayerState:
    """One layer at a topology update. All tensors have the weight's shape."""

    weight: Tensor
    mask: Tensor  # bool, True where a connection is
    generator: torch.Generator  # for rules that draw
    gradient: Tensor | None = None  # dE/dTheta at every position, connected or not (Eq. 9)
    average: Tensor | None = None  # its running average v (Eq. 10)


PruningRule = Callable[[LayerState, float], Tensor]
GrowthScore = Callable[[LayerState], Tensor]


@dataclass(frozen=True)
class GrowthRule:
    """A score for every position; the highest ones grow. `needs` names the dense tensors that it reads."""

    score: GrowthScore
    needs: frozenset[str]


PRUNING: dict[str, PruningRule] = {}
ELEMENTWISE: set[str] = set()  # pruning rules that look at weights alone, not at where they are
GROWTH: dict[str, GrowthRule] = {}


def pruning(name: str, *, elementwise: bool = False) -> Callable[[PruningRule], PruningRule]:
    """Register `rule(layer, rate) -> bool tensor` of the connections to remove, a subset of layer.mask.

    A rule that is `elementwise` depends on the weights of the connections alone; it is called with those weights in a
    row, which is faster.
    """

    def register(rule: PruningRule) -> PruningRule:
        _check_name("prune", name, rule, PRUNING.get(name))
        PRUNING[name] = rule
        ELEMENTWISE.discard(name)
        if elementwise:
            ELEMENTWISE.add(name)
        CHOICES["prune"].setdefault(name, (rule.__doc__ or name).splitlines()[0])
        return rule

    return register


def growth(name: str, *, needs: str = "") -> Callable[[GrowthScore], GrowthScore]:
    """Register `score(layer) -> tensor`; `needs` lists 'gradient' and/or 'average' if the score reads them."""

    def register(score: GrowthScore) -> GrowthScore:
        _check_name("grow", name, score, GROWTH[name].score if name in GROWTH else None)
        GROWTH[name] = GrowthRule(score, frozenset(needs.split()))
        CHOICES["grow"].setdefault(name, (score.__doc__ or name).splitlines()[0])
        return score

    return register


def _check_name(kind: str, name: str, rule: Callable[..., Tensor], present: Callable[..., Tensor] | None) -> None:
    """Refuse names that a config cannot hold or that are ours; take the fingerprint of a rule that is not ours."""
    if not re.fullmatch(r"\w[^>=]*", name) or not name.isprintable() or name == "none":
        raise ConfigError(f"A rule cannot be called {name!r}: use letters, digits, - and _.")
    if _is_ours(rule):
        return
    if present is not None and _is_ours(present):
        raise ConfigError(f"There is a built-in rule {name!r} already; give yours another name.")
    try:
        code = inspect.getsource(rule).encode()
    except (OSError, TypeError):  # typed at a prompt
        code = rule.__code__.co_code
    FINGERPRINTS[f"{kind} {name}"] = hashlib.sha256(code).hexdigest()[:16]


def _is_ours(rule: Callable[..., Tensor]) -> bool:
    return (rule.__module__ or "").startswith("regrow.")


def largest(scores: Tensor, among: Tensor, n: int) -> Tensor:
    """Boolean tensor of exactly n positions: the largest `scores` where `among` is True.

    Equal scores: the lower flat index wins, so the choice is deterministic. NaN counts as the smallest score.
    Selection, not sorting: linear in the number of positions. Raises ValueError if there are fewer than n.
    """
    chosen = torch.zeros_like(among).flatten()
    if n > 0:
        candidates = _likely(scores, among, n)
        values = scores.flatten()[candidates].nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
        threshold = values.kthvalue(len(values) - n + 1).values
        above = candidates[values > threshold]
        tied = candidates[values == threshold][: n - len(above)]
        chosen[above] = True
        chosen[tied] = True
    return chosen.reshape(among.shape)


SAMPLE = 61  # one position in 61 is looked at to guess the threshold; a prime, so that it meets every row and column


def _likely(scores: Tensor, among: Tensor, n: int) -> Tensor:
    """Flat indices in rising order of positions that contain the n largest, ties at the threshold included.

    A sample gives a bound that a few more than n scores exceed; if it turns out too high, all positions are returned.
    """
    if among.numel() > 100_000 and n < among.numel() // 4:
        values, allowed = scores.flatten(), among.flatten()
        sample = values[::SAMPLE][allowed[::SAMPLE]]
        rank = round(1.1 * n / SAMPLE + 5 * (n / SAMPLE) ** 0.5 + 5)
        if rank <= len(sample):
            bound = sample.kthvalue(len(sample) - rank + 1).values
            candidates = positions((values > bound).logical_and_(allowed))
            if len(candidates) >= n:
                return candidates
    candidates = positions(among)
    if n > len(candidates):
        raise ValueError(f"cannot choose {n} of {len(candidates)} positions")
    return candidates


def positions(mask: Tensor) -> Tensor:
    """Flat indices where a boolean tensor is True, rising."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))  # several times faster than torch's nonzero there
    return mask.flatten().nonzero().squeeze(1)


def count(mask: Tensor) -> int:
    """How many positions of a boolean tensor are True."""
    if mask.device.type == "cpu":
        return int(np.count_nonzero(mask.numpy()))  # adding up booleans as numbers takes twenty times as long
    return int(mask.sum())


def smallest(scores: Tensor, among: Tensor, n: int) -> Tensor:
    """As `largest`, for the n smallest scores."""
    return largest(-scores, among, n)


@pruning("magnitude", elementwise=True)
def prune_magnitude(layer: LayerState, rate: float) -> Tensor:
    """The round(rate * active) connections with the smallest |weight| (Eqs. 6 and 7)."""
    return smallest(layer.weight.abs(), layer.mask, round(rate * count(layer.mask)))


@pruning("set", elementwise=True)
def prune_set(layer: LayerState, rate: float) -> Tensor:
    """SET: of the positive and of the negative weights each, the fraction `rate` nearest zero.

    Weights that are exactly 0 are counted with the positive ones.
    """
    negative = layer.mask & (layer.weight < 0)
    positive = layer.mask & ~negative
    size = layer.weight.abs()
    return (smallest(size, positive, round(rate * count(positive)))
            | smallest(size, negative, round(rate * count(negative))))


@pruning("set_legacy", elementwise=True)
def prune_set_legacy(layer: LayerState, rate: float) -> Tensor:
    """SET as a widespread bug has it: the negative weights are sorted the wrong way.

    Of the positive weights the k = ceil(rate * active / 2) smallest go, as intended; of the negative ones all go but
    the k - 1 most negative. About half of all connections are removed, whatever the rate is. A rate of 0 removes none.
    """
    to_remove = math.ceil(rate * count(layer.mask))
    if to_remove == 0:
        return torch.zeros_like(layer.mask)
    k = math.ceil(to_remove / 2)
    negative = layer.mask & (layer.weight < 0)
    positive = layer.mask & ~negative
    kept = smallest(layer.weight, negative, min(k - 1, count(negative)))
    return smallest(layer.weight, positive, min(k, count(positive))) | (negative & ~kept)


@pruning("random", elementwise=True)
def prune_random(layer: LayerState, rate: float) -> Tensor:
    """round(rate * active) connections drawn uniformly."""
    scores = torch.rand(layer.mask.shape, generator=layer.generator, device=layer.mask.device)
    return smallest(scores, layer.mask, round(rate * count(layer.mask)))


@growth("random")
def random_score(layer: LayerState) -> Tensor:
    """Any inactive position, all alike (Eq. 8; SET)."""
    return torch.rand(layer.mask.shape, generator=layer.generator, device=layer.mask.device)


@growth("gradient", needs="gradient")
def gradient_score(layer: LayerState) -> Tensor:
    """The magnitude of the loss's gradient at the position (Eq. 9; RigL)."""
    assert layer.gradient is not None
    return layer.gradient.abs()


@growth("momentum", needs="average")
def momentum_score(layer: LayerState) -> Tensor:
    """The magnitude of the running average of that gradient (Eqs. 10 and 11; SNFS)."""
    assert layer.average is not None
    return layer.average.abs()


@growth("l3")
def l3_score(layer: LayerState) -> Tensor:
    """The number of paths of length three between the two ends, each over the root of its inner degrees' product.

    Kovacs et al., "Network-based prediction of protein interactions" (2019); RA-L3 in the Cannistraci-Hebb family of
    link predictors, with which Zhang et al. (ICLR 2024) grow sparse networks. It reads the mask alone: no gradient, no
    chance. Equal scores go to the lower index, as everywhere.
    """
    mask = layer.mask.flatten(1).to(layer.weight.dtype)  # every position of a filter is an input of its own
    outputs, inputs = (mask.sum(axis).clamp(min=1).rsqrt() for axis in (1, 0))  # of the degrees
    return ((mask * inputs) @ (mask * outputs[:, None]).T @ mask).reshape(layer.mask.shape)


_loaded: set[Path] = set()


def load_own() -> None:
    """Run the files that REGROW_RULES names, separated as in PATH, once in a process.

    What they register with @regrow.growth and @regrow.pruning joins the studies: every figure and table that compares
    strategies, in every profile that trains. The whole file counts as the rules' code, so a change makes new runs and
    never reuses old ones. The variable reaches worker processes and kernels by itself. Raises ConfigError for a file
    that is missing, fails, or registers nothing.
    """
    for word in filter(None, os.environ.get(OWN_RULES, "").split(os.pathsep)):
        path = Path(word).expanduser().resolve()
        if path in _loaded:
            continue
        _loaded.add(path)
        try:
            _run_own(path)
        except BaseException:
            _loaded.discard(path)
            raise


def _run_own(path: Path) -> None:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise ConfigError(f"{OWN_RULES} names {path}, which cannot be read ({error.strerror}): mend or unset "
                          "it.") from None
    before = {kind: set(CHOICES[kind]) for kind in OWN}
    name = f"regrow_rules_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{OWN_RULES} names {path}, which is not a Python file.")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except RegrowError:
        raise
    except Exception as error:
        raise ConfigError(f"{path}, named by {OWN_RULES}, fails: {type(error).__name__}: {error}.") from error
    new = {kind: [rule for rule in CHOICES[kind] if rule not in before[kind]] for kind in OWN}
    if not any(new.values()):
        raise ConfigError(f"{path}, named by {OWN_RULES}, registers no rule: add @regrow.growth(\"name\") or "
                          "@regrow.pruning(\"name\") to a function.")
    for kind, rules in new.items():
        OWN[kind] += rules
        FINGERPRINTS.update({f"{kind} {rule}": digest for rule in rules})


load_own()  # after the built-in rules, which own ones must not replace; whoever knows the one knows the other
