"""What is common to two image domains without pairs of which the true translation is known, one to one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from benchmarks.data import Images

Domains: TypeAlias = Mapping[str, Tensor]
"""Images of a and images of b, by these names."""


@dataclass(frozen=True)
class Aligned(ABC):
    """Images (a), and what they are in b; half of the training images are in a, the others in b."""

    images: Images

    @abstractmethod
    def forth(self, a: Tensor) -> Tensor:
        """The true translation of images to domain b."""

    @abstractmethod
    def back(self, b: Tensor) -> Tensor:
        """The true translation to domain a."""

    def colour(self, images: Tensor) -> Tensor:
        """Test images as domain a has them, and back: the same here."""
        return images

    def batch(self, stream: torch.Generator, size: int) -> Domains:
        """So many training images of either domain; none is of one that the other domain has."""
        train = self.images.train
        half = len(train) // 2
        i, j = torch.randint(half, (2, size), generator=stream, device=train.device)
        return {"a": train[i], "b": self.forth(train[half + j])}

    def tests(self, count: int) -> Domains:
        """The first test images in both domains, in the same order; training never sees such pairs."""
        images = self.images.test[:count]
        return {"a": images, "b": self.forth(images)}
