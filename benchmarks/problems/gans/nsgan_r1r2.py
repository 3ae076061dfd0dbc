from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

import minimax as mm
from benchmarks.problem import Batch, Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems._losses import logistic_critic, nonsaturating_generator
from minimax.penalties import r1, r2
from minimax.transforms import add

GAMMA = 1.0


class NSGANR1R2(ImageGAN):
    """NS-GAN whose critic pays for its slope on data and samples, + γ/2 (E|∇D(x)|² + E|∇D(G(z))|²) with γ = 1.

    With γ/2 for each, so that a critic of slope 1 pays γ. The source's γ is 10, on larger images, and it plays R1 and
    R2 each on its own; both together are R3GAN's.

    Source: Mescheder, Geiger & Nowozin, Which Training Methods for GANs do actually Converge?, 2018.
    """

    name = "nsgan-r1r2"
    presets = presets(800)
    # The source's rate is 1e-4.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=50)

    def game(self) -> mm.Game:
        return add(mm.Game(nonsaturating_generator, logistic_critic), penalty, player=1, weight=GAMMA / 2)


def penalty(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E|∇D(x)|² + E|∇D(G(z))|²."""
    return r1(d, batch["real"]) + r2(d, g(batch["noise"]))
