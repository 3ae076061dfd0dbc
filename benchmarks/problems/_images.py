"""What the models of images share: the data set with its feature space, networks of its size, batches, pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, pad

from benchmarks import data as sets
from benchmarks.networks import Copier, MLPCritic, NormedGenerator, seeded
from benchmarks.pictures import Picture
from benchmarks.problem import Batch, Floor, Memory, Metric, Pictures, Preset, Problem, View
from benchmarks.quality import features
from benchmarks.quality.image_scores import Scorer
from benchmarks.quality.labels import auc
from benchmarks.quality.stability import saturation

EVALUATION = -1  # the draw that evaluations take, which no batch does
PICTURES = -2
INTERPOLATIONS = -3
COMPANY = 256  # noises beside those that are asked about
Generate: TypeAlias = Callable[[Tensor], Tensor]
LARGE = "/large"  # the presets of image sets larger than digits


def presets(steps: int, width: tuple[int, ...] = (8, 128, 256, 512), **options: tuple[Any, ...]) -> dict[str, Preset]:
    """The presets around so many steps on digits; an option has four values: smoke, digits, larger images, GPU."""
    given = {"width": width, "latent": (4, 16, 64, 100), **options}
    smoke, small, large, wide = ({name: values[k] for name, values in given.items()} for k in range(4))
    return {
        "smoke": Preset(3, 16, evaluations=1, samples=64, options=smoke),
        "cpu": Preset(steps, 64, evaluations=6, options=small),
        "cpu" + LARGE: Preset(4 * steps, 64, evaluations=8, samples=1000, options=large),
        "gpu": Preset(50_000, 128, evaluations=20, samples=5000, options=wide),
    }


class ImageProblem(Problem):
    """A problem on one image set, which comes with the feature space of its classifier."""

    version = 2  # of the scores
    datasets: ClassVar[tuple[str, ...]] = ("digits", "mnist", "fashion-mnist", "cifar10")
    asked: ClassVar[bool] = False
    """Whether samples are asked for by class, and so scored for agreement."""
    invented: ClassVar[bool] = True
    """Whether samples are made from noise, and so must not be training images."""
    targets: ClassVar[Mapping[str, float]] = {}
    """What a good run reaches on digits, by the metric's name."""

    def __init__(self, preset: str = "cpu", data: str | None = None, device: str | torch.device = "cpu") -> None:
        super().__init__(preset, data, device)
        if sets.base(str(self.data)) != self.datasets[0]:
            self.preset = self.presets.get(preset + LARGE, self.preset)

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        spec = data if data is not None else cls.datasets[0]
        sets.prepare(spec, root, download)
        features.prepare(spec)

    @property
    def option(self) -> Mapping[str, Any]:
        """The preset's options: width, latent and the like."""
        return self.preset.options

    @cached_property
    def images(self) -> sets.Images:
        """The data."""
        return sets.load(str(self.data), self.option.get("size"), self.device)

    @cached_property
    def classifier(self) -> features.Features:
        """The feature space, which also tells classes."""
        # Building the network draws weights before it reads them; no draw of ours may depend on that.
        return seeded(0, lambda: features.load(str(self.data), self.device))

    @property
    def samples(self) -> int:
        """How many images are compared: as many real ones as generated ones."""
        return min(self.preset.samples, len(self.images.test))

    @cached_property
    def scorer(self) -> Scorer:
        """What scores images."""
        second = seeded(0, lambda: features.load(str(self.data), self.device, seed=1))
        how = {"asked": self.asked, "invented": self.invented}
        return Scorer(self.images, self.classifier, second, self.samples, **how)

    def score(self, fake: Tensor, labels: Tensor | None = None) -> dict[str, float]:
        """Every image score of as many images as `samples` against test images, and agreement with labels."""
        return self.scorer(fake, labels)

    def scored(self, headline: str = "") -> tuple[Metric, ...]:
        """The declarations of what `score` yields; the headline leads, if one of these does."""
        return self.scorer.metrics(headline)

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.aimed(*self.scored("kid"))

    def aimed(self, *metrics: Metric) -> Sequence[Metric]:
        """The metrics with their targets, all of which are stated for digits."""
        goals = self.targets if self.data == self.datasets[0] else {}
        return [replace(metric, target=goals.get(metric.name)) for metric in metrics]

    def floors(self) -> Iterable[Floor]:
        """What real images score against each other, and what generators do that have learned nothing."""
        return self.scorer.floors()


