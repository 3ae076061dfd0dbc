from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks import data as sets
from benchmarks.data import DataError, Images
from benchmarks.networks import MLP, Applied, seeded
from benchmarks.problem import Floor, Metric, View
from benchmarks.problems._gaussian import Gaussian
from benchmarks.problems._images import EVALUATION
from benchmarks.problems._labels import Admitting
from benchmarks.problems.vaes._grey import Grey, GreyDecoder
from benchmarks.problems.vaes._variational import CHUNK, Parts, Variational, presets
from benchmarks.quality.labels import share
from benchmarks.quality.reference import discriminant, logistic, trained
from benchmarks.quality.robustness import Reach, pgd, robust_accuracy

APART = 10.0  # the length of the classes' means, in standard deviations of a class
RADIUS, STEPS = 0.15, 20  # of the attack: how far a pixel in [0, 1] may move, and in how many steps
TAIL = 0.025  # the share of images of the classes beyond each of two thresholds
SPARE = 10  # one in so many training images sets the thresholds
ROOM = 16  # dimensions of z, of which each class takes one
ROUNDS = 64  # draws of z that tell the class of an image


class MogClassifier(Admitting, Variational):
    """VAE whose prior is a Gaussian a class, N(μ_y, I), μ_y = 10 e_y, by which it tells classes and rejects images.

    It minimises -E_q log p(x|z) + KL(q(z|x) ‖ N(μ_y, I)) over images with their labels, and takes an image to be of the
    class with the largest estimate of p(x|y) = E_q p(x|z) N(z; μ_y, I)/q(z|x), by 64 draws of z. It rejects images of
    which the mean code lies further from the nearest μ, or that come back less alike, than 39 of 40 of a tenth of the
    training images, on which it is not trained.

    `kept`: of test images, the share that is not rejected; `accuracy_kept`: the accuracy on these. An attack, which
    knows the distances of the mean code from all μ but not what is rejected, moves each pixel in [0, 1] by at most .15:
    `robust_accuracy` is what is left without rejecting; `caught`, of those that it fools, the share that is rejected;
    `unharmed`, the share of attacked images that are told right or rejected; `alarmed`, of images with random noise as
    large, which fools few, the share that is rejected. `nll` is that of an image given its class.

    Source: Ghosh, Losalka & Black, Resisting Adversarial Attacks Using Gaussian Mixture Variational Autoencoders, 2019;
    there the class is that of the nearest mean.
    """

    name = "mog-classifier"
    asked = True
    likelihood = Grey()
    presets = presets(1500, latent=(ROOM, ROOM, ROOM, ROOM), draws=(4, 50, 20, 100))
    targets: ClassVar[Mapping[str, float]] = {"accuracy": 0.97}

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        super().prepare(data, root, download)
        spec = data if data is not None else cls.datasets[0]
        if (classes := sets.load(spec).classes) > ROOM:
            raise DataError(f"{cls.name} has room for {ROOM} classes, and --data {spec} has {classes}: choose another.")

    @cached_property
    def every(self) -> Images:
        """All data."""
        return sets.load(str(self.data), device=self.device)

    @cached_property
    def images(self) -> Images:
        """The data, without the training images that set the thresholds."""
        every = self.every
        count = len(every.train) - len(self.spare)
        return replace(every, train=every.train[:count], train_labels=every.train_labels[:count])

    @property
    def spare(self) -> Tensor:
        """The training images that set the thresholds."""
        return self.every.train[-(len(self.every.train) // SPARE) :]

    @property
    def centres(self) -> Tensor:
        """The means of the classes, (classes, latent)."""
        return APART * torch.eye(self.images.classes, self.option["latent"], device=self.device)

    def decoder(self) -> nn.Module:
        return GreyDecoder(self.option["latent"], self.images.channels, self.images.size, self.option["width"])

    def prior(self, parts: Parts, given: Tensor) -> Gaussian:
        """N(μ_y, I)."""
        mean = self.centres.to(parts.decoder.log_var)[given]
        return Gaussian(mean, torch.zeros_like(mean))

    @property
    def metrics(self) -> Sequence[Metric]:
        one = (0.0, 1.0)
        return self.aimed(
            Metric("accuracy", "higher", range=one, headline=True),
            Metric("kept", "higher", range=one),
            Metric("accuracy_kept", "higher", range=one),
            Metric("robust_accuracy", "higher", range=one),
            Metric("caught", "higher", range=one),
            Metric("unharmed", "higher", range=one),
            Metric("alarmed", range=one),
            Metric("nll", unit="nats", range=self.lowest),
            *self.fitted,
            *self.coded,
            *self.scored(),
        )

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        parts, stream = self.parts(view.players), self.generator(view.seed, EVALUATION)
        return {**super().evaluate(view), **self.judged(parts, stream)}

    def judged(self, parts: Parts, stream: torch.Generator) -> dict[str, float]:
        """How well it tells and rejects test images, as they are, attacked, and with noise."""
        x, y = self.images.test, self.images.test_labels
        far, unlike = self.oddness(parts, self.spare)
        limits = Odd(far.quantile(1 - TAIL), unlike.quantile(1 - TAIL))

        def rejected(x: Tensor) -> Tensor:
            found = self.oddness(parts, x)
            return (found.far > limits.far) | (found.unlike > limits.unlike)

        right, kept = self.classes(parts, x, stream) == y, ~rejected(x)
        start, other = RADIUS * (2 * torch.rand(2, *x.shape, generator=stream, device=self.device) - 1)
        hurt = 2 * pgd(self.unit(parts), (x + 1) / 2, y, Reach(RADIUS), start, STEPS, 2.5 * RADIUS / STEPS) - 1
        held, seen = self.classes(parts, hurt, stream) == y, rejected(hurt)
        noisy = (x + 2 * RADIUS * other.sign()).clamp(-1, 1)
        return {
            "accuracy": share(right),
            "kept": share(kept),
            "accuracy_kept": share(right[kept]),
            "robust_accuracy": share(held),
            "caught": share(seen[~held]),
            "unharmed": share(held | seen),
            "alarmed": share(rejected(noisy)),
        }

    def classes(self, parts: Parts, x: Tensor, stream: torch.Generator) -> Tensor:
        """The classes that images are taken for, (n,)."""
        return torch.cat([self.evidence(parts, part, ROUNDS, stream).argmax(1) for part in x.split(CHUNK)])

    def evidence(self, parts: Parts, x: Tensor, draws: int, stream: torch.Generator) -> Tensor:
        """Estimates of log p(x|y) of all classes, on so many draws of z ~ q(z|x), (n, classes)."""
        q = Gaussian(*parts.encoder(x))
        z = q.at(self.noise(stream, draws, len(x)).to(q.mean))
        weight = self.likeliness(parts, x, x, z) - q.log(z)  # draws, n
        centres = self.centres.to(z)
        prior = torch.stack([Gaussian(mean, torch.zeros_like(mean)).log(z) for mean in centres], dim=2)
        return (weight[..., None] + prior).logsumexp(0) - math.log(draws)

    def oddness(self, parts: Parts, x: Tensor) -> Odd:
        """By how much images differ from what the model knows."""
        mean, _ = parts.encoder(x)
        back = self.likelihood.mean(parts.decoder(mean))
        return Odd(torch.cdist(mean, self.centres).min(1).values, (x - back).flatten(1).norm(dim=1))

    def unit(self, parts: Parts) -> nn.Module:
        """Images in [0, 1] to -½|E z - μ_y|² of all classes, as the attack sees them, in units of |μ|²."""
        # In units of 1 the softmax is 0 or 1 to all digits, and an attack that has no slope fools nobody.
        return Applied(lambda x: -(torch.cdist(parts.encoder(2 * x - 1)[0], self.centres) / APART).square() / 2)

    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        (x, y), classes = (self.images.train, self.images.train_labels), self.images.classes
        test, truth = self.images.test, self.images.test_labels
        for what, model in (("logistic", logistic), ("lda", discriminant)):
            yield Floor("accuracy", what, share(model(x.flatten(1), y, test.flatten(1), classes) == truth))
        sizes = (x[0].numel(), self.option["width"], classes)
        net = trained(seeded(0, lambda: nn.Sequential(nn.Flatten(), MLP(sizes))), x, y, self.preset.steps)
        yield Floor("accuracy", "network", share(net(test).argmax(1) == truth))
        robust = robust_accuracy(
            Applied(lambda x: net(2 * x - 1)), (test + 1) / 2, truth, Reach(RADIUS), steps=STEPS, restarts=1
        )
        yield Floor("robust_accuracy", "network", robust)
        yield Floor("caught", "chance", 2 * TAIL)

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """An encoder with the classifier of the feature space; it sends images to the mean of their class."""
        (coder,) = self.players(seed)
        coder.encoder = Told(self)
        return (coder,)


class Told(nn.Module):
    """Images to (mean, log variance), the mean that of their class by the classifier of the feature space."""

    def __init__(self, problem: MogClassifier) -> None:
        super().__init__()
        self.problem = problem

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # Not `read`, which keeps no graph: the attack wants a slope.
        mean = self.problem.classifier.net(x)[1].softmax(1) @ self.problem.centres
        return mean, torch.full_like(mean, -8.0)


class Odd(NamedTuple):
    """By how much images differ from what is known.

    Args:
        far: how far the mean code lies from the nearest mean of a class, (n,).
        unlike: how far the image lies from what comes of that code, (n,).
    """

    far: Tensor
    unlike: Tensor
