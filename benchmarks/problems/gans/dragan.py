from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.problem import Batch, Recipe
from benchmarks.problems._images import ImageGAN, presets
from benchmarks.problems._losses import logistic_critic, nonsaturating_generator
from minimax import penalties
from minimax.transforms import add


class DRAGAN(ImageGAN):
    """NS-GAN whose critic pays for slopes other than 1 around the data: + 10 E(|∇D(x̂)| - 1)², x̂ = x + ½ std(x) u.

    D is the logit and u uniform on [0, 1], as in the authors' code, which goes but a uniform part of the way from x to
    x̂, one for each image; the paper has σ(D) and normal noise. As a slope of 1 is asked for even where samples are
    data, the critic goes on pushing there: D = wx on N(0, 1) has w* = ±.979634.

    Source: Kodali, Abernethy, Hays & Kira, On Convergence and Stability of GANs, 2017.
    """

    name = "dragan"
    presets = presets(1000)
    # The source's rate is 1e-4 with betas (.5, .9).
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-3, betas=(0.5, 0.9)), ema=50)

    def game(self) -> mm.Game:
        return add(mm.Game(nonsaturating_generator, logistic_critic), penalty, player=1, weight=10.0)

    def extras(self, stream: torch.Generator, size: int) -> dict[str, Tensor]:
        shape = (size, self.images.channels, self.images.size, self.images.size)
        return {"around": torch.rand(shape, generator=stream, device=self.device)}


def penalty(g: nn.Module, d: nn.Module, batch: Batch) -> Tensor:
    """E(|∇D(x̂)| - 1)²."""
    return penalties.dragan(d, batch["real"], batch["around"])
