"""Batch normalisation of a layer: parameters, momentum, running statistics, and what a batch makes of them."""

from __future__ import annotations

import numpy as np
from torch import nn

from regrow.engines.conv.vectors import WIDE
from regrow.jit import kernel


class Norm:
    """Of C channels. `totals` float64 [2, C] are the sums of its inputs and of their squares over a batch."""

    PARTS = ("gamma", "beta", "gamma_buffer", "beta_buffer", "running_mean", "running_var")

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        self.gamma, self.beta, self.running_mean, self.running_var = (
            part.numpy(force=True).copy() for part in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
            if part is not None)
        self.gamma_buffer, self.beta_buffer = np.zeros_like(self.gamma), np.zeros_like(self.beta)
        self.gamma_gradient, self.beta_gradient = np.zeros_like(self.gamma), np.zeros_like(self.beta)
        self.momentum, self.epsilon = float(norm.momentum or 0), norm.eps
        channels = len(self.gamma)
        self.totals, self.mean, self.inverse = np.zeros((2, channels)), np.zeros(channels), np.zeros(channels)
        self.scale, self.shift, self.one = (np.ones((channels, WIDE), self.gamma.dtype) for _ in range(3))
        self.affine = np.zeros((2, 3, channels, WIDE), self.gamma.dtype)

    def of_batch(self, count: int) -> None:
        """Scale and shift from the totals of `count` places; the running statistics move on."""
        _of_batch(self.totals, count, self.momentum, self.running_mean, self.running_var, self.epsilon, self.mean,
                  self.inverse)
        _scale(self.gamma, self.beta, self.mean, self.inverse, self.scale, self.shift)

    def of_running(self) -> None:
        """Scale and shift from the running statistics."""
        self.mean[:] = self.running_mean
        self.inverse[:] = 1 / np.sqrt(self.running_var.astype(float) + self.epsilon)
        _scale(self.gamma, self.beta, self.mean, self.inverse, self.scale, self.shift)

    def coefficients(self, totals: np.ndarray, count: int, lanes: int) -> np.ndarray:
        """a, b and g [2, 3, C, WIDE] for `backward`, from the sums of dz and of dz * y; also the parameters' gradients.

        The second ones are 0 past `lanes` images.
        """
        _coefficients(totals, count, lanes, self.gamma, self.mean, self.inverse, self.gamma_gradient,
                      self.beta_gradient, self.affine)
        return self.affine


@kernel()
def _of_batch(totals, count, momentum, running_mean, running_var, epsilon, mean, inverse):
    for c in range(mean.shape[0]):
        mean[c] = totals[0, c] / count
        variance = max(totals[1, c] / count - mean[c] * mean[c], 0.0)
        running_mean[c] += momentum * (mean[c] - running_mean[c])
        running_var[c] += momentum * (variance * count / max(count - 1, 1) - running_var[c])
        inverse[c] = 1 / np.sqrt(variance + epsilon)


@kernel()
def _scale(gamma, beta, mean, inverse, scale, shift):
    for c in range(mean.shape[0]):
        factor = gamma[c] * inverse[c]
        scale[c] = factor
        shift[c] = beta[c] - mean[c] * factor


@kernel()
def _coefficients(totals, count, lanes, gamma, mean, inverse, gamma_gradient, beta_gradient, affine):
    for c in range(mean.shape[0]):
        total = totals[0, c]
        along = (totals[1, c] - mean[c] * total) * inverse[c]
        beta_gradient[c], gamma_gradient[c] = total, along
        a = gamma[c] * inverse[c]
        b = -a * along * inverse[c] / count
        affine[:, 0, c], affine[:, 1, c], affine[:, 2, c] = a, b, -a * total / count - b * mean[c]
    affine[1, :, :, lanes:] = 0
