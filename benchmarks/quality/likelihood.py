"""Estimates of log p(x) in nats from weighted draws of z, each with its error and its effective number of draws."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

STEEP = 4.0  # how far out on the sigmoid the temperatures start and end
FIRST, LEAST, MOST = 0.1, 1e-4, 1.0  # sizes of a leap
ACCEPTED, GROWTH = 0.65, 1.1


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


def annealed(
    log_likelihood: Callable[[Tensor], Tensor],
    start: Tensor,
    stream: torch.Generator,
    temperatures: int,
    leaps: int = 8,
) -> Tensor:
    """Log weights with E w = p(x) by annealed importance sampling from z ~ N(0, I) to p(z|x): (chains, n).

    Along N(0, I) p(x|z)^β, β from 0 to 1 on a sigmoid, a chain takes a step of Hamiltonian Monte Carlo at each β. The
    sizes of the leaps are found by chains of their own, whose draws are not used: sizes that depend on a chain's own
    past would bias its weight.

    Args:
        log_likelihood: log p(x|z) in nats, from z (chains, n, latent) to (chains, n); differentiable. Where the prior
            is no standard normal, write z as a function of one that is.
        start: z ~ N(0, I), (chains, n, latent).
        stream: of the random numbers, on the device of `start`.
        temperatures: how many steps β takes, at least one; at one the weights are p(x|z), by no step of a chain.
        leaps: of a step.

    Raises:
        ValueError: there are no temperatures, or no chains.

    Source: Neal, Annealed Importance Sampling, 2001; Wu et al., On the Quantitative Analysis of Decoder-Based
    Generative Models, 2017, who fit the sizes to the chains themselves.
    """
    if temperatures < 1:
        raise ValueError(f"temperatures = {temperatures}: annealing takes at least one step from the prior.")
    whole(len(start))
    path = torch.linspace(-STEEP, STEEP, temperatures + 1, dtype=torch.float64).sigmoid()
    path = (path - path[0]) / (path[-1] - path[0])
    pilot = _Chains(log_likelihood, torch.randn(start.shape, generator=stream, device=start.device).to(start), leaps)
    sizes = [pilot.size]
    for β in path[1:-1].tolist():
        pilot.step(β, pilot.size, stream)
        sizes.append(pilot.adapted())
    chains = _Chains(log_likelihood, start, leaps)
    weights = start.new_zeros(start.shape[:2])
    for k, (before, β) in enumerate(pairwise(path.tolist())):
        weights = weights + (β - before) * chains.value
        if k < temperatures - 1:  # the weight is complete before the last step
            chains.step(β, sizes[k], stream)
    return weights


class _Chains:
    """Hamiltonian Monte Carlo on N(0, I) p(x|z)^β, a leap's size for each datum."""

    def __init__(self, log_likelihood: Callable[[Tensor], Tensor], z: Tensor, leaps: int) -> None:
        self.log_likelihood, self.z, self.leaps = log_likelihood, z, leaps
        self.value, self.slope = self._look(z)
        self.size = z.new_full(z.shape[1:2], FIRST)
        self.accepted = torch.zeros_like(self.value)

    def _look(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x|z) and its slope."""
        with torch.enable_grad():
            at = z.detach().requires_grad_()
            value = self.log_likelihood(at)
            (slope,) = torch.autograd.grad(value.sum(), at)
        return value.detach(), slope

    def step(self, β: float, size: Tensor, stream: torch.Generator) -> None:
        """One proposal of so many leaps, and its acceptance."""
        momentum = torch.randn(self.z.shape, generator=stream, device=self.z.device).to(self.z)
        z, value, slope, h = self.z, self.value, self.slope, size[:, None]
        before = self._energy(z, momentum, value, β)
        momentum = momentum + h / 2 * (β * slope - z)
        for leap in range(self.leaps):
            z = z + h * momentum
            value, slope = self._look(z)
            momentum = momentum + (h if leap < self.leaps - 1 else h / 2) * (β * slope - z)
        chance = (before - self._energy(z, momentum, value, β)).exp().clamp(max=1).nan_to_num(0)
        uniform = torch.rand(chance.shape, generator=stream, device=chance.device).to(chance)
        taken = uniform < chance
        self.accepted = taken.to(chance)
        self.z = torch.where(taken[..., None], z, self.z)
        self.slope = torch.where(taken[..., None], slope, self.slope)
        self.value = torch.where(taken, value, self.value)

    @staticmethod
    def _energy(z: Tensor, momentum: Tensor, value: Tensor, β: float) -> Tensor:
        return (z.square() + momentum.square()).sum(-1) / 2 - β * value

    def adapted(self) -> Tensor:
        """The size of the next leap: larger where more than 65 % of the last proposals were taken."""
        rate = self.accepted.mean(0)
        self.size = (self.size * torch.where(rate > ACCEPTED, GROWTH, 1 / GROWTH)).clamp(LEAST, MOST)
        return self.size
