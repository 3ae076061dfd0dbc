from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import minimax as mm
from benchmarks.networks import MLP, Applied, seeded
from benchmarks.problem import Batch
from benchmarks.problems._gaussian import STANDARD, Gaussian
from benchmarks.problems._labels import LABELLED
from benchmarks.problems.vaes import _semi
from benchmarks.problems.vaes._semi import SemiSupervised
from benchmarks.quality.labels import share
from benchmarks.quality.reference import partial_logistic

DRAWS = 4  # of z, for images of which something is told
HINTS = 20  # images of each class that tell a little of it


class Siddharth(SemiSupervised):
    """Semi-supervised VAE of images that tell as much of their class as they like: p(x|y, z), q(z|x) and q(y|x, z).

    An image tells a set A of classes, of which its own is one: a single one where it has a label, all of them where it
    has none. With z_s ~ q(z|x), w_sy = q(y|x, z_s) for y in A and shares w̄ = w / Σ_{s, y in A} w, the bound
    Σ_{s, y in A} w̄_sy log p(x, y, z_s)/q(y, z_s|x) + (1 + α) log 1/S Σ_{s, y in A} w_sy is maximised, α = .1 N: once
    over all images, which tell nothing, and, weighted by n/N, over the n that do: five of each class with a label, and
    twenty of each that tell whether its number is even, whether it is in the upper half, or both.

    `gain`: by how much the accuracy on test images exceeds that of logistic regression on the same tellings;
    `gain_twin`: that of a network trained on them. As in `m2`, p(x|y, z) = N(f(y, z), s² I).

    Source: Siddharth et al., Learning Disentangled Representations with Semi-Supervised Deep Generative Models, 2017;
    sets of classes are ours, there a variable is told or is not.
    """

    name = "siddharth"
    each = 5
    noises = 1 + DRAWS
    targets: ClassVar[Mapping[str, float]] = {"gain": 0.01}

    @classmethod
    def least(cls) -> int:
        return cls.each + HINTS

    def tellings(self, seed: int) -> tuple[Tensor, Tensor]:
        """Images with labels, then those with hints, each image with the classes that it may be of."""
        stream, truth, classes = self.generator(seed, LABELLED), self.images.train_labels, self.images.classes
        # The same order as that which chooses labels, so that nobody is told twice.
        order = torch.randperm(len(truth), generator=stream, device=self.device)
        hinted = [order[truth[order] == y][self.each : self.each + HINTS] for y in range(classes)]
        index = torch.cat(hinted)
        kind = torch.randint(3, (len(index),), generator=stream, device=self.device)
        x, y = self.known(seed)
        told = torch.cat((one_hot(y, classes).bool(), hints(truth[index], kind, classes)))
        return torch.cat((x, self.images.train[index])), told

    def regressed(self, seed: int) -> float:
        (x, told), test = self.told(seed), self.images.test.flatten(1)
        return share(partial_logistic(x.flatten(1), told, test) == self.images.test_labels)

    def players(self, seed: int) -> tuple[Any, ...]:
        shape = (self.images.classes, self.images.train.shape[1:], self.option["width"], self.option["latent"])
        return (seeded(seed, lambda: Model(*shape)).to(self.device),)

    def game(self) -> mm.Game:
        # What is told of images is, for every seed, of as many.
        n, total = len(self.told(0)[1]), len(self.images.train)
        return mm.Game(lambda model, batch: loss(model, batch, n, total))

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A model with the classifier of the feature space, which has seen all labels."""
        (model,) = self.players(seed)
        pixels, shape = self.images.train[0].numel(), self.images.train.shape[1:]
        model.classifier = Applied(lambda both: self.classifier.read(both[:, :pixels].unflatten(1, shape))[1].log())
        return (model,)


class Drawn(NamedTuple):
    """Draws of z beside every class.

    Args:
        ratio: log p(x, y, z) - log q(y, z|x), (draws, batch, classes).
        weight: log of q(y, z|x) over the density that z is drawn from, (draws, batch, classes).
    """

    ratio: Tensor
    weight: Tensor


def bound(drawn: Drawn, told: Tensor, α: float = 0.0) -> Tensor:
    """Σ w̄ log p(x, y, z)/q(y, z|x) + (1 + α) log 1/S Σ w over the classes that are told, (batch, classes): (batch,).

    Where q(y, z|x) = q(y|x) q(z|x, y), z drawn for each class from the latter, it is M2's: -U(x) where all classes are
    told, and -L(x, y) + α log q(y|x) where one is.
    """
    weight = drawn.weight.masked_fill(~told, -math.inf)
    total = weight.logsumexp((0, 2))
    shares = (weight - total[:, None]).exp()
    return (shares * drawn.ratio).sum((0, 2)) + (1 + α) * (total - math.log(len(weight)))


def hints(labels: Tensor, kind: Tensor, classes: int) -> Tensor:
    """The classes that an image may be of that tells whether its own is even (0), in the upper half (1), or both (2).

    >>> hints(torch.tensor([3, 3, 3]), torch.tensor([0, 1, 2]), 4).int().tolist()
    [[0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1]]
    """
    every = torch.arange(classes, device=labels.device)
    parity = every % 2 == labels[:, None] % 2
    half = (2 * every >= classes) == (2 * labels[:, None] >= classes)
    return (parity | (kind == 1)[:, None]) & (half | (kind == 0)[:, None])


class Model(_semi.Model):
    """An encoder that is told no class, and a classifier that sees image and code, beside the decoder."""

    def __init__(self, classes: int, shape: torch.Size, width: int, latent: int) -> None:
        super().__init__(classes, shape, width, latent)
        pixels = shape.numel()
        self.classifier: nn.Module = MLP((pixels + latent, width, classes))
        self.encoder = MLP((pixels, width, width, 2 * latent))

    def coded(self, x: Tensor) -> Gaussian:
        """q(z|x)."""
        mean, log_var = self.encoder(x.flatten(1)).chunk(2, dim=1)
        return Gaussian(mean, log_var)

    def read(self, x: Tensor, z: Tensor) -> Tensor:
        """log q(y|x, z), (batch, classes)."""
        log_q: Tensor = self.classifier(torch.cat((x.flatten(1), z), dim=1)).log_softmax(1)
        return log_q

    def drawings(self, x: Tensor, noise: Tensor, blur: Tensor | float = 0.0) -> Drawn:
        """Draws for noise (draws, batch, latent); the classifier sees x + blur."""
        q = self.coded(x)
        found = [self.beside(x, q, each, blur) for each in noise]
        return Drawn(*map(torch.stack, zip(*found, strict=True)))

    def beside(self, x: Tensor, q: Gaussian, noise: Tensor, blur: Tensor | float) -> Drawn:
        """One draw of z for each image, with all classes."""
        z = q.at(noise)
        log_q = self.read(x + blur, z)
        again, z_again, y = self.every(x, z)
        joint = self.told(again, y, z_again).unflatten(0, log_q.shape) + STANDARD.log(z)[:, None]
        return Drawn(joint - q.log(z)[:, None] - log_q, log_q)

    def tell(self, x: Tensor, noise: Tensor) -> Tensor:
        q = self.coded(x)
        return torch.stack([self.read(x, q.at(each)) for each in noise]).logsumexp(0) - math.log(len(noise))

    def elbo(self, x: Tensor, noise: Tensor) -> Tensor:
        every = torch.ones(len(x), self.classes, dtype=torch.bool, device=x.device)
        return bound(self.drawings(x, noise[None]), every)

    def weights(self, x: Tensor, noise: Tensor) -> Tensor:
        """log Σ_y p(x, y, z) / q(z|x)."""
        drawn = self.drawings(x, noise)
        return (drawn.ratio + drawn.weight).logsumexp(2)


def loss(model: Model, batch: Batch, n: int, total: int) -> Tensor:
    """Minus the bound over all images, which tell nothing, and n/N times that over those that do, α = .1 N."""
    noise, blur, told = batch["noise"], batch["blur"], batch["told"]
    all_of_them = bound(model.drawings(batch["real"], noise[:1], blur[0]), torch.ones_like(told)).mean()
    some = bound(model.drawings(batch["known"], noise[1:], blur[1]), told, 0.1 * total).mean()
    return -all_of_them - n / total * some
