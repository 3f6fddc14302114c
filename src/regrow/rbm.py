"""Restricted Boltzmann machines (Appendix D): energy, conditionals, free energy, contrastive divergence, sampling.

V visible units v (the pixels) and H hidden units h are 0 or 1, with connections between the two groups only:

    E(v, h) = -b.v - c.h - h.W v,    P(v, h) = exp(-E(v, h)) / Z            (Smolensky 1986)

The paper shows two such machines and says nothing of their sizes or training. All settings are ours: CD-1 (Hinton
2002), and what the public code of SET for Boltzmann machines has (`study.RBM`). These are pure functions of tensors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from regrow.config import RunConfig
from regrow.determinism import generator
from regrow.errors import StoreError
from regrow.record import Record

LAYER = "rbm"  # what records, masks and figures call the one weight
HIDDEN_UNITS = {"rbm-big": 1000, "rbm-small": 250}
INITIAL_STD = 1 / 20  # of the weights
# What a record keeps of a trained machine: the weights of its connections, row by row, its biases, and the first
# validation images, uint8 [9, h, w], so that figures need no data set.
FINAL = ("weight", "hidden_bias", "visible_bias", "examples")
EXAMPLES = 9
MEASURES = ("free energy, training", "free energy, validation", "reconstruction error")  # recorded every epoch


class Rbm(NamedTuple):
    """The parameters of a machine, or a gradient with respect to them."""

    weight: Tensor  # W [H, V]
    hidden_bias: Tensor  # c [H]
    visible_bias: Tensor  # b [V]


def initial(config: RunConfig, visible: int) -> Rbm:
    """Before training, on the CPU and without a mask: weights N(0, 1/400), biases 0; of config.seed alone."""
    hidden = HIDDEN_UNITS[config.model]
    weight = torch.randn(hidden, visible, generator=generator("init", config.seed)) * INITIAL_STD
    return Rbm(*(part.to(getattr(torch, config.dtype)) for part in (weight, torch.zeros(hidden), torch.zeros(visible))))


def grey(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Grey levels in [0, 1], taken as the probabilities of pixels to be 1: uint8 [B, 1, h, w] -> [B, V]."""
    return images.flatten(1).to(dtype).mul_(1 / 255)


# ------------------------------------------------------------------------------------------------- the distribution

def energy(rbm: Rbm, visible: Tensor, hidden: Tensor) -> Tensor:
    """E(v, h) = -b.v - c.h - h.W v: [..., V] and [..., H] -> [...]."""
    return -(visible @ rbm.visible_bias + hidden @ rbm.hidden_bias + (hidden * (visible @ rbm.weight.mT)).sum(-1))


def hidden_probabilities(rbm: Rbm, visible: Tensor) -> Tensor:
    """P(h_i = 1 | v) = sigmoid(c_i + sum_j W_ij v_j): [..., V] -> [..., H]."""
    return torch.sigmoid(F.linear(visible, rbm.weight, rbm.hidden_bias))


def visible_probabilities(rbm: Rbm, hidden: Tensor) -> Tensor:
    """P(v_j = 1 | h) = sigmoid(b_j + sum_i h_i W_ij): [..., H] -> [..., V]."""
    return torch.sigmoid(hidden @ rbm.weight + rbm.visible_bias)


def free_energy(rbm: Rbm, visible: Tensor) -> Tensor:
    """F(v) = -log sum_h exp(-E(v, h)) = -b.v - sum_i log(1 + exp(c_i + (W v)_i)): [..., V] -> [...].

    log P(v) = -F(v) - log Z, so differences of F on one machine are differences of log-likelihood; F of two machines
    cannot be compared, as each has a Z of its own.
    """
    return -(visible @ rbm.visible_bias) - F.softplus(F.linear(visible, rbm.weight, rbm.hidden_bias)).sum(-1)


