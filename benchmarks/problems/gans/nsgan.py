from __future__ import annotations

from typing import ClassVar

import minimax as mm
from benchmarks.problem import Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems._losses import logistic_critic, nonsaturating_generator


class NSGAN(ImageGAN):
    """GAN with the non-saturating generator loss: G minimises E softplus(-D(G(z))), D as in the minimax GAN.

    Source: Goodfellow et al., Generative Adversarial Nets, 2014, section 3.
    """

    name = "nsgan"
    presets = presets(1000)
    # The source's rate, 2e-4, is for runs forty times as long.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=50)

    def game(self) -> mm.Game:
        return mm.Game(nonsaturating_generator, logistic_critic)
