"""DCGAN's networks: strided convolutions for images of 8, 16, 28, 32 or 64 pixels a side."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from benchmarks.networks.parts import BASES, Norm, batch_norm, dcgan_init, doublings, down, no_norm, squeeze, up


class Trunk(nn.Sequential):
    """Strided convolutions with doubling widths: (batch, channels, size, size) to (batch, features)."""

    def __init__(self, channels: int, size: int, width: int, norm: Norm = no_norm) -> None:
        widths = [width * 2**k for k in range(doublings(size))]
        first = nn.Sequential(nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2))  # DCGAN: no norm at the input
        rest = [down(a, b, norm) for a, b in pairwise(widths)]
        super().__init__(first, *rest, nn.Flatten())
        self.features = widths[-1] * BASES[size] ** 2


class Generator(nn.Module):
    """DCGAN generator, (batch, latent) to (batch, channels, size, size) (Radford et al. 2016); also a decoder.

    `output` ends it: `nn.Tanh` for images, `nn.Identity` for a decoder's logits or means.
    """

    def __init__(
        self,
        latent: int,
        channels: int,
        size: int,
        width: int = 32,
        norm: Norm = batch_norm,
        output: Callable[[], nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__()
        widths = [width * 2**k for k in reversed(range(doublings(size)))]
        first = nn.Sequential(nn.ConvTranspose2d(latent, widths[0], BASES[size]), norm(widths[0]), nn.ReLU())
        rest = [up(a, b, norm) for a, b in pairwise(widths)]
        last = nn.ConvTranspose2d(width, channels, 4, 2, 1)
        self.net = nn.Sequential(first, *rest, last, output()).apply(dcgan_init)

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z[:, :, None, None])


class Critic(nn.Module):
    """DCGAN critic, (batch, channels, size, size) to logits (batch,), or (batch, outputs) if there are several."""

    def __init__(self, channels: int, size: int, width: int = 32, norm: Norm = no_norm, outputs: int = 1) -> None:
        super().__init__()
        self.trunk = Trunk(channels, size, width, norm)
        self.head = nn.Linear(self.trunk.features, outputs)
        self.apply(dcgan_init)

    def forward(self, x: Tensor) -> Tensor:
        return squeeze(self.head(self.trunk(x)))
