"""Two modalities of the same anatomy without pairs: images (a), and darkened, unsharp ones (b); the truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.fft import irfft2, rfft2

from benchmarks.problems.translation._aligned import Aligned

BLUR = 0.15  # what a pixel gives to either neighbour, along rows and along columns


@dataclass(frozen=True)
class Modalities(Aligned):
    """b(x) = blur(c(x)), c dark where x is bright; half of the training images are in a, the others in b.

    With u = (x + 1)/2, c = 2(1 - u)² - 1. A pixel gives .15 of itself to each neighbour, along rows and then along
    columns, around the border.
    """

    def blurred(self, images: Tensor, power: int = 1) -> Tensor:
        """The blur of images, or its inverse at the power of -1."""
        side = self.images.size
        wave = 2 * torch.pi * torch.arange(side, dtype=images.dtype, device=images.device) / side
        gain = 1 - 2 * BLUR * (1 - wave.cos())  # of the waves along a side, never below .4
        return irfft2(rfft2(images) * (gain[:, None] * gain[: side // 2 + 1]) ** power, s=(side, side))

    def forth(self, a: Tensor) -> Tensor:
        """The true translation of images to domain b."""
        return self.blurred(2 * ((1 - a) / 2).square() - 1)

    def back(self, b: Tensor) -> Tensor:
        """The true translation to domain a; of what no image of a has, the nearest."""
        return 1 - 2 * ((self.blurred(b, -1) + 1) / 2).clamp(0, 1).sqrt()
