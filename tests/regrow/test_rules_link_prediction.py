"""The rule L3 against counting paths one by one."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch

from regrow.config import RunConfig
from regrow.rules import LayerState, l3_score
from regrow.topology import rewire


def state(mask: torch.Tensor) -> LayerState:
    return LayerState(torch.randn(mask.shape, dtype=torch.float64), mask, torch.Generator().manual_seed(0))


def test_scores_are_weighted_counts_of_paths() -> None:
    torch.manual_seed(1)
    mask = torch.rand(6, 9) < 0.4
    scores, out_degree, in_degree = l3_score(state(mask)), mask.sum(0), mask.sum(1)
    for v, u in product(range(6), range(9)):
        paths = sum((1 / (in_degree[z1] * out_degree[z2]).sqrt()).item() for z1, z2 in product(range(6), range(9))
                    if mask[z1, u] and mask[z1, z2] and mask[v, z2])
        assert scores[v, u].item() == pytest.approx(paths)


def test_it_grows_inside_communities() -> None:
    block = torch.zeros(8, 8, dtype=torch.bool)
    block[:4, :4] = block[4:, 4:] = True
    block[0, 0] = block[5, 5] = False
    grown = rewire(state(block), rate=0.0, prune="magnitude", grow="l3").grown
    assert not grown.any()
    best = l3_score(state(block)).masked_fill(block, -1.0).flatten().topk(2).indices.tolist()
    assert sorted(best) == [0, 5 * 8 + 5]


def test_filters_keep_their_shape_and_configs_know_the_rule() -> None:
    mask = torch.rand(4, 3, 3, 3) < 0.5
    step = rewire(state(mask), rate=0.3, prune="magnitude", grow="l3")
    assert step.mask.shape == mask.shape and step.mask.sum() == mask.sum()
    assert RunConfig(grow="l3").method == "l3"


def test_paths_over_a_link_that_was_just_pruned_do_not_count() -> None:
    torch.manual_seed(2)
    different = 0
    for _ in range(5):
        before = state(torch.rand(6, 9) < 0.4)
        step = rewire(before, rate=0.4, prune="magnitude", grow="l3")
        kept = before.mask & ~step.pruned
        scores, old_scores = (l3_score(replace(before, mask=mask)) for mask in (kept, before.mask))
        assert step.pruned.any() and scores[step.grown].min() >= scores[~kept & ~step.grown].max()
        different += int(old_scores[step.grown].min() < old_scores[~kept & ~step.grown].max())
    assert different, "otherwise this would say nothing"
