"""The Dirac-GAN: data at 0, a generator at θ, a linear critic ψx; one class for each way to train it.

R2 is R1 here, as the critic's slope is ψ at every point.

Source: Mescheder, Geiger & Nowozin, Which Training Methods for GANs do actually Converge?, 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import minimax as mm
from benchmarks.problem import Preset, Recipe
from benchmarks.problems.games._closed_form import ClosedFormProblem
from minimax import games
from minimax.games import ClosedForm


class Dirac(ClosedFormProblem):
    """A Dirac-GAN from a distance of √2 over 500 steps of .2."""

    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(steps=10, evaluations=2),
        "cpu": Preset(steps=500, evaluations=100),
        "gpu": Preset(steps=500, evaluations=100),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.2))


class DiracGAN(Dirac):
    """min over θ, max over ψ of f(ψθ) + f(0), f(t) = -log(1 + e⁻ᵗ): eigenvalues ±i/2."""

    name = "dirac-gan"

    def form(self) -> ClosedForm:
        return games.dirac_gan()


class DiracNSGAN(Dirac):
    """The generator maximises f(-ψθ) instead: eigenvalues ±i/2, and sublinear convergence."""

    name = "dirac-ns"

    def form(self) -> ClosedForm:
        return games.dirac_nsgan()


class DiracR1(Dirac):
    """The Dirac-GAN with R1, γ/2 ψ² on the critic's loss at γ = .3: it converges linearly."""

    name = "dirac-r1"
    target = 1e-2

    def form(self) -> ClosedForm:
        return games.dirac_gan(gamma=0.3)


class DiracNSR1(Dirac):
    """The non-saturating Dirac-GAN with R1, γ/2 ψ² at γ = .3."""

    name = "dirac-ns-r1"
    target = 1e-2

    def form(self) -> ClosedForm:
        return games.dirac_nsgan(gamma=0.3)


class DiracWGAN(Dirac):
    """f(t) = t and |ψ| <= 1: bilinear in a box, eigenvalues ±i."""

    name = "dirac-wgan"

    def form(self) -> ClosedForm:
        return games.dirac_wgan(clip=1.0)


class DiracWGANGP(Dirac):
    """f(t) = t with (|ψ| - 1)² on the critic's loss: the field jumps at the equilibrium."""

    name = "dirac-wgan-gp"

    def form(self) -> ClosedForm:
        return games.dirac_wgan_gp()


class DiracRelativistic(Dirac):
    """Losses of differences with R1 and R2, γ/2 ψ² each at γ = .3: eigenvalues γ ± √(γ² - ¼)."""

    name = "dirac-rp-r1-r2"
    target = 1e-2

    def form(self) -> ClosedForm:
        return games.dirac_relativistic(gamma=0.3)


class DiracNoise(Dirac):
    """Noise of standard deviation 1 on real and fake: eigenvalues ¼ ± i√3/4."""

    name = "dirac-noise"
    target = 1e-2

    def form(self) -> ClosedForm:
        return games.dirac_noise(1.0)


class DiracHinge(Dirac):
    """[1 + ψθ]₊ for the critic, -ψθ for the generator, from a distance of 1/√2: eigenvalues ±i."""

    name = "dirac-hinge"

    def form(self) -> ClosedForm:
        return games.dirac_hinge()


class DiracLSGAN(Dirac):
    """Least squares with the codes (a, b, c) = (0, 1, 1), critic ψx + β: eigenvalues ±i/2 and 2."""

    name = "dirac-lsgan"

    def form(self) -> ClosedForm:
        return games.dirac_lsgan()


class DiracSignedLSGAN(Dirac):
    """Least squares with the codes (-1, 1, 0): nothing rotates, θ goes to 0 and ψ stays, so the distance does not."""

    name = "dirac-lsgan-signed"

    def form(self) -> ClosedForm:
        return games.dirac_lsgan(-1.0, 1.0, 0.0)
