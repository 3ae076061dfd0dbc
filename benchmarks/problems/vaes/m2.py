from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

import minimax as mm
from benchmarks.data import Images
from benchmarks.networks import MLP, Applied, seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Recipe, View
from benchmarks.problems._gaussian import bernoulli, divergence, sampled
from benchmarks.problems._images import EVALUATION, ImageProblem, presets
from benchmarks.quality.labels import share
from benchmarks.quality.reference import logistic

EACH = 10  # labelled images a class


class M2(ImageProblem):
    """Semi-supervised VAE of binarised images, one player: p(x|y, z), q(z|x, y), and the classifier q(y|x).

    With -L(x, y) = E_q log p(x|y, z) + log p(y) - KL(q(z|x, y) ‖ N(0, I)) and U(x) = Σ_y q(y|x) (L(x, y) + log q(y|x)),
    it minimises E U(x) + n/N E L(x, y) - .1 n E log q(y|x), the latter two over the n of N images that have labels.

    Source: Kingma, Rezende, Mohamed & Welling, Semi-supervised Learning with Deep Generative Models, 2014.
    """

    name = "m2"
    datasets = ("digits", "mnist", "fashion-mnist")
    presets = presets(1500, width=(16, 128, 256, 512), latent=(2, 8, 20, 50))
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3), decay=True)
    targets: ClassVar[Mapping[str, float]] = {"accuracy": 0.871}

    @cached_property
    def images(self) -> Images:
        """The data as ±1."""
        return super().images.binarised()

    @cached_property
    def known(self) -> tuple[Tensor, Tensor]:
        """The images that have labels, and these: the first ones of each class."""
        labels = torch.arange(self.images.classes, device=self.device).repeat(EACH)
        return self.images.examples(labels), labels

    def players(self, seed: int) -> tuple[Any, ...]:
        shape = (self.images.classes, self.images.train.shape[1:], self.option["width"], self.option["latent"])
        return (seeded(seed, lambda: Model(*shape)).to(self.device),)

    def game(self) -> mm.Game:
        n, total = len(self.known[1]), len(self.images.train)

        def loss(model: Model, batch: Batch) -> Tensor:
            x, y, noise = batch["known"], batch["labels"], batch["noise"]
            unknown = cost(model.bounds(batch["real"], noise[0]), model.classifier(batch["real"]).log_softmax(1)).mean()
            labelled = -model.bound(x, one_hot(y, model.classes), noise[1]).mean()
            return unknown + n / total * labelled + 0.1 * n * cross_entropy(model.classifier(x), y)

        return mm.Game(loss)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        real, _ = self.images.batch(stream, size)
        index = torch.randint(len(self.known[1]), (size,), generator=stream, device=self.device)
        noise = torch.randn(2, size, self.option["latent"], generator=stream, device=self.device)
        return {"real": real, "known": self.known[0][index], "labels": self.known[1][index], "noise": noise}

    @property
    def metrics(self) -> Sequence[Metric]:
        leading = Metric("accuracy", "higher", range=(0, 1), headline=True)
        return self.aimed(leading, Metric("elbo", "higher", "nats"))

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        (model,), x, stream = view.players, self.images.test, self.generator(view.seed, EVALUATION)
        noise = torch.randn(len(x), self.option["latent"], generator=stream, device=self.device)
        log_q = model.classifier(x).log_softmax(1)
        right = share(log_q.argmax(1) == self.images.test_labels)
        return {"accuracy": right, "elbo": -float(cost(model.bounds(x, noise), log_q).mean())}

    def floors(self) -> Iterable[Floor]:
        test, (x, y), truth = self.images.test.flatten(1), self.known, self.images.test_labels
        yield Floor("accuracy", "logistic", share(logistic(x.flatten(1), y, test, self.images.classes) == truth))
        yield Floor("accuracy", "nearest", share(y[torch.cdist(test, x.flatten(1)).argmin(1)] == truth))

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A model with the classifier of the feature space, which has seen all labels."""
        (model,) = self.players(seed)
        model.classifier = Applied(lambda x: self.classifier.read(x)[1].log())
        return (model,)


class Model(nn.Module):
    """Classifier, encoder and decoder; images are (batch, *shape) in ±1, classes one-hot."""

    def __init__(self, classes: int, shape: torch.Size, width: int, latent: int) -> None:
        super().__init__()
        pixels = math.prod(shape)
        self.classes, self.shape = classes, shape
        self.classifier = nn.Sequential(nn.Flatten(), MLP((pixels, width, classes)))
        self.encoder = MLP((pixels + classes, width, width, 2 * latent))
        self.decoder = MLP((latent + classes, width, width, pixels))

    def decoded(self, y: Tensor, z: Tensor) -> Tensor:
        """Logits of the pixels."""
        return self.decoder(torch.cat((z, y), dim=1)).unflatten(1, self.shape)

    def bound(self, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """-L(x, y), a lower bound on log p(x, y) in nats, on one draw of z: (batch,)."""
        mean, log_var = self.encoder(torch.cat((x.flatten(1), y), dim=1)).chunk(2, dim=1)
        z = sampled(mean, log_var, noise)
        return bernoulli(self.decoded(y, z), x) - math.log(self.classes) - divergence(mean, log_var)

    def bounds(self, x: Tensor, noise: Tensor) -> Tensor:
        """-L(x, y) for all y: (batch, classes)."""
        every = torch.eye(self.classes, device=x.device, dtype=x.dtype)
        return torch.stack([self.bound(x, y.expand(len(x), -1), noise) for y in every], dim=1)


def cost(bounds: Tensor, log_q: Tensor) -> Tensor:
    """U(x) = Σ_y q(y|x) (L(x, y) + log q(y|x)); least, at -logsumexp of the bounds, where q is their softmax."""
    return (log_q.exp() * (log_q - bounds)).sum(1)
