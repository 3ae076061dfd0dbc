from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.problem import Batch, Memory, Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems._losses import logistic_critic, nonsaturating_generator
from minimax import penalties

FIRST, FALL = 2.0, 0.01  # γ of the first batch, and what is left of it after the last


class Roth(ImageGAN):
    """NS-GAN with γ/2 Ω, Ω = E(1 - σ(D))²|∇D|² on data + E σ(D)²|∇D|² on samples: as noise of variance γ on both.

    γ = 2 · .01^(k/n) at batch k of n, n the preset's steps, comes in the batch, as losses know no time. A method that
    takes fewer batches for its budget ends at a larger γ. So does the authors' code anneal where it is asked to, with k
    of n - 1 and the factor an option; their examples start at 2.

    Source: Roth, Lucchi, Nowozin & Hofmann, Stabilizing Training of GANs through Regularization, 2017, algorithm 1.
    """

    name = "roth"
    presets = presets(800)
    # The source's rate is 2e-4.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=50)

    def game(self) -> mm.Game:
        return mm.Game(nonsaturating_generator, critic_loss)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        return {**super().batch(seed, draw, memory), "gamma": torch.tensor(self.gamma(draw), device=self.device)}

    def gamma(self, draw: int) -> float:
        """γ at the draw-th batch."""
        return FIRST * FALL ** min(draw / self.preset.steps, 1.0)


def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-D(x)) + E softplus(D(G(z))) + γ/2 Ω."""
    return logistic_critic(g, d, batch) + batch["gamma"] / 2 * penalties.roth(d, batch["real"], g(batch["noise"]))
