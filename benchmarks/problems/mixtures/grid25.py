from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import minimax as mm
from benchmarks.data import Grid
from benchmarks.problems._losses import nonsaturating_generator
from benchmarks.problems.mixtures._mixture import MixtureGAN, penalised_critic


class Grid25(MixtureGAN):
    """NS-GAN with R1 (γ = .1, convention γ/2) on 25 Gaussians of σ = .05 on a square lattice of spacing 2.

    Source: Srivastava et al., VEEGAN, 2017, section 4.1, for the mixture.
    """

    name = "grid25"
    mixture = Grid()
    targets: ClassVar[Mapping[str, float]] = {"fair_modes": 24}

    def game(self) -> mm.Game:
        return mm.Game(nonsaturating_generator, penalised_critic)
