"""Grey pixels with Gaussian noise of one variance, which is learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.networks import MLPGenerator
from benchmarks.problems.vaes._likelihoods import Normal, Scaled

LEAST = -6.0  # log s² of the pixels: those that never vary would send it to -∞


class Grey(Normal):
    """Normal pixels whose noise stands for what the model leaves out: nobody wants to see it in a sample."""

    def drawn(self, told: Scaled, stream: torch.Generator) -> Tensor:
        return told.mean


class GreyDecoder(nn.Module):
    """z (batch, latent) to pixels in [-1, 1] (batch, channels, size, size) and the log variance of all."""

    def __init__(self, latent: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        self.net = MLPGenerator(latent, channels, size, width)
        self.log_var = nn.Parameter(torch.tensor(-2.0))

    def forward(self, z: Tensor) -> Scaled:
        return Scaled(self.net(z), self.log_var.clamp(min=LEAST))
