from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

import minimax as mm
from benchmarks.networks import MLP, Applied, NormedGenerator, seeded, squeeze
from benchmarks.problem import Batch, Recipe, View
from benchmarks.problems._images import EVALUATION, ImageGAN, presets


class ConditionalGAN(ImageGAN):
    """NS-GAN of images of a class that is asked for: G(z, y) against D(x, y), y one-hot beside their other inputs.

    G minimises E softplus(-D(G(z, y), y)), D minimises E softplus(-D(x, y)) + E softplus(D(G(z, y), y)); y is uniform
    where it is asked for. `agreement`: the share of samples that a classifier takes for what was asked for.

    Source: Mirza & Osindero, Conditional Generative Adversarial Nets, 2014.
    """

    name = "cgan"
    asked = True
    presets = presets(2000)
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)))
    targets: ClassVar[Mapping[str, float]] = {"agreement": 0.95}

    def players(self, seed: int) -> tuple[Any, ...]:
        classes, shape = self.images.classes, (self.images.channels, self.images.size, self.option["width"])
        inputs = self.option["latent"] + classes
        built = seeded(seed, lambda: (NormedGenerator(inputs, *shape), ConditionalCritic(classes, *shape)))
        return tuple(module.to(self.device) for module in built)

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, critic_loss)

    def noise(self, stream: torch.Generator, size: int) -> Tensor:
        """Normal noise, and the class that is asked for, one-hot, side by side."""
        y = torch.randint(self.images.classes, (size,), generator=stream, device=self.device)
        return torch.cat((super().noise(stream, size), one_hot(y, self.images.classes)), dim=1)

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        noise = self.noise(self.generator(view.seed, EVALUATION), self.samples)
        return self.score(view.players[0](noise), noise[:, -self.images.classes :].argmax(1))

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A generator that hands out training images of the class."""
        classes = self.images.classes
        return Applied(lambda noise: self.images.examples(noise[:, -classes:].argmax(1))), self.players(seed)[1]


class ConditionalCritic(nn.Module):
    """An MLP on pixels and class, (batch, channels, size, size) and (batch, classes) to logits (batch,)."""

    def __init__(self, classes: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        self.classes = classes
        self.net = MLP((channels * size**2 + classes, width, width, 1), lambda: nn.LeakyReLU(0.2))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return squeeze(self.net(torch.cat((x.flatten(1), y), dim=1)))


def generator_loss(g: nn.Module, d: ConditionalCritic, batch: Batch) -> Tensor:
    """E softplus(-D(G(z, y), y))."""
    noise = batch["noise"]
    return softplus(-d(g(noise), noise[:, -d.classes :])).mean()


def critic_loss(g: nn.Module, d: ConditionalCritic, batch: Batch) -> Tensor:
    """E softplus(-D(x, y)) + E softplus(D(G(z, y), y))."""
    noise, known = batch["noise"], one_hot(batch["labels"], d.classes)
    fake = d(g(noise), noise[:, -d.classes :])
    return softplus(-d(batch["real"], known)).mean() + softplus(fake).mean()
