from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from benchmarks.problem import Batch, Recipe
from benchmarks.problems.gans._image import ImageGAN, presets
from minimax import Game
from minimax.projections import weight_clipping


class WGAN(ImageGAN):
    """Wasserstein GAN: min over G, max over critics D with weights in [-.01, .01] of E D(x) - E D(G(z)).

    Source: Arjovsky, Chintala & Bottou, Wasserstein GAN, 2017.
    """

    name = "wgan"
    presets = presets(1100)
    # Five critic steps before each of the generator's. The source's rate is 5e-5.
    recipe: ClassVar[Recipe] = Recipe("rmsprop", lr=1e-3, steps=(1, 5), order=(1, 0))

    @staticmethod
    def generator_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
        return -d(g(batch["noise"])).mean()

    @staticmethod
    def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
        return d(g(batch["noise"])).mean() - d(batch["real"]).mean()

    def game(self) -> Game:
        return Game(self.generator_loss, self.critic_loss, constraints=(None, weight_clipping(0.01)))
