from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from statistics import mean
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

import minimax as mm
from benchmarks.networks import MLP, Applied, seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Recipe, View
from benchmarks.problems._gaussian import STANDARD, Gaussian
from benchmarks.problems._images import EVALUATION, presets
from benchmarks.problems._labels import FLOORS, Labelled
from benchmarks.quality.labels import share
from benchmarks.quality.likelihood import estimate

BLUR = 0.5  # the standard deviation of what is added to the classifier's inputs in training
RATE = 3e-3
LEAST = -6.0  # log s² of the pixels: those that never vary would send it to -∞
CHUNK = 64  # images that are weighed at a time


class M2(Labelled):
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
    asked = True
    datasets = ("digits", "mnist", "fashion-mnist")
    presets = presets(1500, width=(16, 128, 256, 512), latent=(2, 4, 20, 50), draws=(4, 50, 10, 50))
    recipe: ClassVar[Recipe] = Recipe(mm.adam(RATE), decay=True)
    targets: ClassVar[Mapping[str, float]] = {"gain": 0.01}

    @cached_property
    def twin(self) -> Callable[[int], float]:
        """Of a seed, the accuracy of the twin, which is trained once."""
        return cache(self.supervised)

    def supervised(self, seed: int) -> float:
        """Train the twin of a seed, and see how it does on test images."""
        twin, steps = self.players(seed)[0].classifier, self.preset.steps
        optimizer = torch.optim.Adam(twin.parameters(), RATE)
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        for step in range(steps):
            batch = self.batch(seed, step)
            optimizer.zero_grad()
            with torch.enable_grad():
                cross_entropy(twin(batch["known"] + batch["blur"][1]), batch["labels"]).backward()
            optimizer.step()
            decay.step()
        return self.accuracy(twin)

    @torch.no_grad()
    def accuracy(self, classifier: nn.Module) -> float:
        """The share of test images that it sorts into their class."""
        return share(classifier(self.images.test).argmax(1) == self.images.test_labels)

    def players(self, seed: int) -> tuple[Any, ...]:
        shape = (self.images.classes, self.images.train.shape[1:], self.option["width"], self.option["latent"])
        return (seeded(seed, lambda: Model(*shape)).to(self.device),)

    def game(self) -> mm.Game:
        # The labels of every seed are as many.
        n, total = len(self.known(0)[1]), len(self.images.train)

        def loss(model: Model, batch: Batch) -> Tensor:
            x, y, noise, blur = batch["known"], batch["labels"], batch["noise"], batch["blur"]
            log_q = model.classifier(batch["real"] + blur[0]).log_softmax(1)
            unknown = cost(model.bounds(batch["real"], noise[0]), log_q).mean()
            labelled = -model.bound(x, one_hot(y, model.classes), noise[1]).mean()
            return unknown + n / total * labelled + 0.1 * n * cross_entropy(model.classifier(x + blur[1]), y)

        return mm.Game(loss)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size, (x, y) = self.generator(seed, draw), self.preset.batch, self.known(seed)
        real, _ = self.images.batch(stream, size)
        index = torch.randint(len(y), (size,), generator=stream, device=self.device)
        noise = torch.randn(2, size, self.option["latent"], generator=stream, device=self.device)
        blur = BLUR * torch.randn(2, *real.shape, generator=stream, device=self.device)
        return {"real": real, "known": x[index], "labels": y[index], "noise": noise, "blur": blur}

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.aimed(
            Metric("accuracy", "higher", range=(0, 1), headline=True),
            Metric("gain", "higher", range=(-1, 1)),
            Metric("gain_twin", "higher", range=(-1, 1)),
            Metric("elbo", "higher", "nats"),
            Metric("nll", unit="nats"),
            *self.scored(),
        )

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        (model,), x, stream = view.players, self.images.test, self.generator(view.seed, EVALUATION)
        log_q, right = model.classifier(x).log_softmax(1), self.accuracy(model.classifier)
        noise = torch.randn(self.option["draws"], len(x), self.option["latent"], generator=stream, device=self.device)
        pieces = zip(x.split(CHUNK), noise.split(CHUNK, dim=1), strict=True)
        weights = torch.cat([model.weights(part, each) for part, each in pieces], dim=1)
        y = torch.arange(self.samples, device=self.device) % self.images.classes
        return {
            **self.score(model.drawn(one_hot(y, self.images.classes), stream), y),
            "accuracy": right,
            "gain": right - self.linear(view.seed),
            "gain_twin": right - self.twin(view.seed),
            "elbo": -float(cost(model.bounds(x, noise[0]), log_q).mean()),
            "nll": estimate(weights).nll,
        }

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        yield from self.simple()
        yield Floor("accuracy", "supervised", mean(map(self.twin, FLOORS)))

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
    """The same where all images have labels: a conditional VAE beside a classifier, which share nothing."""

    name = "m2-all"
    each = None
    targets: ClassVar[Mapping[str, float]] = {}


