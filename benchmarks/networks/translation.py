"""From image to image, and critics of patches."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from benchmarks.networks.parts import Norm, dcgan_init, down, instance_norm, up


class Residual(nn.Module):
    """x + f(x) with two 3 x 3 convolutions, the shape unchanged (He et al. 2016)."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        one, two = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.net = nn.Sequential(one, norm(width), nn.ReLU(), two, norm(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


class Translator(nn.Module):
    """CycleGAN's generator: down, residual blocks, up; (batch, inputs, side, side) to (batch, outputs, side, side).

    The sides must be multiples of 2 ** `downs` (Zhu et al. 2017, appendix 7.2).
    """

    def __init__(
        self, inputs: int, outputs: int, width: int = 16, blocks: int = 2, downs: int = 1, norm: Norm = instance_norm
    ) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(downs + 1)]
        pairs = list(pairwise(widths))
        self.net = nn.Sequential(
            nn.Sequential(nn.Conv2d(inputs, width, 3, padding=1), norm(width), nn.ReLU()),
            *(down(a, b, norm) for a, b in pairs),
            *(Residual(widths[-1], norm) for _ in range(blocks)),
            *(up(b, a, norm) for a, b in reversed(pairs)),
            nn.Sequential(nn.Conv2d(width, outputs, 3, padding=1), nn.Tanh()),
        ).apply(dcgan_init)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class PatchCritic(nn.Module):
    """Critic of patches, (batch, channels, side, side) to (batch, 1, side / 2^downs, ...) (Isola et al., 2017)."""

    def __init__(self, channels: int, width: int = 16, downs: int = 2, norm: Norm = instance_norm) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(downs)]
        first = nn.Sequential(nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2))
        rest = [down(a, b, norm) for a, b in pairwise(widths)]
        last = nn.Conv2d(widths[-1], 1, 3, padding=1)
        self.net = nn.Sequential(first, *rest, last).apply(dcgan_init)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
