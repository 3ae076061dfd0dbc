from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.networks import NormedGenerator
from benchmarks.problem import Batch, Metric, Recipe, View
from benchmarks.problems._images import EVALUATION, ImageGAN, presets
from benchmarks.problems.gans._autoencoder import Autoencoder
from minimax.projections import box

GAMMA = 1.0  # the diversity ratio, how large L(G(z)) is to be beside L(x)


class BEGAN(ImageGAN):
    """Boundary equilibrium GAN: the critic is an autoencoder with error L, and its balance k is a third player.

    G minimises L(G(z)), D minimises L(x) - k L(G(z)), and k in [0, 1] minimises -k (γL(x) - L(G(z))), γ = 1. `k` and
    `m`, the measure of convergence L(x) + |γL(x) - L(G(z))|, say how the game stands, not how good samples are.

    Source: Berthelot, Schumm & Metz, BEGAN, 2017; γ = .3 to .7 there. At .75 these networks lose classes of digits.
    """

    name = "began"
    version = 3
    networks = (NormedGenerator, Autoencoder)
    presets = presets(2000)
    # The source's rates are 1e-4 and, for k, 1e-3, in runs of a hundred times as many steps.
    recipe: ClassVar[Recipe] = Recipe((*2 * (mm.adam(1e-3, betas=(0.5, 0.999)),), mm.sgd(0.5)), ema=50)

    def players(self, seed: int) -> tuple[Any, ...]:
        return *super().players(seed), torch.zeros((), device=self.device)

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, critic_loss, balance_loss, constraints=(None, None, box(0.0, 1.0)))

    @property
    def metrics(self) -> Sequence[Metric]:
        return *self.scored("kid"), Metric("m", None, range=(0, 4)), Metric("k", None, range=(0, 1))

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        g, d, k = view.players
        fake = g(self.noise(self.generator(view.seed, EVALUATION), self.samples))
        real = error(d, self.images.test[: self.samples])
        return {**self.score(fake), "m": float(convergence(real, error(d, fake))), "k": float(k)}

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A generator that hands out training images."""
        return *super().perfect(seed), self.players(seed)[2]


def error(d: nn.Module, x: Tensor) -> Tensor:
    """L(x) = E|x - D(x)|, a pixel."""
    return (x - d(x)).abs().mean()


def convergence(real: Tensor, fake: Tensor) -> Tensor:
    """M = L(x) + |γL(x) - L(G(z))|."""
    return real + (GAMMA * real - fake).abs()


def generator_loss(g: nn.Module, d: nn.Module, k: Tensor, batch: Batch) -> Tensor:
    """L(G(z))."""
    return error(d, g(batch["noise"]))


def critic_loss(g: nn.Module, d: nn.Module, k: Tensor, batch: Batch) -> Tensor:
    """L(x) - k L(G(z))."""
    return error(d, batch["real"]) - k * error(d, g(batch["noise"]))


def balance_loss(g: nn.Module, d: nn.Module, k: Tensor, batch: Batch) -> Tensor:
    """-k (γL(x) - L(G(z)))."""
    return -k * (GAMMA * error(d, batch["real"]) - error(d, g(batch["noise"])))
