"""Diagonal Gaussians and likelihoods, in nats: what variational autoencoders share."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

LOG_2PI = math.log(2 * math.pi)


class Gaussian(NamedTuple):
    """N(mean, diag e^log_var) over the last axis; shapes broadcast.

    >>> q = Gaussian(torch.ones(1, 2), torch.zeros(1, 2))
    >>> q.divergence(STANDARD).sum(-1)
    tensor([1.])
    """

    mean: Tensor
    log_var: Tensor

    def at(self, noise: Tensor) -> Tensor:
        """Mean + std · noise, a draw where the noise is standard normal."""
        return sampled(self.mean, self.log_var, noise)

    def log(self, z: Tensor) -> Tensor:
        """The log density at z, summed over the last axis."""
        # In this order, as the sum of a number and a zero of single precision would be rounded to that.
        return -((z - self.mean).square() * (-self.log_var).exp() + self.log_var + LOG_2PI).sum(-1) / 2

    def divergence(self, other: Gaussian) -> Tensor:
        """KL(self ‖ other) of each dimension: ½[log(s_p²/s_q²) + (s_q² + (m_q - m_p)²)/s_p² - 1]."""
        ratio = self.log_var - other.log_var
        return (ratio.exp() + (self.mean - other.mean).square() * (-other.log_var).exp() - 1 - ratio) / 2

    def repeated(self, times: int) -> Gaussian:
        """The same for so many draws of the batch, one behind the other; one for all rows stays so."""
        return Gaussian(*(each.repeat(times, 1) if each.ndim else each for each in self))


STANDARD = Gaussian(torch.zeros(()), torch.zeros(()))
"""N(0, I) in as many dimensions as need be, of any dtype and on any device."""


def sampled(mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """z ~ N(mean, e^log_var) from standard normal noise: mean + std · noise."""
    return mean + (log_var / 2).exp() * noise


def divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, e^log_var) ‖ N(0, I)) = ½Σ(mean² + e^log_var - 1 - log_var), summed over the last axis.

    >>> divergence(torch.ones(1, 2), torch.zeros(1, 2))
    tensor([1.])
    """
    return (mean.square() + log_var.exp() - 1 - log_var).sum(-1) / 2


def bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x|z) of pixels x = ±1, (batch, ...), summed over all axes but the first: log σ(x · logit)."""
    return logsigmoid(x * logits).flatten(1).sum(1)
