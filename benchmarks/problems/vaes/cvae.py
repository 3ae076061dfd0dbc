from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from benchmarks.data import DataError
from benchmarks.networks import MLP
from benchmarks.problem import Floor
from benchmarks.problems._gaussian import Gaussian
from benchmarks.problems.vaes._variational import Parts, Seen, Variational, presets
from benchmarks.quality.reference import bernoulli_mixture_nll


class CVAE(Variational):
    """Conditional VAE of binarised images given their class y, one player: -E_q log p(x|y, z) + KL(q(z|x, y) ‖ p(z|y)).

    The prior is a Gaussian of each class, learned. Samples are asked for by class. All scores are of p(x|y).

    Source: Sohn, Lee & Yan, Learning Structured Output Representation using Deep Conditional Generative Models, 2015.
    """

    name = "cvae"
    asked = True
    presets = presets(1300)

    def encoder(self) -> nn.Module:
        width, latent = self.option["width"], self.option["latent"]
        return MLP((self.images.channels * self.images.size**2 + self.images.classes, width, width, 2 * latent))

    def decoder(self) -> nn.Module:
        shape = (self.images.channels, self.images.size, self.images.size)
        return Generative(self.option["latent"], self.images.classes, shape, self.option["width"])

    def seen(self, images: Tensor, labels: Tensor) -> Seen:
        classes = self.images.classes
        if classes < 2:
            raise DataError(f"{self.name} needs labels, of which {self.data} has none: choose another --data.")
        return Seen(images, encoded(labels, classes).to(images), labels)

    def posterior(self, parts: Parts, x: Tensor, given: Tensor) -> Gaussian:
        return Gaussian(*parts.encoder(torch.cat((x.flatten(1), given), dim=1)).chunk(2, dim=1))

    def prior(self, parts: Parts, given: Tensor) -> Gaussian:
        return Gaussian(*parts.decoder.prior(given).chunk(2, dim=1))

    def told(self, parts: Parts, z: Tensor, given: Tensor) -> Any:
        return parts.decoder(z, given)

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        yield Floor("nll", "independent-pixels-by-class", self.by_class(1))
        yield Floor("nll", "4-bernoullis-by-class", self.by_class(4))

    def by_class(self, components: int) -> float:
        """-E log p(x|y) of a mixture of Bernoullis for each class."""
        known, asked = self.images.train_labels, self.tested.labels
        total = 0.0
        for label in asked.unique():
            train, test = (x.gt(0).flatten(1).float() for x in (self.images.train, self.tested.real))
            train, test = train[known == label], test[asked == label]
            total += len(test) * bernoulli_mixture_nll(train, test, components)
        return total / len(asked)


class Generative(nn.Module):
    """p(z|y), a Gaussian of each class, and the pixels of z and y, one-hot."""

    def __init__(self, latent: int, classes: int, shape: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.prior = nn.Linear(classes, 2 * latent, bias=False)
        nn.init.zeros_(self.prior.weight)
        self.net = MLP((latent + classes, width, width, shape[0] * shape[1] * shape[2]))
        self.shape = shape

    def forward(self, z: Tensor, given: Tensor) -> Tensor:
        return self.net(torch.cat((z, given), dim=1)).unflatten(1, self.shape)


def encoded(labels: Tensor, classes: int) -> Tensor:
    """Labels (n,) one-hot, (n, classes).

    Raises:
        ValueError: a label is none of the classes.

    >>> encoded(torch.tensor([1]), 3)
    tensor([[0, 1, 0]])
    """
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        wrong = labels[(labels < 0) | (labels >= classes)][0]
        raise ValueError(f"labels hold {int(wrong)}: with {classes} classes they go from 0 to {classes - 1}.")
    return one_hot(labels, classes)
