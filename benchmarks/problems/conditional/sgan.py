from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

import minimax as mm
from benchmarks.networks import MLP, Applied, NormedGenerator, seeded
from benchmarks.problem import Batch, Floor, Metric, Recipe, View
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.quality.labels import share
from benchmarks.quality.reference import logistic, trained

EACH = 10  # labelled images a class


class SemiSupervisedGAN(ImageGAN):
    """GAN whose critic sorts images into K classes and fakes, with K logits l: s = logsumexp(l) is that of being real.

    The critic minimises E(s(x) - l_y(x)) over images with labels, and E softplus(-s(x)) + E softplus(s(G(z))) over all;
    G matches features f of the critic, |E f(x) - E f(G(z))|². The first two make cross-entropy over K + 1 classes, of
    which the last has logit 0. `accuracy` is read beside that of the same network on the labels alone.

    Source: Salimans et al., Improved Techniques for Training GANs, 2016.
    """

    name = "sgan"
    datasets = ("digits", "mnist", "fashion-mnist")
    presets = presets(1500)
    # The source's rate is 3e-3.
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)), ema=100)

    @cached_property
    def known(self) -> tuple[Tensor, Tensor]:
        """The images that have labels, and these: the first ones of each class."""
        labels = torch.arange(self.images.classes, device=self.device).repeat(EACH)
        return self.images.examples(labels), labels

    def players(self, seed: int) -> tuple[Any, ...]:
        shape, width = (self.images.channels, self.images.size), self.option["width"]

        def build() -> tuple[nn.Module, nn.Module]:
            return NormedGenerator(self.option["latent"], *shape, width), Sorter(*shape, width, self.images.classes)

        return tuple(module.to(self.device) for module in seeded(seed, build))

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, critic_loss)

    def extras(self, stream: torch.Generator, size: int) -> dict[str, Tensor]:
        x, y = self.known
        index = torch.randint(len(y), (size,), generator=stream, device=self.device)
        return {"known": x[index], "classes": y[index]}

    @property
    def metrics(self) -> Sequence[Metric]:
        leading = Metric("accuracy", "higher", range=(0, 1), headline=True)
        return leading, *self.scored()

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        told = view.players[1](self.images.test).argmax(1)
        return {**super().evaluate(view), "accuracy": share(told == self.images.test_labels)}

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        (x, y), test, truth = self.known, self.images.test, self.images.test_labels
        twin = trained(self.players(0)[1], x, y, self.preset.steps)
        yield Floor("accuracy", "supervised", share(twin(test).argmax(1) == truth))
        rows, asked = x.flatten(1), test.flatten(1)
        yield Floor("accuracy", "logistic", share(logistic(rows, y, asked, self.images.classes) == truth))
        yield Floor("accuracy", "nearest", share(y[torch.cdist(asked, rows).argmin(1)] == truth))

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A generator that hands out training images, and the classifier of the feature space, which saw all labels."""
        return super().perfect(seed)[0], Applied(lambda x: self.classifier.read(x)[1].log())


class Sorter(nn.Module):
    """Two hidden layers with slope .2, images to K logits; `features` are the outputs of the second."""

    def __init__(self, channels: int, size: int, width: int, classes: int) -> None:
        super().__init__()
        body = MLP((channels * size**2, width, width), lambda: nn.LeakyReLU(0.2))
        self.features = nn.Sequential(nn.Flatten(), body, nn.LeakyReLU(0.2))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def generator_loss(g: nn.Module, d: Sorter, batch: Batch) -> Tensor:
    """|E f(x) - E f(G(z))|²."""
    return (d.features(batch["real"]).mean(0) - d.features(g(batch["noise"])).mean(0)).square().sum()


def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E(s(x) - l_y(x)) + E softplus(-s(x)) + E softplus(s(G(z)))."""
    real, fake = d(batch["real"]).logsumexp(1), d(g(batch["noise"])).logsumexp(1)
    return cross_entropy(d(batch["known"]), batch["classes"]) + softplus(-real).mean() + softplus(fake).mean()
