from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.problem import Batch, Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems._losses import wasserstein_generator
from minimax.penalties import wgan_gp


class WGANGP(ImageGAN):
    """Wasserstein GAN whose critic pays for slopes other than 1: + 10 E(|∇D(x̂)| - 1)², x̂ between real and fake.

    Source: Gulrajani et al., Improved Training of Wasserstein GANs, 2017.
    """

    name = "wgan-gp"
    logistic = False
    presets = presets(600)
    # The source's rate is 1e-4.
    recipe: ClassVar[Recipe] = Recipe(
        mm.adam(1e-3, betas=(0.5, 0.9)), steps=(1, 5), order=(1, 0), factors=(1, 3), ema=20
    )

    def game(self) -> mm.Game:
        return mm.Game(wasserstein_generator, critic_loss)

    def extras(self, stream: torch.Generator, size: int) -> dict[str, Tensor]:
        return {"between": torch.rand(size, generator=stream, device=self.device)}


def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E D(G(z)) - E D(x) + 10 E(|∇D(x̂)| - 1)²."""
    real, fake = batch["real"], g(batch["noise"])
    return d(fake).mean() - d(real).mean() + 10 * wgan_gp(d, real, fake, batch["between"])
