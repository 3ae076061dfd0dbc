from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import normalize, relu

import minimax as mm
from benchmarks.networks import NormedGenerator
from benchmarks.problem import Batch, Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems.gans._autoencoder import Autoencoder

MARGIN, PULL = 0.3, 0.1


class EBGAN(ImageGAN):
    """Energy-based GAN: the critic is an autoencoder, its error D(x) an energy that fakes are pushed up to a margin.

    D minimises E D(x) + E [m - D(G(z))]₊, m = .3, G minimises E D(G(z)) + .1 PT, where PT, the mean squared cosine
    between the codes of two fakes, pulls them away from each other. The error is E|x - D(x)| a pixel.

    Source: Zhao, Mathieu & LeCun, Energy-based Generative Adversarial Networks, 2017; squared errors and m = 10 there.
    """

    name = "ebgan"
    networks = (NormedGenerator, Autoencoder)
    logistic = False
    presets = presets(2000)
    # The source's rate is 1e-3 for both players.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=50)

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, critic_loss)

    def belief(self, critic: Autoencoder, images: Tensor) -> Tensor:
        return -energy(critic, images)


def energy(d: nn.Module, x: Tensor) -> Tensor:
    """|x - D(x)| a pixel, for each of (batch, ...)."""
    return (x - d(x)).abs().flatten(1).mean(1)


def pull_away(codes: Tensor) -> Tensor:
    """PT = Σ_{i≠j} cos²(s_i, s_j) / N(N - 1) of the rows s: 0 if orthogonal, 1 if all lie on one line."""
    rows = normalize(codes, dim=1)
    count = len(rows)
    return ((rows @ rows.T).square().sum() - rows.square().sum(1).square().sum()) / (count * (count - 1))


def generator_loss(g: nn.Module, d: Autoencoder, batch: Batch) -> Tensor:
    """E D(G(z)) + .1 PT."""
    fake = g(batch["noise"])
    return energy(d, fake).mean() + PULL * pull_away(d.code(fake))


def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E D(x) + E [m - D(G(z))]₊, sample by sample."""
    return energy(d, batch["real"]).mean() + relu(MARGIN - energy(d, g(batch["noise"]))).mean()