def states(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """All 2^n states of n units, [2^n, n]."""
    return (torch.arange(2**n)[:, None] >> torch.arange(n) & 1).to(dtype)


def log_partition(rbm: Rbm) -> Tensor:
    """log Z = log sum_v exp(-F(v)), exactly, by enumeration of all visible states: for machines with V of about 20."""
    visible = states(len(rbm.visible_bias), rbm.weight.dtype)
    return torch.logsumexp(-free_energy(rbm, visible), 0)


# --------------------------------------------------------------------------------------------------------- learning

def phase_difference(data: tuple[Tensor, Tensor], model: tuple[Tensor, Tensor]) -> Rbm:
    """Gradient of the mean of -log P(v), up to how well `model` stands for the machine's own distribution.

    -log P(v) has the gradient -<h v>data + <h v>model, the positive phase against the negative one. Both come as
    (hidden [B, H], visible [B, V]), means are over the B rows, which are as many in both.
    """
    (h0, v0), (h1, v1) = data, model
    rows = len(v0)
    weight = torch.cat([h1, h0.neg()]).mT @ torch.cat([v1, v0]) / rows  # one product instead of two
    return Rbm(weight, (h1 - h0).sum(0) / rows, (v1 - v0).sum(0) / rows)


def contrastive_divergence(rbm: Rbm, visible: Tensor, uniform: Tensor) -> tuple[Rbm, Tensor]:
    """CD-1: the gradient to descend, and the reconstruction [B, V], from images [B, V] and noise in [0, 1) [B, H].

    Hidden units are *sampled* once, when they send the image back; in the statistics they are probabilities, which is
    the same on average with less noise. What comes back are the probabilities of the pixels too, not a sample of them:
    a common simplification (Hinton 2010, Section 3).
    """
    h0 = hidden_probabilities(rbm, visible)
    reconstruction = visible_probabilities(rbm, (uniform < h0).to(h0.dtype))
    h1 = hidden_probabilities(rbm, reconstruction)
    return phase_difference((h0, visible), (h1, reconstruction)), reconstruction


def gibbs_noise(config: RunConfig, step: int, images: int, device: torch.device | str = "cpu") -> Tensor:
    """The uniform numbers [images, H] of an optimizer step. A resumed run meets the same ones, on any device.

    They are drawn on the processor. From pinned memory they go to a GPU while the host goes on.
    """
    shape = images, HIDDEN_UNITS[config.model]
    pinned = torch.device(device).type == "cuda" and torch.cuda.is_available()
    drawn = torch.rand(shape, generator=generator("gibbs", config.seed, step), dtype=getattr(torch, config.dtype),
                       pin_memory=pinned)
    return drawn.to(device, non_blocking=True)


# -------------------------------------------------------------------------------------------- what a machine can do

def reconstruct(rbm: Rbm, visible: Tensor) -> Tensor:
    """An image there and back by probabilities alone, without noise: [..., V] -> [..., V]."""
    return visible_probabilities(rbm, hidden_probabilities(rbm, visible))


def reconstruction_error(rbm: Rbm, visible: Tensor) -> Tensor:
    """Mean squared difference between pixels and their reconstruction. Easy to read, but not what learning descends."""
    return F.mse_loss(reconstruct(rbm, visible), visible)


def gibbs(rbm: Rbm, visible: Tensor, at: Sequence[int], chance: torch.Generator) -> Tensor:
    """Block Gibbs sampling, h ~ P(h | v) then v ~ P(v | h), from B starts [B, V].

    Returns P(v | h) after each number of steps in `at`, which rises: [len(at), B, V]. Both groups are sampled, so the
    chain has the machine's distribution as its stationary one.
    """
    seen = []
    for step in range(1, max(at) + 1):
        hidden = torch.bernoulli(hidden_probabilities(rbm, visible), generator=chance)
        probabilities = visible_probabilities(rbm, hidden)
        visible = torch.bernoulli(probabilities, generator=chance)
        if step in at:
            seen.append(probabilities)
    return torch.stack(seen)


def estimated_log_partition(rbm: Rbm, chance: torch.Generator, *, steps: int = 1000, chains: int = 100) -> Tensor:
    """log Z of a machine too large to enumerate, by annealed importance sampling (Salakhutdinov and Murray 2008).

    `chains` samples go from a machine without weights, whose Z is known, to this one in `steps` small steps; their
    weights average to the ratio of both Z. Errors are of a few nats; too few steps rather give too small a Z.
    """
    weight, hidden_bias, visible_bias = rbm
    visible = torch.bernoulli(torch.sigmoid(visible_bias).expand(chains, -1), generator=chance)
    start = F.softplus(visible_bias).sum() + len(hidden_bias) * math.log(2)
    gained = torch.zeros(chains, dtype=torch.float64, device=weight.device)
    drive = F.linear(visible, weight, hidden_bias)  # c + W v; the machine between the two has beta times W and c
    for step in range(1, steps + 1):
        before, beta = (step - 1) / steps, step / steps
        gained += (F.softplus(beta * drive) - F.softplus(before * drive)).sum(1).double()
        hidden = torch.bernoulli(torch.sigmoid(beta * drive), generator=chance)
        visible = torch.bernoulli(torch.sigmoid(beta * (hidden @ weight) + visible_bias), generator=chance)
        drive = F.linear(visible, weight, hidden_bias)
    return start + torch.logsumexp(gained, 0) - math.log(chains)


def measures(rbm: Rbm, train: Tensor, validation: Tensor, part: int = 1000) -> dict[str, float]:
    """MEASURES of images uint8 [N, 1, h, w]: mean free energies, and the reconstruction error of the validation images.

    `train` are as many images as `validation`: how far its free energy falls below is how much the machine has
    memorised (Hinton 2010, Section 6).
    """
    sums = torch.zeros(3, dtype=torch.float64)
    for seen, held in zip(train.split(part), validation.split(part), strict=True):
        x, y = grey(seen, rbm.weight.dtype), grey(held, rbm.weight.dtype)
        sums += torch.stack([free_energy(rbm, x).sum(), free_energy(rbm, y).sum(),
                             reconstruction_error(rbm, y) * len(y)]).double().cpu()
    means = (sums / len(validation)).tolist() if len(validation) else [math.nan] * 3
    return dict(zip(MEASURES, means, strict=True))


def of_record(record: Record) -> Rbm:
    """The trained machine of a record, dense and in its precision. Raises StoreError if the record has none."""
    if not record.final:
        raise StoreError(f"The record {record.key} holds no trained machine: only those of Boltzmann machines do.")
    weights, *biases = (torch.from_numpy(record.final[name]) for name in FINAL[:3])
    mask = torch.from_numpy(record.masks(len(record.moment_steps) - 1)[LAYER])
    return Rbm(torch.zeros(mask.shape, dtype=weights.dtype).masked_scatter_(mask, weights), *biases)


def examples_of(record: Record) -> Tensor:
    """Images that the machine was not trained on, as grey levels [9, V] in its precision."""
    weights, images = (torch.from_numpy(record.final[name]) for name in ("weight", "examples"))
    return grey(images, weights.dtype)
