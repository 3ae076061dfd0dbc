from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

import minimax as mm
from benchmarks.networks import seeded
from benchmarks.pictures import MODES
from benchmarks.problem import Batch, Floor, Memory, Metric, Pictures, Preset, Problem, Recipe, View

MEAN, VARIANCE, KAPPA = (1.0, -2.0), (0.25, 4.0), 4.0
"""Of the data, along either axis, and how much faster the second score learns: κ < 4/V, so play rotates, along one."""


class Distillation(Problem):
    """A known score distilled into one step: a generator G(z) = θ + √V z against a second score, that of its samples.

    The data are N(m, V), V diagonal, whose score -(x - m)/V is given. The second score is that of N(b, V). G minimises
    KL by its gradient E s_b(x) - s(x) = (b - m)/V, which is that of E log N(G(z); b, V)/N(G(z); m, V), as b is another
    player; b minimises κ/2 E|b - G(z)|². Along an axis the eigenvalues of the game are κ/2 ± √(κ²/4 - κ/V).
    `kl`: KL(N(θ, V) ‖ N(m, V)) in nats.

    Source: Yin et al., One-step Diffusion with Distribution Matching Distillation, 2024, on a Gaussian.
    """

    name = "distillation"
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(10, 16, evaluations=2, samples=64),
        "cpu": Preset(4000, 64, evaluations=20),
        "gpu": Preset(4000, 64, evaluations=20),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.05), decay=True)
    metrics = (
        Metric("kl", unit="nats", range=(0, math.inf), headline=True, target=0.01),
        Metric("lag", range=(0, math.inf)),
    )

    @property
    def mean(self) -> Tensor:
        """m, (2,)."""
        return torch.tensor(MEAN, device=self.device)

    @property
    def variance(self) -> Tensor:
        """V, (2,)."""
        return torch.tensor(VARIANCE, device=self.device)

    def players(self, seed: int) -> tuple[Any, ...]:
        start = seeded(seed, lambda: torch.randn(2, 2)).to(self.device)
        return start[0].clone(), start[1].clone()

    def game(self) -> mm.Game:
        mean, variance = self.mean, self.variance

        def generator_loss(θ: Tensor, b: Tensor, batch: Batch) -> Tensor:
            x = θ + variance.sqrt() * batch
            return (((x - mean).square() - (x - b).square()) / (2 * variance)).sum(1).mean()

        def score_loss(θ: Tensor, b: Tensor, batch: Batch) -> Tensor:
            return KAPPA / 2 * (b - θ - variance.sqrt() * batch).square().sum(1).mean()

        return mm.Game(generator_loss, score_loss)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        return torch.randn(self.preset.batch, 2, generator=self.generator(seed, draw), device=self.device)

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        θ, b = view.players
        return {"kl": self.divergence(θ), "lag": float((b - θ).norm())}

    def divergence(self, θ: Tensor) -> float:
        """KL(N(θ, V) ‖ N(m, V))."""
        return float(((θ - self.mean).square() / (2 * self.variance)).sum())

    def floors(self) -> Iterable[Floor]:
        """A generator at the origin, and the mean of one batch of data, which nobody gives to it."""
        yield Floor("kl", "origin", self.divergence(torch.zeros_like(self.mean)))
        yield Floor("kl", "one-batch", self.variance.numel() / (2 * self.preset.batch))

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """The equilibrium."""
        return self.mean, self.mean

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        return {"samples": self.drawn(view.players[0], view.seed)}

    def truths(self) -> Pictures:
        return {"samples": self.drawn(self.mean, 0), MODES: self.mean[None].cpu().numpy()}

    def drawn(self, mean: Tensor, seed: int) -> np.ndarray:
        """Draws from N(mean, V)."""
        x = torch.randn(self.preset.samples, 2, generator=self.generator(seed, -2), device=self.device)
        return (mean + self.variance.sqrt() * x).cpu().numpy()
