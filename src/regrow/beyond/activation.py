"""How active neurons are, and how large the gradients that reach them, in a network given by weights and masks.

Sokar et al. (ICML 2023, "The Dormant Neuron Phenomenon in Deep Reinforcement Learning") score a neuron by its mean
absolute activation over the mean of its layer, and call it dormant where the score is tau or less.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F

from regrow.data import Dataset, ImageSet, normalise
from regrow.record import Array

IMAGES = 2000  # the first so many validation images for activations, training images for gradients; none augmented
TAUS = (0.0, 0.025, 0.1)  # 0: never active; the others are the range that Sokar et al. look at
# Of each hidden neuron: mean |h| and standard deviation of h over images; root mean square of dE/dTheta over all places
# of its row of weights and over the connections it has; its connections below and above.
MEASURES = ("activation", "spread", "gradient", "update", "in_degree", "out_degree")


def scores(activations: ArrayLike) -> NDArray[np.float64]:
    """Mean |h| of each neuron [..., n] over the mean of its layer; 0 everywhere in a layer that is silent."""
    mean = np.asarray(activations, dtype=float)
    layer = mean.mean(axis=-1, keepdims=True)
    return np.divide(mean, layer, out=np.zeros_like(mean), where=layer > 0)


def forward(x: Tensor, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """Activations [images, n] of every hidden ReLU layer, named by the layer that feeds it, and logits."""
    hidden: dict[str, Tensor] = {}
    for name, weight in weights.items():
        x = F.linear(x, weight, biases[name])
        if len(hidden) < len(weights) - 1:
            x = hidden[name] = x.relu()
    return hidden, x


def measure(weights: Mapping[str, Tensor], biases: Mapping[str, Tensor], masks: Mapping[str, Tensor],
            dataset: Dataset, images: int = IMAGES) -> dict[str, Array]:
    """MEASURES of every hidden neuron: "fc1/activation" and so on, float32 [n_out].

    `weights` are dense with 0 where there is no connection; `masks` say where there is one.
    """
    names = list(weights)
    with torch.no_grad():
        hidden, _ = forward(_inputs(dataset.validation, dataset, images, weights), weights, biases)
    gradients = _gradients(dataset, images, weights, biases)
    found: dict[str, Tensor] = {}
    for name, above in pairwise(names):
        squares, mask = gradients[name].square(), masks[name]
        degree = mask.sum(1)
        found |= {f"{name}/activation": hidden[name].abs().mean(0), f"{name}/spread": hidden[name].std(0, correction=0),
                  f"{name}/gradient": squares.mean(1).sqrt(),
                  f"{name}/update": ((squares * mask).sum(1) / degree.clamp(min=1)).sqrt(),
                  f"{name}/in_degree": degree, f"{name}/out_degree": masks[above].sum(0)}
    return {name: values.numpy().astype(np.float32) for name, values in found.items()}


def _gradients(dataset: Dataset, images: int, weights: Mapping[str, Tensor],
               biases: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """dE/dTheta at every place, connected or not, on the first training images as they are."""
    leaves = {name: weight.detach().clone().requires_grad_() for name, weight in weights.items()}
    _, logits = forward(_inputs(dataset.train, dataset, images, weights), leaves, biases)
    found = torch.autograd.grad(F.cross_entropy(logits, dataset.train.labels[:images]), list(leaves.values()))
    return dict(zip(leaves, found, strict=True))


def _inputs(of: ImageSet, dataset: Dataset, images: int, weights: Mapping[str, Tensor]) -> Tensor:
    dtype = next(iter(weights.values())).dtype
    return normalise(of.images[:images], dataset, dtype).flatten(1)
