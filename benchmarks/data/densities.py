"""Known densities, which can be drawn from and evaluated."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


class Mixture(ABC):
    """Equal-weight mixture of isotropic Gaussians on R^d, p(x) = 1/K sum_k N(x; mean_k, std² I)."""

    std: float

    @abstractmethod
    def means(self) -> Tensor:
        """Return the modes, (K, d)."""

    def sample(self, generator: Generator, size: int) -> Tensor:
        """Draw points on the generator's device, (size, d)."""
        means, device = self.means().to(generator.device), generator.device
        index = torch.randint(len(means), (size,), generator=generator, device=device)
        noise = torch.randn(size, means.shape[1], generator=generator, device=device)
        return means[index] + self.std * noise

    def log_density(self, x: Tensor) -> Tensor:
        """Log density in nats, (n, d) to (n,)."""
        means = self.means().to(x)
        square = (x[:, None] - means).square().sum(-1)  # (n, K)
        constant = math.log(len(means)) + means.shape[1] / 2 * math.log(2 * math.pi * self.std**2)
        return torch.logsumexp(-square / (2 * self.std**2), dim=1) - constant


@dataclass(frozen=True)
class Ring(Mixture):
    """`modes` distinct Gaussians on a circle: angle 2 pi k / K for k < K, so the end point is not repeated.

    >>> Ring().means().shape, len(Ring().means().round(decimals=4).unique(dim=0))
    (torch.Size([8, 2]), 8)
    """

    modes: int = 8
    radius: float = 2.0
    std: float = 0.02

    def means(self) -> Tensor:
        angle = torch.arange(self.modes) * (2 * math.pi / self.modes)
        return self.radius * torch.stack((angle.cos(), angle.sin()), dim=1)


@dataclass(frozen=True)
class Grid(Mixture):
    """`side x side` Gaussians on a centred square lattice (VEEGAN, Srivastava et al. 2017, section 4.1)."""

    side: int = 5
    spacing: float = 2.0
    std: float = 0.05

    def means(self) -> Tensor:
        line = (torch.arange(self.side) - (self.side - 1) / 2) * self.spacing
        return torch.cartesian_prod(line, line)