class ImageGAN(ImageProblem):
    """A generator against a critic. A problem is its game, its networks, and its recipe."""

    networks: ClassVar[tuple[Callable[..., nn.Module], Callable[..., nn.Module]]] = (NormedGenerator, MLPCritic)
    """generator(latent, channels, size, width) and critic(channels, size, width)."""
    logistic: ClassVar[bool] = True
    """Whether the critic's values are logits."""

    def players(self, seed: int) -> tuple[Any, ...]:
        shape, width = (self.images.channels, self.images.size), self.option["width"]
        generator, critic = self.networks
        built = seeded(seed, lambda: (generator(self.option["latent"], *shape, width), critic(*shape, width)))
        return tuple(module.to(self.device) for module in built)

    def noise(self, stream: torch.Generator, size: int) -> Tensor:
        """What the generator starts from, (size, latent)."""
        return torch.randn(size, self.option["latent"], generator=stream, device=self.device)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        real, labels = self.images.batch(stream, size)
        return {"real": real, "labels": labels, "noise": self.noise(stream, size), **self.extras(stream, size)}

    def extras(self, stream: torch.Generator, size: int) -> dict[str, Tensor]:
        """Whatever else the losses want drawn."""
        return {}

    @property
    def metrics(self) -> Sequence[Metric]:
        share = (0.0, 1.0)
        watched = [Metric("critic_wins", None, range=share), Metric("critic_overfits", None, range=share)]
        if self.logistic:
            watched.append(Metric("saturation", None, range=share))
        return *super().metrics, *watched

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        fake = view.players[0](self.noise(self.generator(view.seed, EVALUATION), self.samples))
        critic = deepcopy(view.players[1])  # a look at images may change its buffers, such as those of spectral norms
        return {**self.score(fake), **self.watched(critic, fake)}

    def belief(self, critic: Any, images: Tensor) -> Tensor:
        """How real a critic takes images to be, (n,)."""
        told: Tensor = critic(images)
        return told

    def watched(self, critic: Any, fake: Tensor) -> dict[str, float]:
        """What the critic makes of images, so many of each kind.

        `critic_wins`: the probability that it puts a test image above a generated one; `critic_overfits`: a training
        image above a test image, .5 unless it knows them by heart; `saturation`: the share of generated images to which
        it gives a probability below .01 or above .99.
        """
        known, test = (self.belief(critic, images[: self.samples]) for images in (self.images.train, self.images.test))
        told = self.belief(critic, fake)
        found = {"critic_wins": auc(told, test), "critic_overfits": auc(test, known)}
        return {**found, "saturation": saturation(told)} if self.logistic else found

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        return self.drawn(view.players[0], view.seed)

    def drawn(self, generate: Generate, seed: int) -> dict[str, np.ndarray | Picture]:
        """Pictures of what a generator makes of a fixed noise."""
        samples = generate(self.noise(self.generator(seed, PICTURES), 64))
        shown: dict[str, np.ndarray | Picture] = {
            "samples": grid(samples),
            "interpolations": self.interpolated(generate, seed),
        }
        if self.images.classes > 1:
            scored = generate(self.noise(self.generator(seed, EVALUATION), self.samples))
            shown["histogram"] = histogram(self.classifier.read(scored)[1])
        return shown

    def interpolated(self, generate: Generate, seed: int) -> Picture:
        """From one normal noise to another, a row each; what is asked for behind the noise stays as at the start."""
        stream, latent = self.generator(seed, INTERPOLATIONS), self.option["latent"]
        start, end = self.noise(stream, 8), self.noise(stream, 8)
        ways = arc(start, end, 8)
        ways[..., latent:] = start[:, None, latent:]
        images = self.beside(generate, ways.flatten(0, 1), stream)
        sides = ("one noise", *6 * ("",), "another")
        return Picture(grid(images), columns=sides, about="from one noise to another, a row each")

    def beside(self, generate: Generate, noise: Tensor, stream: torch.Generator) -> Tensor:
        """What a generator makes of chosen noises in the company of others, as BatchNorm goes by the whole batch."""
        return generate(torch.cat((noise, self.noise(stream, COMPANY))))[: len(noise)]

    def truths(self) -> Pictures:
        shown = {"samples": grid(self.images.batch(self.generator(0, PICTURES), 64)[0])}
        known = one_hot(self.images.train_labels, self.images.classes)
        return {**shown, "histogram": histogram(known)} if self.images.classes > 1 else shown

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A generator that hands out training images."""
        return Copier(self.images.train), self.players(seed)[1]


def arc(start: Tensor, end: Tensor, count: int) -> Tensor:
    """Points cos φ a + sin φ b from a to b, (n, d) each to (n, count, d): where a, b ~ N(0, I), so is each of them.

    >>> arc(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]]), 3)[0].square().sum(1)
    tensor([4.0000, 4.0000, 4.0000])
    """
    angles = torch.linspace(0, math.pi / 2, count, device=start.device)[:, None]
    return angles.cos() * start[:, None] + angles.sin() * end[:, None]


def compared(images: Mapping[str, Tensor], about: str = "", columns: int = 8) -> Picture:
    """Images (n, channels, side, side) of each name under each other, row by row.

    >>> compared(dict.fromkeys(("image", "decoded"), torch.zeros(16, 1, 8, 8))).rows
    ('image', 'decoded', 'image', 'decoded')
    """
    blocks = list(zip(*(each.split(columns) for each in images.values()), strict=True))
    rows = torch.cat([row for block in blocks for row in block])
    return Picture(grid(rows, columns), len(blocks) * tuple(images), about=about)


def histogram(probabilities: Tensor) -> Picture:
    """How many samples are taken for each class, of (n, classes), a bar each; at half the height there are 1/classes.

    Twice as many and more fill it. Samples that are not finite are of no class.

    >>> histogram(torch.eye(4)[[0, 0, 1]]).array[:, 4::8].mean(0)
    array([255.,  170.,   0.,   0.])
    """
    classes, high, wide = probabilities.shape[1], 48, 8
    finite = probabilities[probabilities.isfinite().all(1)]
    counts = torch.bincount(finite.argmax(1), minlength=classes).double().cpu() / len(probabilities)
    level = torch.arange(high, 0, -1, dtype=torch.float64)[:, None] / high
    bars = (level <= counts * classes / 2).repeat_interleave(wide, dim=1)
    bars[:, ::wide] = False  # between the bars
    array = bars.numpy().astype(np.uint8) * 255
    return Picture(
        array, columns=tuple(map(str, range(classes))), about="samples by class, half the height an equal share"
    )


def grid(images: Tensor, columns: int = 8) -> np.ndarray:
    """Images (rows * columns, channels, side, side) in [-1, 1] as one picture of uint8, with a grey line between them.

    >>> grid(torch.zeros(4, 1, 8, 8), columns=2).shape
    (18, 18)
    """
    images = pad(images, (0, 1, 0, 1))
    n, channels, height, width = images.shape
    # (rows, height, columns, width, channels)
    tiles = images.unflatten(0, (n // columns, columns)).permute(0, 3, 1, 4, 2)
    picture = tiles.reshape(n // columns * height, columns * width, channels)
    # A diverged run still has a picture: black where it is not finite.
    pixels = picture.nan_to_num(-1).add(1).mul(127.5).round().clamp(0, 255).byte().cpu().numpy()
    return pixels[..., 0] if channels == 1 else pixels
