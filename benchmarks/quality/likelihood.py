"""Estimates of log p(x) in nats from weighted draws of z, each with its error and its effective number of draws."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor


class Estimate(NamedTuple):
    """What weighted draws say of every datum.

    Args:
        log: log mean_k w_k, which is log p(x) or below it in mean, (n,).
        variance: of that by chance, to first order: Var w / (K (E w)²), (n,); nan of a single draw.
        ess: the effective number of draws, (Σ w)² / Σ w², from 1 to K, (n,).
    """

    log: Tensor
    variance: Tensor
    ess: Tensor

    @property
    def nll(self) -> float:
        """The mean of -log p(x), or a bound above it in mean."""
        return -float(self.log.mean())

    @property
    def error(self) -> float:
        """The standard error of `nll` by the chance of the draws, given the data."""
        return math.sqrt(float(self.variance.sum())) / len(self.log)


def estimate(log_weights: Tensor) -> Estimate:
    """The estimate from the logarithms of weights with E w = p(x), (draws, n), in double precision.

    w = p(x, z) / q(z|x), z ~ q(z|x), is importance sampling (Burda, Grosse & Salakhutdinov, 2016); w = p(x|z),
    z ~ p(z), is plain Monte Carlo.

    Raises:
        ValueError: there are no draws.

    Example:
        >>> import torch
        >>> found = estimate(torch.tensor([[1.0], [1.0], [1.0], [1.0]]).log())
        >>> found.nll, found.error, float(found.ess)
        (-0.0, 0.0, 4.0)
    """
    draws = whole(len(log_weights))
    log_weights = log_weights.double()
    log = log_weights.logsumexp(0) - math.log(draws)
    shares = log_weights.softmax(0)
    ess = 1 / shares.square().sum(0)
    if draws == 1:
        return Estimate(log, log * math.nan, ess)
    # Σ (w/Σw)² = 1/ess, and Var w / (E w)² = K Σ(share - 1/K)² K/(K - 1); the difference of squares would cancel.
    variance = (shares - 1 / draws).square().sum(0) * draws / (draws - 1)
    return Estimate(log, variance, ess)


def whole(draws: int) -> int:
    """The number of draws, if there are any.

    Raises:
        ValueError: there are none.
    """
    if draws < 1:
        raise ValueError(f"draws = {draws}: a likelihood is estimated from at least one draw of z.")
    return draws
