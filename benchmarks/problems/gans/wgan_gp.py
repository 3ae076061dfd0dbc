from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from benchmarks.problem import Batch, Recipe
from benchmarks.problems.gans._image import ImageGAN, presets
from benchmarks.problems.gans.wgan import WGAN
from minimax.penalties import wgan_gp


class WGANGP(ImageGAN):
    """Wasserstein GAN whose critic pays for slopes other than 1: + 10 E(|∇D(x̂)| - 1)², x̂ between real and fake.

    Source: Gulrajani et al., Improved Training of Wasserstein GANs, 2017.
    """

    name = "wgan-gp"
    presets = presets(600)
    # The source's rate is 1e-4.
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, options={"betas": (0.5, 0.9)}, steps=(1, 5), order=(1, 0))

    generator_loss = staticmethod(WGAN.generator_loss)

    @staticmethod
    def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
        real, fake = batch["real"], g(batch["noise"])
        return d(fake).mean() - d(real).mean() + 10 * wgan_gp(d, real, fake, batch["between"])

    def draw(self, stream: torch.Generator, size: int) -> dict[str, Tensor]:
        return super().draw(stream, size) | {"between": torch.rand(size, generator=stream, device=self.device)}
