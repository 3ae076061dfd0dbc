from __future__ import annotations

from torch import nn

from benchmarks.data import base
from benchmarks.problems.vaes._likelihoods import Likelihood, Logistic, ScaledDecoder
from benchmarks.problems.vaes._variational import Variational, presets

LEVELS = {"digits": 17}  # grey levels; other sets have 256
FLOOR = -7.0  # of a log scale, as in the source


class LogisticVAE(Variational):
    """VAE of grey levels: p(x|z) puts each pixel's level into a cell of a logistic density; one player.

    The scales are parameters, one a pixel. As levels are discrete, `nll` is of a probability, and `bits` a pixel are
    those of a code.

    Source: Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow, 2016, section 6.1.
    """

    name = "vae-logistic"
    presets = presets(1300)

    @property
    def likelihood(self) -> Likelihood:  # type: ignore[override]
        return Logistic(LEVELS.get(base(str(self.data)), 256))

    def decoder(self) -> nn.Module:
        shape = (self.images.channels, self.images.size, self.images.size)
        return ScaledDecoder(super().decoder(), shape, FLOOR)
