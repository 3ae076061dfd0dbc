"""What semi-supervised VAEs of images share: a decoder of class and code, the twin, the evaluation."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property
from statistics import mean
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import minimax as mm
from benchmarks.networks import MLP, seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Recipe, View
from benchmarks.problems._gaussian import Gaussian
from benchmarks.problems._images import EVALUATION, presets
from benchmarks.problems._labels import FLOORS, Labelled
from benchmarks.problems.vaes._grey import LEAST
from benchmarks.quality.labels import share
from benchmarks.quality.likelihood import estimate

BLUR = 0.5  # the standard deviation of what is added to the inputs of whatever tells classes, in training
RATE = 3e-3
CHUNK = 64  # images that are weighed at a time


class Model(nn.Module):
    """The decoder p(x|y, z) = N(f(y, z), s² I), s learned; y is one-hot, images are (batch, *shape) in [-1, 1]."""

    def __init__(self, classes: int, shape: torch.Size, width: int, latent: int) -> None:
        super().__init__()
        self.classes, self.shape, self.latent = classes, shape, latent
        self.decoder = nn.Sequential(MLP((latent + classes, width, width, math.prod(shape))), nn.Tanh())
        self.log_var = nn.Parameter(torch.tensor(-2.0))

    def pixels(self, y: Tensor, z: Tensor) -> Gaussian:
        """p(x|y, z) of the pixels in one row."""
        return Gaussian(self.decoder(torch.cat((z, y), dim=1)), self.log_var.clamp(min=LEAST))

    def told(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """log p(x|y, z) + log p(y), all classes as probable, in nats: (batch,)."""
        return self.pixels(y, z).log(x.flatten(1)) - math.log(self.classes)

    def drawn(self, y: Tensor, stream: torch.Generator) -> Tensor:
        """Means of the pixels, given y and z from its prior: images of these classes."""
        z = torch.randn(len(y), self.latent, generator=stream, device=stream.device)
        return self.pixels(y, z).mean.unflatten(1, self.shape)

    def every(self, x: Tensor, *beside: Tensor) -> tuple[Tensor, ...]:
        """Rows beside each class in turn, one-hot and last, (batch * classes, ...) each."""
        y = torch.eye(self.classes, device=x.device, dtype=x.dtype).repeat(len(x), 1)
        return *(each.repeat_interleave(self.classes, 0) for each in (x, *beside)), y

    @abstractmethod
    def tell(self, x: Tensor, noise: Tensor) -> Tensor:
        """log q(y|x), (batch, classes), for noise (draws, batch, latent)."""

    @abstractmethod
    def elbo(self, x: Tensor, noise: Tensor) -> Tensor:
        """A lower bound on log p(x), of which the class is not told, for noise (batch, latent): (batch,)."""

    @abstractmethod
    def weights(self, x: Tensor, noise: Tensor) -> Tensor:
        """The logarithms of weights whose mean is p(x), for noise (draws, batch, latent): (draws, batch)."""


class SemiSupervised(Labelled):
    """A model of images of which a few tell something of their class: what is trained beside it, how it is evaluated.

    A batch holds `real` images, and `known` ones with `told`, the classes that each may be of, (batch, classes).
    """

    asked = True
    datasets = ("digits", "mnist", "fashion-mnist")
    presets = presets(1500, width=(16, 128, 256, 512), latent=(2, 4, 20, 50), draws=(4, 50, 10, 50))
    recipe: ClassVar[Recipe] = Recipe(mm.adam(RATE), decay=True)

    @cached_property
    def told(self) -> Callable[[int], tuple[Tensor, Tensor]]:
        """Of a seed, the images of whose class something is told, and the classes that each may be of."""
        return cache(self.tellings)

    def tellings(self, seed: int) -> tuple[Tensor, Tensor]:
        """The labelled images, each of one class."""
        x, y = self.known(seed)
        return x, one_hot(y, self.images.classes).bool()

    @cached_property
    def twin(self) -> Callable[[int], float]:
        """Of a seed, the accuracy of the twin, which is trained once."""
        return cache(self.supervised)

    def supervised(self, seed: int) -> float:
        """Train a classifier on what is told alone, with the same noise, and see how it does on test images."""
        twin, steps = self.sorter(seed), self.preset.steps
        optimizer = torch.optim.Adam(twin.parameters(), RATE)
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        for step in range(steps):
            batch = self.batch(seed, step)
            optimizer.zero_grad()
            with torch.enable_grad():
                surprise(twin(batch["known"] + batch["blur"][1]), batch["told"]).mean().backward()
            optimizer.step()
            decay.step()
        with torch.no_grad():
            return share(twin(self.images.test).argmax(1) == self.images.test_labels)

    def sorter(self, seed: int) -> nn.Module:
        """The twin before it is trained."""
        sizes = self.images.train[0].numel(), self.option["width"], self.images.classes
        return seeded(seed, lambda: classifier(*sizes)).to(self.device)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size, (x, told) = self.generator(seed, draw), self.preset.batch, self.told(seed)
        real, _ = self.images.batch(stream, size)
        index = torch.randint(len(x), (size,), generator=stream, device=self.device)
        noise = torch.randn(self.noises, size, self.option["latent"], generator=stream, device=self.device)
        blur = BLUR * torch.randn(2, *real.shape, generator=stream, device=self.device)
        return {"real": real, "known": x[index], "told": told[index], "noise": noise, "blur": blur}

    noises: ClassVar[int] = 2
    """How many draws of z a batch has noise for."""

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
        noise = torch.randn(self.option["draws"], len(x), self.option["latent"], generator=stream, device=self.device)
        right = share(model.tell(x, noise).argmax(1) == self.images.test_labels)
        pieces = zip(x.split(CHUNK), noise.split(CHUNK, dim=1), strict=True)
        weights = torch.cat([model.weights(part, each) for part, each in pieces], dim=1)
        y = torch.arange(self.samples, device=self.device) % self.images.classes
        return {
            **self.score(model.drawn(one_hot(y, self.images.classes), stream), y),
            "accuracy": right,
            "gain": right - self.linear(view.seed),
            "gain_twin": right - self.twin(view.seed),
            "elbo": float(model.elbo(x, noise[0]).mean()),
            "nll": estimate(weights).nll,
        }

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        yield from self.simple()
        yield Floor("accuracy", "supervised", mean(map(self.twin, FLOORS)))


def classifier(pixels: int, width: int, classes: int) -> nn.Module:
    """Images to logits of their class."""
    return nn.Sequential(nn.Flatten(), MLP((pixels, width, classes)))


def surprise(logits: Tensor, told: Tensor) -> Tensor:
    """-log of the probability of the classes that are told; cross-entropy where that is one, 0 where it is all.

    >>> surprise(torch.zeros(2, 4), torch.tensor([[True, False, False, False], [True, True, True, True]]))
    tensor([1.3863, 0.0000])
    """
    return logits.logsumexp(1) - logits.masked_fill(~told, -math.inf).logsumexp(1)
