"""Diagonal Gaussians and likelihoods, in nats: what variational autoencoders share."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def sampled(mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """z ~ N(mean, e^log_var) from standard normal noise: mean + std · noise."""
    return mean + (log_var / 2).exp() * noise


def divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, e^log_var) ‖ N(0, I)) = ½Σ(mean² + e^log_var - 1 - log_var), summed over the last axis.

    >>> import torch
    >>> divergence(torch.ones(1, 2), torch.zeros(1, 2))
    tensor([1.])
    """
    return (mean.square() + log_var.exp() - 1 - log_var).sum(-1) / 2


def prior_over_posterior(z: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """log p(z) - log q(z|x) at z = `sampled(mean, log_var, noise)`, p standard normal, summed over the last axis.

    Beside log p(x|z) it is the logarithm of an importance weight (Burda, Grosse & Salakhutdinov, 2016).
    """
    # The normalising constants of prior and posterior cancel.
    return (noise.square() + log_var - z.square()).sum(-1) / 2


def bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    """log p(x|z) of pixels x = ±1, summed over the last three axes: log σ(x · logit)."""
    return logsigmoid(x * logits).sum((-3, -2, -1))
