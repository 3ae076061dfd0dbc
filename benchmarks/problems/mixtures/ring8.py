from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import minimax as mm
from benchmarks.data import Ring
from benchmarks.problems._losses import logistic_critic, nonsaturating_generator
from benchmarks.problems.mixtures._mixture import MixtureGAN, penalised_critic
from benchmarks.problems.stability._parts import METHODS


class Ring8(MixtureGAN):
    """NS-GAN with R1 (γ = .1, convention γ/2) on eight Gaussians of σ = .02 on a circle of radius 2.

    Source: Mescheder, Geiger & Nowozin, Which Training Methods for GANs do actually Converge?, 2018.
    """

    name = "ring8"
    mixture = Ring()
    targets: ClassVar[Mapping[str, float]] = {"fair_modes": 8, "reverse_kl": 0.005, "share": 0.85}

    def game(self) -> mm.Game:
        return mm.Game(nonsaturating_generator, penalised_critic)


class Ring8Plain(MixtureGAN):
    """NS-GAN without a penalty on the same ring."""

    name = "ring8-plain"
    mixture = Ring()
    optimizers: ClassVar[tuple[str, ...]] = (*METHODS, "consensus")

    def game(self) -> mm.Game:
        return mm.Game(nonsaturating_generator, logistic_critic)
