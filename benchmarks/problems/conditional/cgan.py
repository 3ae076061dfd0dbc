from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.networks import MLP, NormedGenerator, seeded, squeeze
from benchmarks.problems.conditional._asked import AskedGAN, Judge, critic_loss, generator_loss


class ConditionalGAN(AskedGAN):
    """NS-GAN of images of a class that is asked for: G(z, y) against D(x, y), y one-hot beside their other inputs.

    G minimises E softplus(-D(G(z, y), y)), D minimises E softplus(-D(x, y)) + E softplus(D(G(z, y), y)); y is uniform
    where it is asked for. `agreement`: the share of samples that a classifier takes for what was asked for.

    Source: Mirza & Osindero, Conditional Generative Adversarial Nets, 2014.
    """

    name = "cgan"
    targets: ClassVar[Mapping[str, float]] = {"agreement": 0.95}

    def players(self, seed: int) -> tuple[Any, ...]:
        classes, shape = self.images.classes, (self.images.channels, self.images.size, self.option["width"])
        inputs = self.option["latent"] + classes
        built = seeded(seed, lambda: (NormedGenerator(inputs, *shape), ConditionalCritic(classes, *shape)))
        return tuple(module.to(self.device) for module in built)

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, critic_loss)


class ConditionalCritic(Judge):
    """An MLP on pixels and class."""

    def __init__(self, classes: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        self.classes = classes
        self.net = MLP((channels * size**2 + classes, width, width, 1), lambda: nn.LeakyReLU(0.2))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return squeeze(self.net(torch.cat((x.flatten(1), y), dim=1)))
