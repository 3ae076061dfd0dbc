"""Image sets of which a few images tell their class: which ones, what simple models make of them, what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, cached_property
from statistics import mean
from typing import ClassVar

import torch
from torch import Tensor

from benchmarks import data as sets
from benchmarks.data import DataError, Images
from benchmarks.problem import Floor
from benchmarks.problems._images import ImageProblem
from benchmarks.quality.labels import share
from benchmarks.quality.reference import logistic

LABELLED = -3  # the draw that chooses labelled images, which no batch takes
FLOORS = range(3)  # seeds whose labelled sets the floors are means over


class Admitting(ImageProblem):
    """A problem that has to know the classes of its images, and refuses a set that does not tell them."""

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        spec = data if data is not None else cls.datasets[0]
        sets.prepare(spec, root, download)
        admit(sets.load(spec), cls.name, cls.least())
        super().prepare(data, root, download)

    @classmethod
    def least(cls) -> int:
        """How many training images of each class there have to be."""
        return 1


class Labelled(Admitting):
    """A problem in which `each` images of every class tell it, drawn at random by the seed; None for all images."""

    each: ClassVar[int | None] = 10

    @classmethod
    def least(cls) -> int:
        return cls.each or 1

    @cached_property
    def known(self) -> Callable[[int], tuple[Tensor, Tensor]]:
        """Of a seed, the images that have labels, and these."""
        return cache(self.labelled)

    def labelled(self, seed: int) -> tuple[Tensor, Tensor]:
        """So many training images of each class, drawn at random, and their labels."""
        images, labels = self.images.train, self.images.train_labels
        if self.each is None:
            return images, labels
        order = torch.randperm(len(labels), generator=self.generator(seed, LABELLED), device=self.device)
        index = torch.cat([order[labels[order] == label][: self.each] for label in range(self.images.classes)])
        return images[index], labels[index]

    @cached_property
    def linear(self) -> Callable[[int], float]:
        """Of a seed, the accuracy on test images of logistic regression on the labelled ones."""
        return cache(self.regressed)

    def regressed(self, seed: int) -> float:
        """Fit the regression of a seed, and see how it does on test images."""
        (x, y), test = self.known(seed), self.images.test.flatten(1)
        return share(logistic(x.flatten(1), y, test, self.images.classes) == self.images.test_labels)

    def nearest(self, seed: int) -> float:
        """Of a seed, the accuracy on test images of the label of the nearest labelled one."""
        (x, y), test = self.known(seed), self.images.test.flatten(1)
        near = torch.cat([torch.cdist(part, x.flatten(1)).argmin(1) for part in test.split(1000)])
        return share(y[near] == self.images.test_labels)

    def simple(self) -> Iterable[Floor]:
        """What these models reach with the same labels, in the mean over some seeds."""
        yield Floor("accuracy", "logistic", mean(map(self.linear, FLOORS)))
        yield Floor("accuracy", "nearest", mean(map(self.nearest, FLOORS)))


def admit(images: Images, who: str, each: int = 1) -> None:
    """Refuse images whose classes a problem cannot learn from.

    Args:
        images: the data.
        who: the problem's name.
        each: how many labelled training images of every class it takes.

    Raises:
        DataError: there are no classes, a label is none of them, or too few training images have one.
    """
    if images.classes < 2:
        how = "choose another --data, or sort the images of folder:PATH into a subfolder for each class."
        raise DataError(f"{who} needs images with classes, and --data {images.name} has {images.classes}: {how}")
    labels = torch.cat((images.train_labels, images.test_labels))
    wrong = labels[(labels < 0) | (labels >= images.classes)]
    if len(wrong):
        outside = f"the label {int(wrong[0])} is outside 0 to {images.classes - 1}"
        raise DataError(f"--data {images.name}: {outside}; mend the labels, or choose another set for {who}.")
    counts = images.train_labels.bincount(minlength=images.classes)
    few = int(counts.argmin())
    if counts[few] < each:
        there = f"{who} takes {each} labelled images of each class, and class {few} of --data {images.name} has"
        raise DataError(f"{there} {int(counts[few])} to train on: add some, or choose another set.")
