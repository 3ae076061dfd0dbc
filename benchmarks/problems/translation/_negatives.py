"""Two image domains without pairs: images (a), and negatives in a sidelight (b), between which the truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.problems.translation._aligned import Aligned


@dataclass(frozen=True)
class Negatives(Aligned):
    """b(x) = light - .8 x, light from -.2 on the left to .2; half of the training images are in a, the others in b."""

    @property
    def light(self) -> Tensor:
        """The background of domain b, (side,): darker on the left."""
        return torch.linspace(-0.2, 0.2, self.images.size, device=self.images.train.device)

    def forth(self, a: Tensor) -> Tensor:
        """The true translation of images to domain b."""
        return self.light - 0.8 * a

    def back(self, b: Tensor) -> Tensor:
        """The true translation to domain a."""
        return (self.light - b) / 0.8
