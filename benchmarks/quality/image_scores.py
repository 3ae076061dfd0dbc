"""What images score against a data set in three spaces, how that is declared, and what it is read against."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from statistics import quantiles

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from benchmarks.data import Images, resize
from benchmarks.problem import Floor, Metric
from benchmarks.quality import copies, distances, labels
from benchmarks.quality.features import Features

SIDE = 8  # pixels a side, at which images are compared as they are
SPLITS = 20  # of all images into two halves, for what real images score against real ones
MEMORISED = (10, 100)  # images that the generators know which are scored as floors
COLLAPSED, OFF, COPIED = "collapsed", "off the data", "memorised"


@dataclass(frozen=True, eq=False)
class Read:
    """Images as they are compared.

    Args:
        features: of the classifier, (n, dim).
        probabilities: of the classes, (n, classes).
        second: the features of another classifier, which differs in its seed, (n, dim).
        pixels: of the images at 8 x 8, (n, 64 channels).
    """

    features: Tensor
    probabilities: Tensor
    second: Tensor
    pixels: Tensor

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: Tensor) -> Read:
        return Read(*(getattr(self, item.name)[index] for item in fields(self)))


class Scorer:
    """Scores images against a data set. What has to be known of the real ones is computed once, when it is needed.

    Args:
        images: the data; samples are compared with test images drawn at random, the same every time.
        features: the feature space, which also tells classes.
        second: a feature space of the same kind.
        count: how many images are compared, real ones and others.
        asked: whether samples are asked for by class.
        invented: whether samples are made from noise; a translation of a training image may well be one.
    """

    def __init__(
        self,
        images: Images,
        features: Features,
        second: Features,
        count: int,
        *,
        asked: bool = False,
        invented: bool = True,
    ) -> None:
        self.images, self.features, self.second, self.count = images, features, second, count
        self.asked, self.invented = asked, invented

    def __call__(self, fake: Tensor, asked: Tensor | None = None) -> dict[str, float]:
        """Every score of `count` images, (count, channels, side, side) in [-1, 1], of these classes, (count,)."""
        return self.compare(self.real, self.read(fake), asked)

    def read(self, images: Tensor) -> Read:
        """Images as they are compared."""
        return Read(*self.features.read(images), self.second(images), resize(images, SIDE).flatten(1))

    def compare(self, real: Read, fake: Read, asked: Tensor | None = None) -> dict[str, float]:
        """Every score of images against as many real ones; nan where they are not finite."""
        x, y = real.features, fake.features
        near = distances.prdc(x, y)
        scores = {"kid": distances.kid(x, y)}
        scores |= {name: near[name] for name in ("coverage", "recall", "precision", "density")}
        if self.enough:
            scores["fd"] = distances.fd(x, y)
        scores |= {
            "kid_second": distances.kid(real.second, fake.second),
            "kid_pixels": distances.kid(real.pixels / self.scale, fake.pixels / self.scale),
            "sliced_w2": distances.sliced_w2(x, y),
            "classifier_score": distances.classifier_score(fake.probabilities),
            **labels.spread(fake.probabilities, self.shares),
            "ndb": copies.different_bins(self.bins, real.pixels, fake.pixels),
        }
        if self.invented:
            scores["memorised"] = copies.memorised(fake.pixels, self.train, self.reach)
        return scores if asked is None else {**scores, "agreement": labels.agreement(fake.probabilities, asked)}

    def metrics(self, headline: str = "") -> tuple[Metric, ...]:
        """The declarations of the scores.

        Args:
            headline: the one that leads. Without one, samples are not what matters, and flag nothing.
        """
        unit, share, classes = self.features.name, (0.0, 1.0), self.features.classes
        declared = (
            Metric("kid", unit=unit),
            Metric("coverage", "higher", unit, share, coverage=True),
            Metric("recall", "higher", unit, share, gate=0.1, flag=COLLAPSED),
            Metric("precision", "higher", unit, share, gate=0.2, flag=OFF),
            Metric("density", "higher", unit, (0, math.inf)),
            Metric("fd", unit=unit, range=(0, math.inf)),
            Metric("kid_second", unit=self.second.name),
            Metric("kid_pixels", unit=f"pixels{SIDE}"),
            Metric("sliced_w2", unit=unit, range=(0, math.inf)),
            Metric("classifier_score", "higher", unit, (1, classes)),
            Metric("classes", "higher", unit, (0, classes), gate=0.8 * classes, flag=COLLAPSED),
            Metric("class_kl", unit="nats", range=(0, math.inf)),
            Metric("ndb", unit=f"pixels{SIDE}", range=share),
            Metric("memorised", unit=f"pixels{SIDE}", range=share, gate=0.5, flag=COPIED),
            Metric("agreement", "higher", unit, share),
        )
        there = {"fd": self.enough, "agreement": self.asked, "memorised": self.invented}
        absent = {name for name, it_is in there.items() if not it_is}
        known = [metric for metric in declared if metric.name not in absent]
        if not headline:
            return tuple(replace(metric, gate=None, coverage=False) for metric in known)
        return tuple(replace(metric, headline=metric.name == headline) for metric in known)

    def floors(self) -> Iterator[Floor]:
        """What real images score over random splits, and what trivial generators do."""
        yield from self.null()
        for what, images, classes in self.trivial():
            scores = self(images, classes if self.asked else None)
            yield from (Floor(name, what, value) for name, value in scores.items())

    def null(self) -> Iterator[Floor]:
        """Real images against real ones: all of them split in two at random, the median and nine splits of ten."""
        images = torch.cat((self.images.train, self.images.test))
        classes = torch.cat((self.images.train_labels, self.images.test_labels))
        size = min(self.count, len(images) // 2)
        some = chosen(len(images), min(len(images), 4 * size), seed=1)
        pool, classes = self.read(images[some]), classes[some]
        found: dict[str, list[float]] = {}
        for split in range(SPLITS):
            one, two = chosen(len(pool), 2 * size, seed=split).split(size)
            for name, value in self.compare(pool[one], pool[two], classes[two] if self.asked else None).items():
                found.setdefault(name, []).append(value)
        if self.invented:
            found["memorised"] = [copies.NULL] * SPLITS  # half of a split are training images
        for name, values in found.items():
            low, *_, high = quantiles(values, n=SPLITS)
            middle = quantiles(values, n=2)[0]
            yield Floor(name, "real", middle, min(low, middle), max(high, middle))

    def trivial(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Generators that have learned nothing: their name, `count` images, and the classes these are of."""
        train, known, count = self.images.train, self.images.train_labels, self.count
        present = known.unique()
        means = torch.stack([train[known == label].mean(0) for label in present])
        again = torch.arange(count, device=train.device)
        yield "class means", means[again % len(present)], present[again % len(present)]
        for size in MEMORISED:
            index = chosen(len(train), size, seed=2).to(train.device)[again % min(size, len(train))]
            yield f"{size} images", train[index], known[index]
        index = chosen(len(train), count, seed=3).to(train.device)
        yield "blurred", blurred(train[index]), known[index]

    @cached_property
    def real(self) -> Read:
        """The test images that samples are compared with."""
        return self.read(self.images.test[chosen(len(self.images.test), self.count).to(self.images.test.device)])

    @cached_property
    def train(self) -> Tensor:
        """All training images, at 8 x 8."""
        return resize(self.images.train, SIDE).flatten(1)

    @cached_property
    def scale(self) -> float:
        """Of pixels, such that their mean square is 1, as that of features is."""
        return float(self.train.square().mean().sqrt())

    @cached_property
    def shares(self) -> Tensor:
        """Of the classes, among the training images."""
        return torch.bincount(self.images.train_labels, minlength=self.features.classes).cpu() / len(self.images.train)

    @cached_property
    def bins(self) -> Tensor:
        """The centres of cells of the training images, about as full as each other."""
        return copies.bins(self.train)

    @cached_property
    def reach(self) -> float:
        """How near to a training image is too near: nearer than all but one in twenty test images are."""
        return copies.reach(self.real.pixels, self.train)

    @property
    def enough(self) -> bool:
        """Whether there are enough images for a Fréchet distance."""
        return self.count >= 2 * self.features.dim


def chosen(total: int, count: int, seed: int = 0) -> Tensor:
    """So many different numbers below the total, in random order; all of them where there are no more."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count]


def blurred(images: Tensor) -> Tensor:
    """The means of every pixel and the eight around it, the border counting double."""
    return avg_pool2d(pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
