from __future__ import annotations

from typing import ClassVar

import minimax as mm
from benchmarks.data import Ring
from benchmarks.problem import Recipe
from benchmarks.problems._losses import logistic_critic, nonsaturating_generator
from benchmarks.problems.mixtures._mixture import MixtureGAN
from benchmarks.problems.stability._parts import METHODS


class Ring8SGD(MixtureGAN):
    """NS-GAN without a penalty on the ring of eight Gaussians, by gradient steps of .1: plain play keeps one mode.

    Source: Mescheder, Nowozin & Geiger, The Numerics of GANs, 2017, for consensus optimisation on this ring.
    """

    name = "ring8-sgd"
    mixture = Ring()
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.1))
    optimizers: ClassVar[tuple[str, ...]] = (*METHODS, "consensus")

    def game(self) -> mm.Game:
        return mm.Game(nonsaturating_generator, logistic_critic)
