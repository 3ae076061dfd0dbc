from __future__ import annotations

from functools import partial
from typing import ClassVar

import minimax as mm
from benchmarks.networks import Critic, Generator, batch_norm
from benchmarks.problem import Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems._losses import logistic_critic, nonsaturating_generator


class DCGAN(ImageGAN):
    """NS-GAN on strided convolutions with BatchNorm by the batch's statistics, LeakyReLU .2, weights from N(0, .02).

    G minimises E softplus(-D(G(z))), D minimises E softplus(-D(x)) + E softplus(D(G(z))).

    Source: Radford, Metz & Chintala, Unsupervised Representation Learning with DCGAN, 2016.
    """

    name = "dcgan"
    networks = (Generator, partial(Critic, norm=batch_norm))
    presets = presets(360, width=(4, 16, 32, 64))
    # The source's rate is 2e-4.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=50)

    def game(self) -> mm.Game:
        return mm.Game(nonsaturating_generator, logistic_critic)
