from __future__ import annotations

from typing import ClassVar

import minimax as mm
from benchmarks.networks import MLPCritic, MLPGenerator
from benchmarks.problem import Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems._losses import logistic_critic, nonsaturating_generator
from benchmarks.problems.stability._parts import METHODS


class BareNSGAN(ImageGAN):
    """NS-GAN whose generator has no BatchNorm: plain play loses the data, its recall goes to 0.

    Source: Goodfellow et al., Generative Adversarial Nets, 2014, section 3.
    """

    name = "nsgan-bare"
    networks = (MLPGenerator, MLPCritic)
    presets = presets(1000)
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=50)
    optimizers: ClassVar[tuple[str, ...]] = METHODS

    def game(self) -> mm.Game:
        return mm.Game(nonsaturating_generator, logistic_critic)
