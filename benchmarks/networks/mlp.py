"""Networks of linear layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from benchmarks.networks.parts import squeeze


class MLP(nn.Sequential):
    """Linear layers of the given sizes with an activation in between: (batch, sizes[0]) to (batch, sizes[-1]).

    >>> import torch
    >>> MLP((2, 128, 128, 1), nn.Tanh)(torch.zeros(5, 2)).shape
    torch.Size([5, 1])
    """

    def __init__(self, sizes: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU) -> None:
        layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), activation())]
        super().__init__(*layers[:-1])


class MLPGenerator(nn.Module):
    """Two hidden layers, (batch, latent) to (batch, channels, size, size): the small partner of `Generator`."""

    def __init__(
        self, latent: int, channels: int, size: int, width: int = 128, output: Callable[[], nn.Module] = nn.Tanh
    ) -> None:
        super().__init__()
        self.net = nn.Sequential(MLP((latent, width, width, channels * size**2)), output())
        self.shape = (channels, size, size)

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z).unflatten(1, self.shape)


class MLPCritic(nn.Module):
    """Two hidden layers with slope .2, (batch, channels, size, size) to logits (batch,) (or (batch, outputs))."""

    def __init__(self, channels: int, size: int, width: int = 128, outputs: int = 1) -> None:
        super().__init__()
        self.net = MLP((channels * size**2, width, width, outputs), lambda: nn.LeakyReLU(0.2))

    def forward(self, x: Tensor) -> Tensor:
        return squeeze(self.net(x.flatten(1)))


class MLPEncoder(nn.Module):
    """Gaussian encoder with two hidden layers, images to (mean, log variance), each (batch, latent)."""

    def __init__(self, channels: int, size: int, width: int = 128, latent: int = 8) -> None:
        super().__init__()
        self.net = MLP((channels * size**2, width, width, 2 * latent))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_var = self.net(x.flatten(1)).chunk(2, dim=1)
        return mean, log_var


class NormedGenerator(nn.Sequential):
    """Two hidden layers with BatchNorm by the batch's own statistics, (batch, latent) to (batch, channels, size, size).

    Without BatchNorm an MLP of this size loses most modes of the digits in a short run.
    """

    def __init__(self, latent: int, channels: int, size: int, width: int) -> None:
        hidden = [
            nn.Sequential(nn.Linear(inputs, width), nn.BatchNorm1d(width, track_running_stats=False), nn.ReLU())
            for inputs in (latent, width)
        ]
        shape = (channels, size, size)
        super().__init__(*hidden, nn.Linear(width, channels * size**2), nn.Tanh(), nn.Unflatten(1, shape))
