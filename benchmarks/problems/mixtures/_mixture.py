"""What the GANs on a known mixture share: small networks, draws from the mixture, mode counts, points as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from benchmarks.data import Mixture
from benchmarks.networks import MLP, seeded, squeeze
from benchmarks.problem import Batch, Memory, Preset, Problem, Recipe
from benchmarks.quality import modes
from minimax import Game
from minimax.penalties import r1

EVALUATION = -1  # the draw that evaluations take, which no batch does


class Critic(nn.Module):
    """An MLP with one output, (batch, dimension) to (batch,)."""

    def __init__(self, dimension: int, width: int) -> None:
        super().__init__()
        self.net = MLP((dimension, width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return squeeze(self.net(x))


class MixtureGAN(Problem):
    """NS-GAN with R1 in the convention γ/2 E|∇D(x)|² on a mixture of Gaussians.

    G minimises E softplus(-D(G(z))), D minimises E softplus(-D(x)) + E softplus(D(G(z))) + γ/2 E|∇D(x)|².
    """

    mixture: ClassVar[Mixture]
    gamma: ClassVar[float] = 0.1
    headline: ClassVar[str] = "reverse_kl"
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, batch=32, evaluations=1, samples=256, options={"width": 16, "latent": 2}),
        "cpu": Preset(6000, batch=256, evaluations=12, samples=10_000, options={"width": 128, "latent": 2}),
        "gpu": Preset(25_000, batch=512, evaluations=25, samples=10_000, options={"width": 128, "latent": 2}),
    }
    recipe: ClassVar[Recipe] = Recipe(lr=2e-3, options={"betas": (0.5, 0.999)}, decay=True)

    def players(self, seed: int) -> tuple[Any, ...]:
        latent, width = self.preset.options["latent"], self.preset.options["width"]
        dimension = self.mixture.means().shape[1]
        built = seeded(seed, lambda: (MLP((latent, width, width, dimension)), Critic(dimension, width)))
        return tuple(module.to(self.device) for module in built)

    @staticmethod
    def generator_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
        """E softplus(-D(G(z)))."""
        return softplus(-d(g(batch["noise"]))).mean()

    def critic_loss(self, g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
        """E softplus(-D(x)) + E softplus(D(G(z))) + γ/2 E|∇D(x)|²."""
        real = batch["real"]
        loss = softplus(-d(real)).mean() + softplus(d(g(batch["noise"]))).mean()
        return loss + self.gamma / 2 * r1(d, real) if self.gamma else loss

    def game(self) -> Game:
        return Game(self.generator_loss, self.critic_loss)

    def noise(self, stream: torch.Generator, size: int) -> Tensor:
        """What the generator starts from, (size, latent)."""
        return torch.randn(size, self.preset.options["latent"], generator=stream, device=self.device)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        return {"real": self.mixture.sample(stream, size), "noise": self.noise(stream, size)}

    @torch.no_grad()
    def evaluate(self, players: tuple[Any, ...], seed: int) -> dict[str, float]:
        return modes.report(self.generate(players, seed, self.preset.samples), self.mixture)

    def floors(self) -> dict[str, float]:
        drawn = self.mixture.sample(self.generator(0, EVALUATION), self.preset.samples)
        return {f"{name}/real": value for name, value in modes.report(drawn, self.mixture).items()}

    @torch.no_grad()
    def pictures(self, players: tuple[Any, ...], seed: int) -> dict[str, np.ndarray]:
        return {"samples": self.generate(players, seed, 2000).cpu().numpy()}

    def generate(self, players: tuple[Any, ...], seed: int, size: int) -> Tensor:
        """Samples of the generator, (size, dimension)."""
        samples: Tensor = players[0](self.noise(self.generator(seed, EVALUATION), size))
        return samples
