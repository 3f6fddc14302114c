"""What `regrow.sparsify` adds to a step of somebody's loop, and what an update costs beside 100 steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.table import Table
from bench.timing import interleaved
from regrow import models
from regrow.sparsification import SparseTraining, sparsify
from regrow_companion.section8.nb25_anybody import resnet18

COLUMNS = ("network", "growth", "weights", "by_hand_ms", "by_hand_ms_q1", "by_hand_ms_q3", "sparsify_ms",
           "sparsify_ms_q1", "sparsify_ms_q3", "times_by_hand", "update_ms", "update_percent", "repeats")
SIZES: dict[str, dict[str, int]] = {"tiny": {"rounds": 2, "calls": 1, "batch": 2},
                                    "full": {"rounds": 11, "calls": 2, "batch": 32}}
GROWTH = ("random", "gradient", "momentum")
INTERVAL, BETA, DENSITY = 100, 0.9, 0.1


def run(size: str) -> Table:
    """The paper's MLP and ResNet-18 on images of 3 x 32 x 32, where a step computes least for each weight."""
    hidden = (1024, 512) if size == "full" else (32, 16)
    networks: dict[str, Callable[[], nn.Module]] = {"mlp": lambda: models.mlp((3072, *hidden, 10)),
                                                    "resnet18": lambda: resnet18(3)}
    rows = [_row(name, make, growth, **SIZES[size]) for name, make in networks.items() for growth in GROWTH]
    return Table("sparsify", f"ms per step and update, density {DENSITY}, one thread", COLUMNS, rows, {
        "dearest step, times the one by hand": max(row["times_by_hand"] for row in rows),
        "dearest update of ResNet-18, percent of 100 steps":
            max(row["update_percent"] for row in rows if row["network"] == "resnet18"),
    }, ("by hand: gradients and weights times their masks around optimizer.step(); for momentum a running average of "
        "gradients too; no update, no check.",
        "update: copies of the dense gradient where it is read, and the first rewiring, of half of all connections."))


class ByHand:
    """The loop that people write: fixed masks around a step of SGD, and the average that momentum growth would rank."""

    def __init__(self, model: nn.Module, masks: dict[str, Tensor], growth: str) -> None:
        weights = models.maskable(model)
        self.model, self.optimizer = model, sgd(model)
        self.weights: list[Tensor] = list(weights.values())
        self.masks = [masks[name].to(torch.float32) for name in weights]
        with torch.no_grad():
            torch._foreach_mul_(self.weights, self.masks)
        self.averages = [torch.zeros_like(weight) for weight in self.weights] if growth == "momentum" else []

    def step(self, images: Tensor, labels: Tensor) -> None:
        passes(self.model, images, labels)
        gradients = [weight.grad for weight in self.weights if weight.grad is not None]
        with torch.no_grad():
            if self.averages:
                torch._foreach_lerp_(self.averages, gradients, 1 - BETA)
            torch._foreach_mul_(gradients, self.masks)
            self.optimizer.step()
            torch._foreach_mul_(self.weights, self.masks)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)


def passes(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    model.zero_grad()
    cross_entropy(model(images), labels).backward()


def pair(make: Callable[[], nn.Module], growth: str) -> tuple[ByHand, nn.Module, SparseTraining, torch.optim.Optimizer]:
    """The same network twice, with the same masks: by hand and with sparsify."""
    torch.manual_seed(0)
    ours = make()
    theirs = make()
    theirs.load_state_dict(ours.state_dict())
    optimizer = sgd(ours)
    sparse = sparsify(ours, optimizer, density=DENSITY, grow=growth, growth_beta=BETA, update_interval=INTERVAL,
                      total_steps=10**6)
    return ByHand(theirs, dict(sparse.masks), growth), ours, sparse, optimizer


def _row(name: str, make: Callable[[], nn.Module], growth: str, rounds: int, calls: int, batch: int) -> dict[str, Any]:
    by_hand, model, sparse, optimizer = pair(make, growth)
    chance = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, 32, 32, generator=chance)
    labels = torch.randint(10, (batch,), generator=chance)

    def with_sparsify() -> None:
        passes(model, images, labels)
        sparse.step()

    times = interleaved({"hand": lambda: by_hand.step(images, labels), "ours": with_sparsify}, rounds=rounds,
                        calls=calls)
    assert sparse.step_count < INTERVAL, "updates are timed apart"
    masked = sparse._masked

    def update() -> None:
        masked.keep_gradients(INTERVAL)
        masked.update(INTERVAL)

    rewiring = interleaved({"update": update}, rounds=min(3, rounds), warm_up=0,
                           prepare=lambda: passes(model, images, labels))["update"].median
    hand, ours = times["hand"].columns(), times["ours"].columns()
    del optimizer  # it had to live until here
    return {"network": name, "growth": growth, "weights": sum(mask.numel() for mask in sparse.masks.values()),
            "by_hand_ms": hand["ms"], "by_hand_ms_q1": hand["ms_q1"], "by_hand_ms_q3": hand["ms_q3"],
            "sparsify_ms": ours["ms"], "sparsify_ms_q1": ours["ms_q1"], "sparsify_ms_q3": ours["ms_q3"],
            "times_by_hand": ours["ms"] / hand["ms"], "update_ms": 1e3 * rewiring,
            "update_percent": 1e5 * rewiring / (100 * ours["ms"]), "repeats": rounds}
