from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import nn

from benchmarks.problems.vaes._likelihoods import Likelihood, Normal, ScaledDecoder
from benchmarks.problems.vaes._variational import Variational, presets

FLOOR = 2 * math.log(0.1)  # of log s²: s is at least a tenth where pixels go from -1 to 1, .05 where they go from 0


class GaussianVAE(Variational):
    """VAE of grey images, p(x|z) = N(f(z), s²I), one s² for all pixels, learned; one player.

    -log N keeps both of its terms that a squared error drops: ½ log 2π, which shifts the score, and ½ log s², without
    which s² runs away. s ≥ .1 on pixels in [-1, 1], as those that never change would send it to 0 and log p to
    infinity; so `nll` is of a density, and may be negative. `ppca`: of the linear model with as many latents.

    Source: Kingma & Welling, Auto-Encoding Variational Bayes, 2014; Rybkin, Daniilidis & Levine, σ-VAE, 2021.
    """

    name = "vae-gaussian"
    presets = presets(1300)
    likelihood: ClassVar[Likelihood] = Normal()
    targets: ClassVar[Mapping[str, float]] = {"nll": 30.84}
    each: ClassVar[bool] = False
    """Whether each pixel has a variance of its own."""

    def decoder(self) -> nn.Module:
        shape = (self.images.channels, self.images.size, self.images.size) if self.each else (1, 1, 1)
        return ScaledDecoder(super().decoder(), shape, FLOOR)


class PixelGaussianVAE(GaussianVAE):
    """The same with a variance of each pixel."""

    name = "vae-gaussian-pixels"
    each = True
