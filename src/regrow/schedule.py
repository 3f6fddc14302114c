"""What depends on the step: prune rate, growth rule, learning rate, and when the topology is updated or kept.

Steps are counted from 1: step t is the t-th optimizer step, T = total steps. All functions are pure.
"""

from __future__ import annotations

import math

from regrow.config import RunConfig, Strategy

# The paper looks at the wiring before training and after 2, 75, 150, 225 and 300 of 300 epochs (Figs 5, 8, 19).
MOMENTS = (0.0, 2 / 300, 0.25, 0.5, 0.75, 1.0)


def update_steps(config: Strategy, total_steps: int) -> list[int]:
    """The steps after which the topology is rewired: every `update_interval`, the last step included if it is one.

    For CIFAR-10 and 300 epochs: 105,600 / 400 = 264 updates.
    """
    if not config.is_dynamic:
        return []
    last = math.floor(config.update_until * total_steps + 1e-9)
    return list(range(config.update_interval, last + 1, config.update_interval))


def prune_rate(config: Strategy, step: int, total_steps: int) -> float:
    """p(t), Eq. 5, with T the end of the updates (of training, unless update_until is below 1)."""
    progress = min(1.0, step / (config.update_until * total_steps))
    if config.prune_schedule == "cosine":
        return config.prune_rate * (1 + math.cos(math.pi * progress)) / 2
    return config.prune_rate * (1 - progress if config.prune_schedule == "linear" else 1)


def growth_rule(config: Strategy, step: int, total_steps: int) -> str:
    """The growth rule in force at a step: the second one once `switch_at` of training is over (Appendix E)."""
    first, second = config.grow_phases
    return first if step <= config.switch_at * total_steps + 1e-9 else second


def learning_rate(config: RunConfig, epoch: int) -> float:
    """Multi-step learning rate of an epoch counted from 0 (Section 5.1): a tenth from 50 % and from 75 % on."""
    drops = sum(epoch >= milestone * config.epochs - 1e-9 for milestone in config.lr_milestones)
    return config.lr * config.lr_decay**drops


def moment_steps(config: RunConfig, total_steps: int) -> list[int]:
    """The six steps whose masks are kept: before training, then the paper's five moments.

    In a short run the paper's "2 of 300 epochs" would come before the first update; it is then that update, if
    a quarter of the run is not over before it.
    """
    steps = [0, *(max(1, round(fraction * total_steps)) for fraction in MOMENTS[1:])]
    updates = update_steps(config, total_steps)
    if updates:
        steps[1] = min(max(steps[1], updates[0]), steps[2])
    return [min(step, total_steps) for step in steps]
