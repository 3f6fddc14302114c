"""What a pruning or growth rule sees, how it is registered, and the one selection that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from regrow.choices import CHOICES


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
GROWTH: dict[str, GrowthRule] = {}


def pruning(name: str) -> Callable[[PruningRule], PruningRule]:
    """Register `rule(layer, rate) -> bool tensor` of the connections to remove, a subset of layer.mask."""

    def register(rule: PruningRule) -> PruningRule:
        PRUNING[name] = rule
        CHOICES["prune"].setdefault(name, (rule.__doc__ or name).splitlines()[0])
        return rule

    return register


def growth(name: str, *, needs: str = "") -> Callable[[GrowthScore], GrowthScore]:
    """Register `score(layer) -> tensor`; `needs` lists 'gradient' and/or 'average' if the score reads them."""

    def register(score: GrowthScore) -> GrowthScore:
        GROWTH[name] = GrowthRule(score, frozenset(needs.split()))
        CHOICES["grow"].setdefault(name, (score.__doc__ or name).splitlines()[0])
        return score

    return register


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


SAMPLE = 64  # one position in 64 is looked at to guess the threshold


def _likely(scores: Tensor, among: Tensor, n: int) -> Tensor:
    """Flat indices in rising order of positions that contain the n largest, ties at the threshold included.

    A sample gives a bound that a few more than n scores exceed; if it turns out too high, all positions are returned.
    """
    if among.numel() > 100_000 and n < among.numel() // 4:
        usable = scores.masked_fill(~among, -torch.inf).flatten()
        sample = usable[::SAMPLE]
        rank = min(len(sample), round(1.1 * n / SAMPLE + 5 * (n / SAMPLE) ** 0.5 + 5))
        bound = sample.kthvalue(len(sample) - rank + 1).values
        candidates = (usable > bound).nonzero().squeeze(1)
        if len(candidates) >= n:
            return candidates
    candidates = among.flatten().nonzero().squeeze(1)
    if n > len(candidates):
        raise ValueError(f"cannot choose {n} of {len(candidates)} positions")
    return candidates


def smallest(scores: Tensor, among: Tensor, n: int) -> Tensor:
    """As `largest`, for the n smallest scores."""
    return largest(-scores, among, n)
