from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from benchmarks.data import Grid
from benchmarks.problems.mixtures._mixture import MixtureGAN


class Grid25(MixtureGAN):
    """NS-GAN with R1 (γ = .1, convention γ/2) on 25 Gaussians of σ = .05 on a square lattice of spacing 2.

    Source: Srivastava et al., VEEGAN, 2017, section 4.1, for the mixture.
    """

    name = "grid25"
    mixture = Grid()
    targets: ClassVar[Mapping[str, tuple[str, float]]] = {"fair_modes": (">=", 24)}
