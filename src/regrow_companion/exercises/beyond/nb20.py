"""Exercises of notebook 20: your network, your rule."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune

from regrow import data
from regrow.tails.goodness import Goodness, goodness_of_fit
from regrow_companion.exercises import Exercise, Slip
from regrow_companion.exercises.grading import number
from regrow_companion.session import Session
from regrow_companion.watching.observation import Observation, observe

CHANNELS, FILTERS, GROUPS = 16, 32, 4


@cache
def watched() -> Observation:
    """The notebook's loop: a small dense network that is pruned after each of six epochs."""
    images = data.load("fashion_mnist_small", image_format="native", train_limit=3000)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # as in the notebook
        layers = nn.Linear(784, 100), nn.Linear(100, 50), nn.Linear(50, 10)
    model = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    weights = [(layer, "weight") for layer in layers]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = observe(model)
    for epoch in range(1, 7):
        for x, y in data.batches(images, batch_size=50, seed=0, epoch=epoch):
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        prune.global_unstructured(weights, prune.L1Unstructured, amount=0.4)
        watch(epoch)
    return watch


def thin_layer() -> Tensor:
    """A mask of 50 neurons and 80 senders, 2 per cent full."""
    return torch.rand(50, 80, generator=torch.Generator().manual_seed(0)) < 0.02


def no_path(book: Session, of_empty: bool = True) -> float:
    """The share of its empty positions, or of all, that no path of length three reaches."""
    mask = thin_layer().double()
    unreached = mask @ mask.T @ mask == 0
    return float(unreached.sum() / ((mask == 0).sum() if of_empty else mask.numel()))


def incoming(book: Session) -> int:
    """Connections into one output channel of a full convolution in groups."""
    return nn.Conv2d(CHANNELS, FILTERS, 3, groups=GROUPS).weight[0].numel()


def tail_test(book: Session) -> Goodness:
    """The power law of the watched network's tail at the last look, tested."""
    return goodness_of_fit(watched().pooled()[-1], watched().tail(), n_sets=200, key=("notebook 20", "all", 6))


EXERCISES = {
    "1": Exercise("a whole number of connections", incoming, number(rel=0), (
        Slip("In a convolution with groups a channel sees only the input channels of its own group.",
             lambda book: CHANNELS * 9),
        Slip("These are the channels it sees. Each has nine positions of the kernel.", lambda book: CHANNELS // GROUPS),
        Slip("These are the outgoing connections of an input channel.", lambda book: FILTERS // GROUPS * 9))),
    "2": Exercise("a number between 0 and 1, the p of the test", lambda book: tail_test(book).p,
                  number(rel=0, within=0.03), (
        Slip("p is the share of synthetic samples that lie at least as far from their fit as the data, not less far.",
             lambda book: 1 - tail_test(book).p),
        Slip("This is the distance D.", lambda book: tail_test(book).D))),
    "3": Exercise("a share of the empty positions, between 0 and 1", no_path, number(rel=0.003, share=True), (
        Slip("This is the share of all positions. Where there is a connection already, none can grow.",
             lambda book: no_path(book, of_empty=False)),)),
}
