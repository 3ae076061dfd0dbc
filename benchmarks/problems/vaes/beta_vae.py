from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from benchmarks.problem import Batch, Memory
from benchmarks.problems.vaes._factors import Factored
from benchmarks.problems.vaes._variational import Parts


class BetaVAE(Factored):
    """β-VAE of mini-sprites, one player: minimise -E_q log p(x|z) + β KL(q(z|x) ‖ N(0, I)), β = 4.

    What β means depends on sizes: β dim z / dim x = 4 · 10 / 256 = .16.

    Source: Higgins et al., β-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework, 2017.
    """

    name = "beta-vae"
    beta: ClassVar[float] = 4.0

    def loss(self, parts: Parts, batch: Batch) -> Tensor:
        terms = self.terms(parts, batch)
        return (terms.distortion + self.beta * terms.rate.sum(-1)).mean()


class BetaVAE1(BetaVAE):
    """The same with β = 1, the ELBO."""

    name = "beta-vae-1"
    beta = 1.0


class BetaVAE2(BetaVAE):
    """The same with β = 2."""

    name = "beta-vae-2"
    beta = 2.0


class BetaVAE8(BetaVAE):
    """The same with β = 8."""

    name = "beta-vae-8"
    beta = 8.0


class CapacityVAE(Factored):
    """β-VAE with a capacity that grows: minimise -E_q log p(x|z) + γ |KL(q(z|x) ‖ N(0, I)) - C(t)|, γ = 30.

    C rises linearly from 0 to 15 nats, over the first three quarters of the run; which of the sprites it is takes
    log 1764 = 7.5 nats, which no Gaussian q does without more. γ dim z / dim x = 1.2.

    Source: Burgess et al., Understanding Disentangling in β-VAE, 2018; there γ = 1000 and C ends at 25 nats.
    """

    name = "beta-vae-capacity"
    gamma: ClassVar[float] = 30.0
    most: ClassVar[float] = 15.0  # nats

    def capacity(self, draw: int) -> float:
        """C at a draw, in nats."""
        return self.most * min(1.0, draw / (0.75 * self.preset.steps))

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        capacity = torch.tensor(self.capacity(draw), device=self.device)
        return {**super().batch(seed, draw, memory), "capacity": capacity}

    def loss(self, parts: Parts, batch: Batch) -> Tensor:
        terms = self.terms(parts, batch)
        return terms.distortion.mean() + self.gamma * (terms.rate.sum(-1).mean() - batch["capacity"]).abs()
