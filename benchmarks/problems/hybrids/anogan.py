from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.data import Images
from benchmarks.networks import MLP, Applied, MLPGenerator, squeeze
from benchmarks.problem import Batch, Floor, Metric, Recipe, View
from benchmarks.problems._images import EVALUATION, ImageGAN, presets
from benchmarks.problems._losses import logistic_critic, nonsaturating_generator
from benchmarks.problems._principal import principal
from benchmarks.quality.labels import auc
from minimax.penalties import r1

ANOMALY = 0  # the class that training never sees
FEATURES = 0.1  # what features weigh beside pixels


class AnoGAN(ImageGAN):
    """Anomaly detection by a GAN of all classes but one: an image is as odd as the nearest sample is far from it.

    The GAN is NS-GAN with R1, γ = 1. The oddness of x is A(x) = min_z .9 |x - G(z)|₁ + .1 |f(x) - f(G(z))|₁, f the
    features of the critic, by gradient descent on z. `auc`: the probability that a test image of the class left out is
    odder than one of the others.

    Differs from the source in the R1 penalty, in place of BatchNorm, which would tie the searches of images together.

    Source: Schlegl et al., Unsupervised Anomaly Detection with Generative Adversarial Networks, 2017.
    """

    name = "anogan"
    datasets = ("digits", "mnist", "fashion-mnist")
    networks = (MLPGenerator, lambda channels, size, width: FeatureCritic(channels, size, width))
    presets = presets(1500, rounds=(3, 100, 100, 500))
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.999)))

    @cached_property
    def every(self) -> Images:
        """The data, the class that is left out included."""
        return super().images

    @cached_property
    def images(self) -> Images:
        """The data without the class that is left out."""
        train, test = self.every.train_labels != ANOMALY, self.every.test_labels != ANOMALY
        return replace(
            self.every,
            train=self.every.train[train],
            train_labels=self.every.train_labels[train],
            test=self.every.test[test],
            test_labels=self.every.test_labels[test],
        )

    def game(self) -> mm.Game:
        return mm.Game(nonsaturating_generator, critic_loss)

    @property
    def metrics(self) -> Sequence[Metric]:
        leading = Metric("auc", "higher", range=(0, 1), headline=True)
        return leading, *self.scored()

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        g, d = view.players
        stream, x = self.generator(view.seed, EVALUATION), self.every.test
        fake = g(self.noise(stream, self.samples))
        odd = oddness(g, d.features, x, self.noise(stream, len(x)), self.option["rounds"])
        return {**self.score(fake), "auc": self.detected(odd)}

    def detected(self, odd: Tensor) -> float:
        """The AUC of the oddness of all test images."""
        anomalous = self.every.test_labels == ANOMALY
        return auc(odd[~anomalous], odd[anomalous])

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        train, test = self.images.train, self.every.test
        back = principal(train, test, self.option["latent"])
        yield Floor("auc", "pca", self.detected((test - back).flatten(1).square().sum(1)))
        yield Floor("auc", "nearest", self.detected(torch.cdist(test.flatten(1), train.flatten(1)).amin(1)))
        yield Floor("auc", "chance", 0.5)

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A generator that hands out training images, and features that know the class that was left out."""
        critic, images = self.players(seed)[1], self.images.train
        critic.features = Applied(lambda x: 1e4 * self.classifier.read(x)[1][:, [ANOMALY]])
        return Applied(lambda z: images[: len(z)] + 0 * z.sum()), critic


class FeatureCritic(nn.Module):
    """Two hidden layers with slope .2, images to logits (batch,); `features` are the outputs of the second."""

    def __init__(self, channels: int, size: int, width: int) -> None:
        super().__init__()
        body = MLP((channels * size**2, width, width), lambda: nn.LeakyReLU(0.2))
        self.features = nn.Sequential(nn.Flatten(), body, nn.LeakyReLU(0.2))
        self.head = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return squeeze(self.head(self.features(x)))


def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E softplus(-D(x)) + E softplus(D(G(z))) + ½E|∇D(x)|²."""
    return logistic_critic(g, d, batch) + r1(d, batch["real"]) / 2


def oddness(g: nn.Module, features: nn.Module, x: Tensor, start: Tensor, rounds: int, rate: float = 0.1) -> Tensor:
    """A(x) of every image, (batch,), by Adam on z from `start`, its rate falling to zero."""
    z = start.clone().requires_grad_()
    known, optimizer = features(x), torch.optim.Adam([z], rate)

    def far() -> Tensor:
        fake = g(z)
        residual, other = (x - fake).flatten(1).abs().sum(1), (known - features(fake)).abs().sum(1)
        return (1 - FEATURES) * residual + FEATURES * other

    for step in range(rounds):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / rounds)
        with torch.enable_grad():
            (z.grad,) = torch.autograd.grad(far().sum(), z)
        optimizer.step()
    return far().detach()
