from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

import minimax as mm
from benchmarks.networks import MLP, Applied, seeded
from benchmarks.problem import Batch
from benchmarks.problems._gaussian import STANDARD, Gaussian
from benchmarks.problems.vaes import _semi
from benchmarks.problems.vaes._semi import SemiSupervised, classifier, surprise


class M2(SemiSupervised):
    """Semi-supervised VAE of images, one player: p(x|y, z), q(z|x, y), and the classifier q(y|x).

    With -L(x, y) = E_q log p(x|y, z) + log p(y) - KL(q(z|x, y) ‖ N(0, I)) and U(x) = Σ_y q(y|x) (L(x, y) + log q(y|x)),
    it minimises E U(x) + n/N E L(x, y) - .1 n E log q(y|x), the latter two over the n of N images that have labels: ten
    of each class, which the seed chooses. p(x|y, z) = N(f(y, z), s² I), s learned; in training, q(y|x) sees x + .5 ε.

    `gain`: by how much the accuracy on test images exceeds that of logistic regression on the same labels; `gain_twin`:
    that of the same classifier, trained from the same weights with the same noise on them alone. `nll`: the
    importance-weighted bound on -log p(x), a density in [-1, 1], in which classes are summed over. Samples are asked
    for by class.

    Source: Kingma, Rezende, Mohamed & Welling, Semi-supervised Learning with Deep Generative Models, 2014; there
    without noise on the classifier's inputs, and with Bernoulli pixels.
    """

    name = "m2"
    version = 3
    targets: ClassVar[Mapping[str, float]] = {"gain": 0.01}

    def players(self, seed: int) -> tuple[Any, ...]:
        shape = (self.images.classes, self.images.train.shape[1:], self.option["width"], self.option["latent"])
        return (seeded(seed, lambda: Model(*shape)).to(self.device),)

    def sorter(self, seed: int) -> Any:
        return self.players(seed)[0].classifier

    def game(self) -> mm.Game:
        # The labels of every seed are as many.
        n, total = len(self.known(0)[1]), len(self.images.train)
        return mm.Game(lambda model, batch: loss(model, batch, n, total))

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A model with the classifier of the feature space, which has seen all labels."""
        (model,) = self.players(seed)
        model.classifier = Applied(lambda x: self.classifier.read(x)[1].log())
        return (model,)


class M2Of20(M2):
    """The same with two labelled images of each class."""

    name = "m2-20"
    each = 2
    targets: ClassVar[Mapping[str, float]] = {}


class M2Of50(M2):
    """The same with five labelled images of each class."""

    name = "m2-50"
    each = 5
    targets: ClassVar[Mapping[str, float]] = {}


class M2OfAll(M2):
    """The same where all images have labels: U is over them too."""

    name = "m2-all"
    each = None
    targets: ClassVar[Mapping[str, float]] = {}


class Model(_semi.Model):
    """Classifier and encoder beside the decoder."""

    def __init__(self, classes: int, shape: torch.Size, width: int, latent: int) -> None:
        super().__init__(classes, shape, width, latent)
        pixels = shape.numel()
        self.classifier = classifier(pixels, width, classes)
        self.encoder = MLP((pixels + classes, width, width, 2 * latent))

    def coded(self, x: Tensor, y: Tensor) -> Gaussian:
        """q(z|x, y)."""
        mean, log_var = self.encoder(torch.cat((x.flatten(1), y), dim=1)).chunk(2, dim=1)
        return Gaussian(mean, log_var)

    def bound(self, x: Tensor, noise: Tensor, y: Tensor) -> Tensor:
        """-L(x, y), a lower bound on log p(x, y) in nats, on one draw of z: (batch,)."""
        q = self.coded(x, y)
        return self.told(x, y, q.at(noise)) - q.divergence(STANDARD).sum(1)

    def bounds(self, x: Tensor, noise: Tensor) -> Tensor:
        """-L(x, y) for all y: (batch, classes)."""
        return self.bound(*self.every(x, noise)).unflatten(0, (len(x), self.classes))

    def joint(self, x: Tensor, noise: Tensor, y: Tensor) -> Tensor:
        """log p(x, y, z) - log q(z|x, y) at one draw of z: (batch,)."""
        q = self.coded(x, y)
        z = q.at(noise)
        return self.told(x, y, z) + STANDARD.log(z) - q.log(z)

    def tell(self, x: Tensor, noise: Tensor) -> Tensor:
        log_q: Tensor = self.classifier(x).log_softmax(1)
        return log_q

    def elbo(self, x: Tensor, noise: Tensor) -> Tensor:
        return -cost(self.bounds(x, noise), self.tell(x, noise))

    def weights(self, x: Tensor, noise: Tensor) -> Tensor:
        """log Σ_y p(x, y, z_y) / q(z_y|x, y), each class with its own z."""
        return torch.stack([self.joint(*self.every(x, each)).unflatten(0, (len(x), -1)).logsumexp(1) for each in noise])


def loss(model: Model, batch: Batch, n: int, total: int) -> Tensor:
    """E U(x) + n/N E L(x, y) - .1 n E log q(y|x), the latter two over labelled images."""
    x, told, noise, blur = batch["known"], batch["told"], batch["noise"], batch["blur"]
    log_q = model.classifier(batch["real"] + blur[0]).log_softmax(1)
    unknown = cost(model.bounds(batch["real"], noise[0]), log_q).mean()
    labelled = -model.bound(x, noise[1], told.to(x)).mean()
    return unknown + n / total * labelled + 0.1 * n * surprise(model.classifier(x + blur[1]), told).mean()


def cost(bounds: Tensor, log_q: Tensor) -> Tensor:
    """U(x) = Σ_y q(y|x) (L(x, y) + log q(y|x)); least, at -logsumexp of the bounds, where q is their softmax."""
    return (log_q.exp() * (log_q - bounds)).sum(1)
