"""Projections on feasible sets, applied to every leaf after every move: `Game(..., constraints=(None, box(-1, 1)))`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from minimax.errors import GameError
from minimax.tree import Vector
from minimax.validation import real, shown

Projection: TypeAlias = Callable[[Tensor], Tensor]


def projected(name: str, constraint: Projection, vector: Vector) -> Vector:
    """A player's vector, every leaf put through a projection.

    Raises:
        GameError: the projection changes a shape or a dtype.
    """
    new = [constraint(leaf) for leaf in vector]
    for old, leaf in zip(vector, new, strict=True):
        if not isinstance(leaf, Tensor) or leaf.shape != old.shape or leaf.dtype != old.dtype:
            raise GameError(f"{name} made {shown(leaf)} of {shown(old)}: a projection keeps shape and dtype.")
    return new


class Bounded(ABC):
    """The projection on a bounded set, over which linear functions have a smallest value."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """The nearest point of the set."""

    @abstractmethod
    def lowest(self, g: Tensor) -> Tensor:
        """A point of the set where <g, x> is smallest: the best answer to a payoff with gradient g everywhere."""


@dataclass(frozen=True)
class box(Bounded):
    """Clip every entry to [low, high]; on a critic's weights this is WGAN's weight clipping (Arjovsky et al., 2017).

    Args:
        low: smallest value allowed.
        high: largest value allowed.

    Raises:
        ValueError: bounds that are no numbers (infinite ones are), or low > high.

    Example:
        >>> import torch
        >>> box(-1, 1)(torch.tensor([-3.0, 0.5]))
        tensor([-1.0000,  0.5000])
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        real("low", self.low, finite=False)
        real("high", self.high, finite=False)
        if not self.low <= self.high:
            raise ValueError(f"low must not exceed high, got low={self.low}, high={self.high}.")

    def __call__(self, x: Tensor) -> Tensor:
        return x.clamp(self.low, self.high)

    def lowest(self, g: Tensor) -> Tensor:
        return torch.where(g > 0, torch.full_like(g, self.low), self.high)


def weight_clipping(c: float) -> box:
    """WGAN's constraint |w| <= c on every weight of the critic (Arjovsky et al., 2017, c = 0.01).

    Raises:
        ValueError: a c that is negative or no number.

    Example:
        >>> weight_clipping(0.01)
        box(low=-0.01, high=0.01)
    """
    real("c", c, at_least=0)
    return box(-c, c)


@dataclass(frozen=True)
class ball(Bounded):
    """The nearest point of the Euclidean ball |x| <= radius, per leaf.

    Args:
        radius: >= 0.

    Raises:
        ValueError: a radius that is negative or no number.

    Example:
        >>> import torch
        >>> ball(1.0)(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
    """

    radius: float

    def __post_init__(self) -> None:
        real("radius", self.radius, at_least=0)

    def __call__(self, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x)
        return torch.where(norm > self.radius, x * (self.radius / norm), x)

    def lowest(self, g: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(g)
        return torch.where(norm > 0, g * (-self.radius / norm), 0)


@dataclass(frozen=True)
class simplex(Bounded):
    """The nearest point of the probability simplex {x >= 0, Σ x = 1} along the last dimension.

    Sorts once and shifts by the threshold that makes the positive part sum to one (Held, Wolfe & Crowder, 1974).

    Example:
        >>> import torch
        >>> simplex()(torch.tensor([0.5, 0.9, -2.0]))
        tensor([0.3000, 0.7000, 0.0000])
    """

    def __call__(self, x: Tensor) -> Tensor:
        u = x.sort(dim=-1, descending=True).values
        excess = (u.cumsum(-1) - 1) / torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=x.dtype)
        support = (u > excess).sum(-1, keepdim=True)
        return (x - excess.gather(-1, support - 1)).clamp(min=0)

    def lowest(self, g: Tensor) -> Tensor:
        return torch.zeros_like(g).scatter(-1, g.argmin(-1, keepdim=True), 1)
