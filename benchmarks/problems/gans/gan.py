from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import softplus

from benchmarks.problem import Batch, Recipe
from benchmarks.problems.gans._image import ImageGAN, presets


class GAN(ImageGAN):
    """The minimax GAN: G minimises what D maximises, V = E log D(x) + E log(1 - D(G(z))).

    In logits, D minimises E softplus(-D(x)) + E softplus(D(G(z))), and G the negative of its second term.

    Source: Goodfellow et al., Generative Adversarial Nets, 2014, equation 1.
    """

    name = "gan"
    presets = presets(1000)
    # The source's rate, 2e-4, is for runs forty times as long.
    recipe: ClassVar[Recipe] = Recipe(lr=1e-3, options={"betas": (0.5, 0.999)})

    @staticmethod
    def generator_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
        return -softplus(d(g(batch["noise"]))).mean()

    @staticmethod
    def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
        return softplus(-d(batch["real"])).mean() + softplus(d(g(batch["noise"]))).mean()
