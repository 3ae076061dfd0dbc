"""Two image domains without pairs: images bright or dark (a), and faded ones (b), between which the truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.data import Images
from benchmarks.problems.translation._aligned import Domains

CONTRAST = 0.6


@dataclass(frozen=True)
class Faded:
    """b(x) = .6 x, x or its negative alike; half of the training images are in a, the others in b."""

    images: Images

    def forth(self, a: Tensor) -> Tensor:
        """The true translation of images to domain b."""
        return CONTRAST * a

    def back(self, b: Tensor) -> Tensor:
        """The true translation to domain a."""
        return b / CONTRAST

    def colour(self, images: Tensor) -> Tensor:
        """Test images as domain a has them, and back: every other one is a negative."""
        sign = 1 - 2 * (torch.arange(len(images), device=images.device) % 2)
        return sign[:, None, None, None] * images

    def batch(self, stream: torch.Generator, size: int) -> Domains:
        """So many training images of either domain; none is of one that the other domain has."""
        train = self.images.train
        half = len(train) // 2
        i, j = torch.randint(half, (2, size), generator=stream, device=train.device)
        sign = 2 * torch.randint(2, (2, size, 1, 1, 1), generator=stream, device=train.device) - 1
        return {"a": sign[0] * train[i], "b": self.forth(sign[1] * train[half + j])}

    def tests(self, count: int) -> Domains:
        """The first test images in both domains, in the same order; training never sees such pairs."""
        images = self.colour(self.images.test[:count])
        return {"a": images, "b": self.forth(images)}
