from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import minimax as mm
from benchmarks.networks import Critic, Generator
from benchmarks.problem import Preset, Recipe
from benchmarks.problems._images import LARGE, ImageGAN, presets
from benchmarks.problems._losses import logistic_critic, nonsaturating_generator
from benchmarks.problems.gans.nsgan_r1 import penalty
from minimax.transforms import add

GAMMA = 10.0
SIZES = presets(1000, width=(4, 16, 32, 64))


class DCGANR1(ImageGAN):
    """DCGAN whose critic has no norms and pays for its slope on the data instead, + γ/2 E|∇D(x)|² with γ = 10.

    On images of 28 pixels it plays for five minutes of one core.

    Source: Mescheder, Geiger & Nowozin, Which Training Methods for GANs do actually Converge?, 2018, on the networks of
    Radford, Metz & Chintala, 2016.
    """

    name = "dcgan-r1"
    networks = (Generator, Critic)
    presets: ClassVar[Mapping[str, Preset]] = {
        **SIZES,
        "cpu" + LARGE: replace(SIZES["cpu" + LARGE], steps=2000),
    }
    # The first source's rate is 1e-4.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(2e-3, betas=(0.5, 0.99)), decay=True, ema=200)

    def game(self) -> mm.Game:
        return add(mm.Game(nonsaturating_generator, logistic_critic), penalty, player=1, weight=GAMMA / 2)
