from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.problem import Batch, Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems._losses import logistic_critic


class GAN(ImageGAN):
    """The minimax GAN: G minimises what D maximises, V = E log D(x) + E log(1 - D(G(z))).

    In logits, D minimises E softplus(-D(x)) + E softplus(D(G(z))), and G the negative of its second term.

    Source: Goodfellow et al., Generative Adversarial Nets, 2014, equation 1.
    """

    name = "gan"
    presets = presets(1000)
    # The source's rate, 2e-4, is for runs forty times as long.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=50)

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, logistic_critic)


def generator_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """-E softplus(D(G(z))), that is E log(1 - σ(D(G(z))))."""
    return -softplus(d(g(batch["noise"]))).mean()
