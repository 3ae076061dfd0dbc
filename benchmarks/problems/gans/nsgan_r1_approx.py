from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.problem import Batch, Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems._losses import logistic_critic, nonsaturating_generator
from minimax.transforms import add

GAMMA, ALPHA = 1.0, 0.01


class NSGANApproximateR1(ImageGAN):
    """NS-GAN with R1 from a finite difference, + γ/2 E(D(x + αε) - D(x))²/α², ε ~ N(0, I), γ = 1, α = .01.

    Nothing is differentiated twice. The difference is random, of mean E|∇D(x)|² as α → 0, and both its terms stand at
    the same image x. The source writes λ E(D(x + σε) - D(x))² with λ = 100: γ = 2λσ².

    Source: Lin et al., Diffusion Adversarial Post-Training for One-Step Video Generation, 2025.
    """

    name = "nsgan-r1-approx"
    presets = presets(1000)
    # NS-GAN's rate here; the source tunes a video model at 5e-6.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=50)

    def game(self) -> mm.Game:
        return add(mm.Game(nonsaturating_generator, logistic_critic), penalty, player=1, weight=GAMMA / 2)

    def extras(self, stream: torch.Generator, size: int) -> dict[str, Tensor]:
        shape = (size, self.images.channels, self.images.size, self.images.size)
        return {"around": torch.randn(shape, generator=stream, device=self.device)}


def penalty(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E(D(x + αε) - D(x))²/α²."""
    return difference(d, batch["real"], batch["around"], ALPHA)


def difference(d: nn.Module, x: Tensor, ε: Tensor, α: float) -> Tensor:
    """E(D(x + αε) - D(x))²/α² = E|∇D|² + O(α²)."""
    return ((d(x + α * ε) - d(x)) / α).square().mean()
