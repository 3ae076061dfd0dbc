"""Grey pixels with Gaussian noise of one variance, which is learned."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from benchmarks.networks import MLPGenerator
from benchmarks.problems._gaussian import Gaussian
from benchmarks.problems.vaes._likelihoods import MOST, Likelihood, Trivial

LEAST = -6.0  # log s² of the pixels: those that never vary would send it to -∞


class Grey(Likelihood):
    """p(x|z) = N(f(z), s² I), a density of images in [-1, 1]; a decoder tells a Gaussian of pixels."""

    discrete = False

    def log(self, told: Gaussian, x: Tensor) -> Tensor:
        return Gaussian(told.mean.flatten(1), told.log_var).log(x.flatten(1))

    def mean(self, told: Gaussian) -> Tensor:
        return told.mean

    def drawn(self, told: Gaussian, stream: torch.Generator) -> Tensor:
        """Means: the noise stands for what the model leaves out, and nobody wants to see it."""
        return told.mean

    def trivial(self, train: Tensor, test: Tensor, latent: int) -> Iterator[Trivial]:
        from sklearn.decomposition import PCA  # only now: workers that need no floors do without

        known, asked = (x.flatten(1).double().cpu().numpy() for x in (train[:MOST], test))
        yield Trivial("ppca", -float(PCA(latent, svd_solver="full").fit(known).score(asked)))


class GreyDecoder(nn.Module):
    """z (batch, latent) to the Gaussian of the pixels, images (batch, channels, size, size)."""

    def __init__(self, latent: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        self.net = MLPGenerator(latent, channels, size, width)
        self.log_var = nn.Parameter(torch.tensor(-2.0))

    def forward(self, z: Tensor) -> Gaussian:
        return Gaussian(self.net(z), self.log_var.clamp(min=LEAST))
