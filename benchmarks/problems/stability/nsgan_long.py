"""NS-GAN at ten times its budget: the critic has time to learn 1,200 images by heart, and the samples get worse again.

Source: Goodfellow et al., Generative Adversarial Nets, 2014, section 3; R1: Mescheder, Geiger & Nowozin, Which Training
Methods for GANs do actually Converge?, 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import minimax as mm
from benchmarks.problem import Preset, Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems._losses import logistic_critic, nonsaturating_generator
from benchmarks.problems.gans import nsgan_r1
from benchmarks.problems.stability._parts import METHODS

EVALUATIONS = 20  # so that the best of a run and its end stand apart


class LongRun(ImageGAN):
    """The networks and the recipe of NS-GAN, and ten times its steps."""

    presets: ClassVar[Mapping[str, Preset]] = {
        name: preset if name == "smoke" else replace(preset, evaluations=EVALUATIONS)
        for name, preset in presets(10_000).items()
    }
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)))
    optimizers: ClassVar[tuple[str, ...]] = METHODS


class LongNSGAN(LongRun):
    """G minimises E softplus(-D(G(z))), D minimises E softplus(-D(x)) + E softplus(D(G(z))): plain play degrades."""

    name = "nsgan-long"

    def game(self) -> mm.Game:
        return mm.Game(nonsaturating_generator, logistic_critic)


class LongNSGANR1(LongRun):
    """The same with R1, γ/2 E|∇D(x)|² with γ = 1, on the critic's loss: a critic that may not be steep forgets."""

    name = "nsgan-long-r1"

    def game(self) -> mm.Game:
        plain = mm.Game(nonsaturating_generator, logistic_critic)
        return mm.transforms.add(plain, nsgan_r1.penalty, player=1, weight=nsgan_r1.GAMMA / 2)
