from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

import minimax as mm
from benchmarks.problem import Batch, Recipe
from benchmarks.problems._images import ImageGAN, presets


class LSGAN(ImageGAN):
    """Least squares GAN with targets (a, b, c) = (0, 1, 1).

    D minimises E(D(x) - b)²/2 + E(D(G(z)) - a)²/2, G minimises E(D(G(z)) - c)²/2.

    Source: Mao et al., Least Squares Generative Adversarial Networks, 2017.
    """

    name = "lsgan"
    logistic = False
    presets = presets(1000)
    # The source's rate is 2e-4.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=50)

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, critic_loss)


def generator_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E(D(G(z)) - 1)²/2."""
    return (d(g(batch["noise"])) - 1).square().mean() / 2


def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E(D(x) - 1)²/2 + E D(G(z))²/2."""
    return ((d(batch["real"]) - 1).square().mean() + d(g(batch["noise"])).square().mean()) / 2
