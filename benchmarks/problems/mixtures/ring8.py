from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from benchmarks.data import Ring
from benchmarks.problems.mixtures._mixture import MixtureGAN


class Ring8(MixtureGAN):
    """NS-GAN with R1 (γ = .1, convention γ/2) on eight Gaussians of σ = .02 on a circle of radius 2.

    Source: Mescheder, Geiger & Nowozin, Which Training Methods for GANs do actually Converge?, 2018.
    """

    name = "ring8"
    mixture = Ring()
    targets: ClassVar[Mapping[str, tuple[str, float]]] = {
        "fair_modes": (">=", 8),
        "reverse_kl": ("<=", 0.005),
        "share": (">=", 0.85),
    }


class Ring8Plain(Ring8):
    """NS-GAN without a penalty on the same ring."""

    name = "ring8-plain"
    gamma = 0.0
    targets: ClassVar[Mapping[str, tuple[str, float]]] = {}