class Model(nn.Module):
    """Classifier, encoder and decoder; images are (batch, *shape) in [-1, 1], classes one-hot."""

    def __init__(self, classes: int, shape: torch.Size, width: int, latent: int) -> None:
        super().__init__()
        pixels = math.prod(shape)
        self.classes, self.shape, self.latent = classes, shape, latent
        self.classifier = nn.Sequential(nn.Flatten(), MLP((pixels, width, classes)))
        self.encoder = MLP((pixels + classes, width, width, 2 * latent))
        self.decoder = nn.Sequential(MLP((latent + classes, width, width, pixels)), nn.Tanh())
        self.log_var = nn.Parameter(torch.tensor(-2.0))

    def pixels(self, y: Tensor, z: Tensor) -> Gaussian:
        """p(x|y, z) of the pixels in one row."""
        return Gaussian(self.decoder(torch.cat((z, y), dim=1)), self.log_var.clamp(min=LEAST))

    def coded(self, x: Tensor, y: Tensor) -> Gaussian:
        """q(z|x, y)."""
        mean, log_var = self.encoder(torch.cat((x.flatten(1), y), dim=1)).chunk(2, dim=1)
        return Gaussian(mean, log_var)

    def bound(self, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """-L(x, y), a lower bound on log p(x, y) in nats, on one draw of z: (batch,)."""
        q = self.coded(x, y)
        likelihood = self.pixels(y, q.at(noise)).log(x.flatten(1))
        return likelihood - math.log(self.classes) - q.divergence(STANDARD).sum(1)

    def bounds(self, x: Tensor, noise: Tensor) -> Tensor:
        """-L(x, y) for all y: (batch, classes)."""
        return self.bound(*self.every(x, noise)).unflatten(0, (len(x), self.classes))

    def weights(self, x: Tensor, noise: Tensor) -> Tensor:
        """log Σ_y p(x, y, z_y) / q(z_y|x, y) at draws z_y of q, for noise (draws, batch, latent): (draws, batch)."""
        return torch.stack([self.joint(*self.every(x, each)).unflatten(0, (len(x), -1)).logsumexp(1) for each in noise])

    def joint(self, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """log p(x, y, z) - log q(z|x, y) at one draw of z: (batch,)."""
        q = self.coded(x, y)
        z = q.at(noise)
        return self.pixels(y, z).log(x.flatten(1)) - math.log(self.classes) + STANDARD.log(z) - q.log(z)

    def every(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images beside each class in turn, and the noise of the image: (batch * classes, ...) each."""
        y = torch.eye(self.classes, device=x.device, dtype=x.dtype).repeat(len(x), 1)
        return x.repeat_interleave(self.classes, 0), y, noise.repeat_interleave(self.classes, 0)

    def drawn(self, y: Tensor, stream: torch.Generator) -> Tensor:
        """Means of the pixels, given y and z from its prior: images of these classes."""
        z = torch.randn(len(y), self.latent, generator=stream, device=stream.device)
        return self.pixels(y, z).mean.unflatten(1, self.shape)


def cost(bounds: Tensor, log_q: Tensor) -> Tensor:
    """U(x) = Σ_y q(y|x) (L(x, y) + log q(y|x)); least, at -logsumexp of the bounds, where q is their softmax."""
    return (log_q.exp() * (log_q - bounds)).sum(1)
