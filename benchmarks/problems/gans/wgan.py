from __future__ import annotations

from typing import ClassVar

import minimax as mm
from benchmarks.problem import Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems._losses import wasserstein_critic, wasserstein_generator
from minimax.projections import weight_clipping


class WGAN(ImageGAN):
    """Wasserstein GAN: min over G, max over critics D with weights in [-.01, .01] of E D(x) - E D(G(z)).

    Source: Arjovsky, Chintala & Bottou, Wasserstein GAN, 2017.
    """

    name = "wgan"
    logistic = False
    presets = presets(1100)
    # Five critic steps before each of the generator's. The source's rate is 5e-5.
    recipe: ClassVar[Recipe] = Recipe(mm.rmsprop(1e-3), steps=(1, 5), order=(1, 0), ema=50)

    def game(self) -> mm.Game:
        return mm.Game(wasserstein_generator, wasserstein_critic, constraints=(None, weight_clipping(0.01)))
