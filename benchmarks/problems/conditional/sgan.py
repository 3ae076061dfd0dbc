from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from statistics import mean
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, leaky_relu, softplus

import minimax as mm
from benchmarks.networks import Applied, NormedGenerator, seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Recipe, View
from benchmarks.problems._images import EVALUATION, ImageGAN, presets
from benchmarks.problems._labels import FLOORS, Labelled
from benchmarks.quality.labels import share

NOISE = (0.5, 0.3, 0.3)  # standard deviations of what is added to what each layer of the critic takes in
UNLABELLED, ENTROPY = 0.3, 0.3  # what the terms without labels weigh
RATE, BETAS = 3e-3, (0.5, 0.999)


class SemiSupervisedGAN(Labelled, ImageGAN):
    """GAN whose critic sorts images into K classes and fakes, with K logits l: s = logsumexp(l) is that of being real.

    The critic minimises E(s(x) - l_y(x)) over images with labels, .3 (E softplus(-s(x)) + E softplus(s(G(z)))) over
    all, and .3 E H(y|x), the entropy of softmax(l), over real ones; G matches features f of the critic,
    |E f(x) - E f(G(z))|². With weight 1, the first two make cross-entropy over K + 1 classes, the last with logit 0.
    In training, each layer of the critic takes its inputs with noise, which the batch holds.

    Ten images of each class have labels, which ones the seed says. The twin of a run is its critic, trained from the
    same weights on the same labelled images with the same noise for as many steps, by the first term alone.
    `gain`: by how much the accuracy on test images exceeds the twin's.

    Source: Salimans et al., Improved Techniques for Training GANs, 2016; there without entropy, which Springenberg
    (CatGAN, 2016) and Dai et al. (2017) minimise, with weight normalisation, and averaged weights in place of decay.
    """

    name = "sgan"
    version = 3
    datasets = ("digits", "mnist", "fashion-mnist")
    presets = presets(1500)
    recipe: ClassVar[Recipe] = Recipe(mm.adam(RATE, betas=BETAS), decay=True)
    targets: ClassVar[Mapping[str, float]] = {"gain": 0.0}

    @cached_property
    def twin(self) -> Callable[[int], float]:
        """Of a seed, the accuracy of the twin, which is trained once."""
        return cache(self.supervised)

    def supervised(self, seed: int) -> float:
        """Train the twin of a seed, and see how it does on test images."""
        twin, steps = self.players(seed)[1], self.preset.steps
        optimizer = torch.optim.Adam(twin.parameters(), RATE, betas=BETAS)
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        for step in range(steps):
            optimizer.zero_grad()
            with torch.enable_grad():
                supervised_loss(twin, self.batch(seed, step)).backward()
            optimizer.step()
            decay.step()
        return self.accuracy(twin)

    @torch.no_grad()
    def accuracy(self, critic: nn.Module) -> float:
        """The share of test images that it sorts into their class."""
        return share(critic(self.images.test).argmax(1) == self.images.test_labels)

    def players(self, seed: int) -> tuple[Any, ...]:
        shape, width = (self.images.channels, self.images.size), self.option["width"]

        def build() -> tuple[nn.Module, nn.Module]:
            return NormedGenerator(self.option["latent"], *shape, width), Sorter(*shape, width, self.images.classes)

        return tuple(module.to(self.device) for module in seeded(seed, build))

    def game(self) -> mm.Game:
        return mm.Game(generator_loss, critic_loss)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size, (x, y) = self.generator(seed, draw), self.preset.batch, self.known(seed)
        real, _ = self.images.batch(stream, size)
        noise, index = self.noise(stream, size), torch.randint(len(y), (size,), generator=stream, device=self.device)
        inputs = (x[0].numel(), self.option["width"], self.option["width"])
        blur = [
            deviation * torch.randn(3, size, count, generator=stream, device=self.device)
            for deviation, count in zip(NOISE, inputs, strict=True)
        ]
        return {"real": real, "noise": noise, "known": x[index], "classes": y[index], "blur": blur}

    @property
    def metrics(self) -> Sequence[Metric]:
        leading = Metric("accuracy", "higher", range=(0, 1), headline=True)
        return self.aimed(leading, Metric("gain", "higher", range=(-1, 1)), *self.scored())

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        fake = view.players[0](self.noise(self.generator(view.seed, EVALUATION), self.samples))
        accuracy = self.accuracy(view.players[1])
        return {**self.score(fake), "accuracy": accuracy, "gain": accuracy - self.twin(view.seed)}

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        yield Floor("accuracy", "supervised", mean(self.twin(seed) for seed in FLOORS))
        yield from self.simple()

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A generator that hands out training images, and the classifier of the feature space, which saw all labels."""
        return super().perfect(seed)[0], Applied(lambda x: self.classifier.read(x)[1].log())


class Sorter(nn.Module):
    """Two hidden layers with slope .2, images to K logits, with noise on the inputs of each layer where there is any.

    `features` are the outputs of the second; noise is three tensors, (batch, inputs of the layer).
    """

    def __init__(self, channels: int, size: int, width: int, classes: int) -> None:
        super().__init__()
        self.body = nn.ModuleList([nn.Linear(channels * size**2, width), nn.Linear(width, width)])
        self.head = nn.Linear(width, classes)

    def features(self, x: Tensor, blur: Sequence[Tensor] | None = None) -> Tensor:
        x = x.flatten(1)
        for i, layer in enumerate(self.body):
            x = leaky_relu(layer(x if blur is None else x + blur[i]), 0.2)
        return x

    def forward(self, x: Tensor, blur: Sequence[Tensor] | None = None) -> Tensor:
        features = self.features(x, blur)
        return self.head(features if blur is None else features + blur[-1])


def generator_loss(g: nn.Module, d: Sorter, batch: Batch) -> Tensor:
    """|E f(x) - E f(G(z))|²."""
    _, real, fake = parts(batch["blur"])
    apart = d.features(batch["real"], real).mean(0) - d.features(g(batch["noise"]), fake).mean(0)
    return apart.square().sum()


def critic_loss(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E(s(x) - l_y(x)) + .3 (E softplus(-s(x)) + E softplus(s(G(z)))) + .3 E H(y|x)."""
    _, blur, blur_fake = parts(batch["blur"])
    logits = d(batch["real"], blur)
    real, fake = logits.logsumexp(1), d(g(batch["noise"]), blur_fake).logsumexp(1)
    told = softplus(-real).mean() + softplus(fake).mean()
    return supervised_loss(d, batch) + UNLABELLED * told + ENTROPY * entropy(logits).mean()


def supervised_loss(d: nn.Module, batch: Batch) -> Tensor:
    """E(s(x) - l_y(x)), which is cross-entropy, over images with labels."""
    known, _, _ = parts(batch["blur"])
    return cross_entropy(d(batch["known"], known), batch["classes"])


def entropy(logits: Tensor) -> Tensor:
    """H of softmax(l), in nats, (batch,).

    >>> entropy(torch.zeros(1, 2))
    tensor([0.6931])
    """
    log_p = logits.log_softmax(1)
    return -(log_p.exp() * log_p).sum(1)


def parts(blur: Sequence[Tensor]) -> list[list[Tensor]]:
    """The noise for the images that are known, the real ones and the generated ones, each a list over layers."""
    return [[layer[part] for layer in blur] for part in range(3)]
