"""What the models share that are asked for images of a class, one-hot in the last columns of the noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

import minimax as mm
from benchmarks.networks import Applied
from benchmarks.pictures import Picture
from benchmarks.problem import Batch, Metric, Pictures, Recipe, View
from benchmarks.problems._images import EVALUATION, PICTURES, Generate, ImageGAN, grid, presets


class AskedGAN(ImageGAN):
    """A generator G(z, y) that is asked for classes y, uniform.

    `agreement`: the share of samples that a classifier takes for what was asked for.
    """

    asked = True
    presets = presets(2000)
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=100)

    def noise(self, stream: torch.Generator, size: int) -> Tensor:
        """Normal noise, and the class that is asked for, one-hot, side by side."""
        y = torch.randint(self.images.classes, (size,), generator=stream, device=self.device)
        return torch.cat((super().noise(stream, size), one_hot(y, self.images.classes)), dim=1)

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.aimed(*self.scored("kid"))

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        noise = self.noise(self.generator(view.seed, EVALUATION), self.samples)
        return self.score(view.players[0](noise), noise[:, -self.images.classes :].argmax(1))

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        return {**super().pictures(view), "classes": self.each(view.players[0], view.seed)}

    def each(self, generate: Generate, seed: int) -> Picture:
        """Classes, the first ten at most, from the same eight noises."""
        stream, classes, asked = self.generator(seed, PICTURES), self.images.classes, self.few
        z = self.noise(stream, 8)[:, :-classes].repeat(len(asked) // 8, 1)
        images = self.beside(generate, torch.cat((z, one_hot(asked, classes)), dim=1), stream)
        return Picture(grid(images), tuple(map(str, asked[::8].tolist())), about="a class a row, from the same noises")

    @property
    def few(self) -> Tensor:
        """The first classes, ten at most, each eight times."""
        return torch.arange(min(self.images.classes, 10), device=self.device).repeat_interleave(8)

    def truths(self) -> Pictures:
        return {**super().truths(), "classes": grid(self.images.examples(self.few))}

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A generator that hands out training images of the class."""
        classes = self.images.classes
        return Applied(lambda noise: self.images.examples(noise[:, -classes:].argmax(1))), self.players(seed)[1]


class Judge(nn.Module):
    """A critic of images with their class: (batch, channels, size, size) and (batch, classes) to logits (batch,)."""

    classes: int


def generator_loss(g: nn.Module, d: Judge, batch: Batch) -> Tensor:
    """E softplus(-D(G(z, y), y))."""
    noise = batch["noise"]
    return softplus(-d(g(noise), noise[:, -d.classes :])).mean()


def critic_loss(g: nn.Module, d: Judge, batch: Batch) -> Tensor:
    """E softplus(-D(x, y)) + E softplus(D(G(z, y), y))."""
    noise, known = batch["noise"], one_hot(batch["labels"], d.classes)
    fake = d(g(noise), noise[:, -d.classes :])
    return softplus(-d(batch["real"], known)).mean() + softplus(fake).mean()
