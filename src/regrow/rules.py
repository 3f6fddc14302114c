"""What a pruning or growth rule sees, how it is registered, and the one selection that all of them share."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from regrow.choices import CHOICES, FINGERPRINTS
from regrow.errors import ConfigError


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
