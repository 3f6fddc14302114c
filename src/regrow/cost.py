"""How much work a run is, counted and not guessed: multiply-adds of a dense forward pass, and optimizer steps."""

from __future__ import annotations

from functools import cache
from math import ceil, prod

import torch
from torch import nn

from regrow import models, rbm
from regrow.config import RunConfig
from regrow.datasets import known


def image_shape(config: RunConfig) -> tuple[int, int, int]:
    """(C, H, W) as the network sees the images."""
    return (3, 32, 32) if config.image_format == "rgb32" else known(config.dataset).shape


def train_images(config: RunConfig) -> int:
    """Training images after the validation split and train_limit."""
    n = known(config.dataset).train
    return min(n, config.train_limit) if config.train_limit else n


def total_steps(config: RunConfig) -> int:
    """Optimizer steps of the whole run."""
    return config.epochs * ceil(train_images(config) / config.batch_size)


def evaluated_images(config: RunConfig) -> int:
    """Images that are looked at after every epoch: validation and test; for a Boltzmann machine validation alone."""
    facts = known(config.dataset)
    return facts.validation if config.is_rbm else facts.validation + facts.test


@cache
def _forward(config: RunConfig) -> int:
    model = models.outline(config, known(config.dataset).classes, image_shape(config))
    total = 0

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        total += weight.numel() * output[0, 0].numel()  # a linear layer's output has one position

    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(count)
    model.eval()(torch.empty(1, *image_shape(config), device="meta"))
    return total


def multiply_adds(config: RunConfig) -> float:
    """Multiply-adds of training the run with masked-dense matrices: forward, and twice that backward.

    An RBM's step is five such products: to hidden and back, to hidden again, and the statistics of both phases.
    """
    if config.is_rbm:
        weights = rbm.HIDDEN_UNITS[config.model] * prod(image_shape(config))
        return 5.0 * weights * config.epochs * train_images(config)
    network = RunConfig(model=config.model, dataset=config.dataset, image_format=config.image_format,
                        hidden=config.hidden, stem=config.stem, padding=config.padding)
    return 3.0 * _forward(network) * config.epochs * train_images(config)
