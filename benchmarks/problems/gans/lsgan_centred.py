from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

import minimax as mm
from benchmarks.problem import Batch, Recipe
from benchmarks.problems._images import ImageGAN, presets


class CentredLSGAN(ImageGAN):
    """Least squares GAN with targets (a, b, c) = (-1, 1, 0): the generator wants scores that tell nothing.

    D minimises E(D(x) - 1)²/2 + E(D(G(z)) + 1)²/2, G minimises E D(G(z))²/2. At the critic's best they are Δ/2 off 1,
    Δ = Σ(p - q)²/(p + q). Near the equilibrium a bias does not rotate against the generator, as in `lsgan` it does.

    Source: Mao et al., Least Squares Generative Adversarial Networks, 2017, equation 8.
    """

    name = "lsgan-centred"
    logistic = False
    presets = presets(1000)
    # The source's rate is 2e-4.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=50)

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, critic_loss)


def generator_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E D(G(z))²/2."""
    return d(g(batch["noise"])).square().mean() / 2


def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E(D(x) - 1)²/2 + E(D(G(z)) + 1)²/2."""
    return ((d(batch["real"]) - 1).square().mean() + (d(g(batch["noise"])) + 1).square().mean()) / 2
