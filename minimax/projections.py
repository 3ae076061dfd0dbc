"""Projections on feasible sets, applied to every leaf after every move: `Game(..., constraints=(None, box(-1, 1)))`.

`each` gives every leaf of a player its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.tree import Vector
from minimax.validation import function, real, shown

Projection: TypeAlias = Callable[[Tensor], Tensor]
Dim: TypeAlias = int | tuple[int, ...] | None


class Bounded(ABC):
    """The projection on a bounded set, over which linear functions have a smallest value."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """The nearest point of the set."""

    @abstractmethod
    def lowest(self, g: Tensor) -> Tensor:
        """A point of the set where <g, x> is smallest: the best answer to a payoff with gradient g everywhere."""


# ------------------------------------------------------------------------------------------------- on whole players


class each:
    """One projection per leaf of a player, in the order of its leaves: of a dict's entries, a module's parameters.

    Args:
        parts: per leaf, a projection or None.

    Raises:
        TypeError: a part that is no function.
        GameError: at the first move, another number of parts than the player has leaves.

    Example:
        >>> import torch, minimax as mm
        >>> only_weights = mm.projections.each(mm.projections.box(-1, 1), None)
        >>> layer = {"weight": torch.tensor([3.0]), "bias": torch.tensor([3.0])}
        >>> game = mm.Game(lambda layer: -layer["weight"].sum() - layer["bias"].sum(), constraints=(only_weights,))
        >>> mm.solve(game, (layer,), mm.SimultaneousGDA(mm.sgd(1.0)), steps=1).players[0]
        {'weight': tensor([1.]), 'bias': tensor([4.])}
    """

    def __init__(self, *parts: Projection | None) -> None:
        for k, part in enumerate(parts):
            if part is not None:
                function(f"parts[{k}] of each", part, "a projection of a tensor, or None")
        self.parts = parts

    def __repr__(self) -> str:
        return f"each({', '.join(map(repr, self.parts))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, each) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __call__(self, x: Tensor) -> Tensor:
        """A lone tensor is a player of one leaf."""
        return projected("each", self, [x])[0]


def parts(name: str, constraint: Projection | None, vector: Vector) -> tuple[Projection | None, ...]:
    """The projection of every leaf.

    Raises:
        GameError: an `each` of another length.
    """
    if not isinstance(constraint, each):
        return (constraint,) * len(vector)
    if len(constraint.parts) != len(vector):
        raise GameError(
            f"{name} has {len(constraint.parts)} projections for a player of {len(vector)} leaves: pass one, or None, "
            "for each."
        )
    return constraint.parts


def projected(name: str, constraint: Projection | None, vector: Vector) -> Vector:
    """A player's vector on its feasible set.

    Raises:
        GameError: a projection changes a shape or a dtype, or there are more or fewer of them than leaves.
    """
    if constraint is None:
        return vector
    new = []
    for project, leaf in zip(parts(name, constraint, vector), vector, strict=True):
        moved = leaf if project is None else project(leaf)
        if not isinstance(moved, Tensor) or moved.shape != leaf.shape or moved.dtype != leaf.dtype:
            raise GameError(f"{name} made {shown(moved)} of {shown(leaf)}: a projection keeps shape and dtype.")
        new.append(moved)
    return new


def lowest(name: str, constraint: Projection | None, g: Vector) -> Vector | None:
    """The point of a player's feasible set where <g, x> is smallest; None if the set is not known to be bounded."""
    point = []
    for part, leaf in zip(parts(name, constraint, g), g, strict=True):
        if not isinstance(part, Bounded):
            return None
        point.append(part.lowest(leaf))
    return point


# ------------------------------------------------------------------------------------------- bounds that are tensors


class _Bounds(Bounded):
    """A set whose bounds may be tensors; two with the same numbers are equal."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(map(_same, vars(self).values(), vars(other).values()))

    def __hash__(self) -> int:
        return hash((type(self), *(value for value in vars(self).values() if not isinstance(value, Tensor))))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a is b or (isinstance(a, Tensor) and isinstance(b, Tensor) and torch.equal(a, b))
    return bool(a == b)


def _check_bound(name: str, value: Any, **limits: Any) -> None:
    """Refuse a bound that is no number or tensor of such. Numbers are read where no device has to be waited for."""
    if not isinstance(value, Tensor):
        real(name, value, **limits)
    elif not value.is_floating_point():
        raise ValueError(f"{name} must be a floating point tensor, got {shown(value)}.")
    elif _readable(value):
        for entry in (value.amin(), value.amax()) if value.numel() else ():
            real(f"every entry of {name}", float(entry), **limits)


def _readable(*values: Any) -> bool:
    return not tree.transformed() and all(not isinstance(x, Tensor) or x.device.type == "cpu" for x in values)


def _fitted(what: str, bound: Any, x: Tensor) -> Any:
    """The bound in the dtype of x.

    Raises:
        GameError: a bound that does not broadcast to the shape of x.
    """
    if not isinstance(bound, Tensor):
        return bound
    try:
        fits = torch.broadcast_shapes(bound.shape, x.shape) == x.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise GameError(
            f"{what} has the shape {tuple(bound.shape)}, which does not broadcast to a leaf of shape {tuple(x.shape)}."
        )
    return bound.to(x.dtype)


# ------------------------------------------------------------------------------------------------------------- the sets


@dataclass(frozen=True, eq=False)
class box(_Bounds):
    """Clip every entry to [low, high]; on a critic's weights this is WGAN's weight clipping (Arjovsky et al., 2017).

    The ball of the largest entry, |x - c| <= ε for an image c, is box(c - ε, c + ε).

    Args:
        low: smallest value allowed; a number, or a tensor that broadcasts to every leaf.
        high: largest value allowed, likewise.

    Raises:
        ValueError: bounds that are no numbers (infinite ones are), or low > high (of tensors, only those on the CPU are
            looked at, as reading others would wait for the device).
        GameError: when applied, a bound that does not broadcast to the leaf.

    Example:
        >>> import torch
        >>> box(-1, 1)(torch.tensor([-3.0, 0.5]))
        tensor([-1.0000,  0.5000])
        >>> box(torch.tensor([-2.0, 0.7]), 1)(torch.tensor([-3.0, 0.5]))
        tensor([-2.0000,  0.7000])
    """

    low: float | Tensor
    high: float | Tensor

    def __post_init__(self) -> None:
        _check_bound("low", self.low, finite=False)
        _check_bound("high", self.high, finite=False)
        if _readable(self.low, self.high) and not torch.as_tensor(self.low <= self.high).all():
            given = [f"{name}={shown(value)}" for name, value in vars(self).items()]
            raise ValueError(f"low must not exceed high, got {', '.join(given)}.")

    def __call__(self, x: Tensor) -> Tensor:
        if not isinstance(self.low, Tensor) and not isinstance(self.high, Tensor):
            return x.clamp(self.low, self.high)  # at once, as a constrained step has one for every leaf
        return x.clamp(min=_fitted("low", self.low, x)).clamp(max=_fitted("high", self.high, x))

    def lowest(self, g: Tensor) -> Tensor:
        low, high = _fitted("low", self.low, g), _fitted("high", self.high, g)
        low = low if isinstance(low, Tensor) else torch.full_like(g, low)
        return torch.where(g > 0, low, high)


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


@dataclass(frozen=True, eq=False)
class ball(_Bounds):
    """The nearest point of the Euclidean ball |x| <= radius, per leaf, or per row of it.

    Args:
        radius: >= 0; a number, or a tensor that broadcasts to the rows' norms, those of `keepdim=True`.
        dim: the dimensions of one row, over which the norm is taken: (1, 2, 3) for every image of a batch; None for
            the whole leaf.

    Raises:
        ValueError: a radius that is negative or no number (of tensors, see `box`).
        GameError: when applied, a radius that does not broadcast to the norms.

    Example:
        >>> import torch
        >>> ball(1.0)(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
        >>> ball(1.0, dim=-1)(torch.tensor([[3.0, 4.0], [0.3, 0.4]]))
        tensor([[0.6000, 0.8000],
                [0.3000, 0.4000]])
    """

    radius: float | Tensor
    dim: Dim = None

    def __post_init__(self) -> None:
        _check_bound("radius", self.radius, at_least=0)
        _check_dim(self.dim)

    def __call__(self, x: Tensor) -> Tensor:
        norm = self._norm(x)
        radius = _fitted("radius", self.radius, norm)
        return torch.where(norm > radius, x * (radius / norm), x)

    def lowest(self, g: Tensor) -> Tensor:
        norm = self._norm(g)
        corner: Tensor = g * (-_fitted("radius", self.radius, norm) / norm)
        return torch.where(norm > 0, corner, 0)

    def _norm(self, x: Tensor) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(x, dim=self.dim, keepdim=self.dim is not None)
        return norm


@dataclass(frozen=True, eq=False)
class l1_ball(_Bounds):
    """The nearest point of {Σ |x| <= radius}, per leaf, or per row of it: a threshold that many entries do not pass.

    x itself inside; outside sign(x) times the projection of |x| on the simplex of that size (Duchi et al., 2008).

    Args:
        radius: > 0; a number, or a tensor that broadcasts to the rows' norms, those of `keepdim=True`.
        dim: the dimensions of one row; None for the whole leaf.

    Raises:
        ValueError: a radius that is not positive, or no number (of tensors, see `box`).
        GameError: when applied, a radius that does not broadcast to the norms.

    Example:
        >>> import torch
        >>> l1_ball(1.0)(torch.tensor([1.0, -0.5, 0.1]))
        tensor([ 0.7500, -0.2500,  0.0000])
    """

    radius: float | Tensor
    dim: Dim = None

    def __post_init__(self) -> None:
        _check_bound("radius", self.radius, above=0)
        _check_dim(self.dim)

    def __call__(self, x: Tensor) -> Tensor:
        rows, back = _rows(x, self.dim)
        norm = torch.linalg.vector_norm(x, 1, dim=self.dim, keepdim=self.dim is not None)
        radius = _fitted("radius", self.radius, norm)
        scale = radius if not isinstance(radius, Tensor) else _rows(radius.expand_as(norm), self.dim)[0]
        outside = back(rows.sign() * scale * simplex()(rows.abs() / scale))
        return torch.where(norm > radius, outside, x)

    def lowest(self, g: Tensor) -> Tensor:
        rows, back = _rows(g, self.dim)
        corner = torch.zeros_like(rows).scatter(-1, rows.abs().argmax(-1, keepdim=True), 1)
        norm = torch.linalg.vector_norm(g, 1, dim=self.dim, keepdim=self.dim is not None)
        point: Tensor = -_fitted("radius", self.radius, norm) * back(rows.sign() * corner)
        return point


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


def _check_dim(dim: Any) -> None:
    entries = dim if isinstance(dim, tuple) else () if dim is None else (dim,)
    if not all(isinstance(entry, int) and not isinstance(entry, bool) for entry in entries):
        raise ValueError(f"dim must be an integer, a tuple of integers, or None, got {shown(dim)}.")


def _rows(x: Tensor, dim: Dim) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """x with the dimensions of one row joined in the last one, and the way back."""
    if dim is None:
        return x.reshape(-1), lambda rows: rows.reshape(x.shape)
    dims = [d % x.dim() for d in (dim if isinstance(dim, tuple) else (dim,))]
    order = [d for d in range(x.dim()) if d not in dims] + dims
    moved = x.permute(order)
    inverse = sorted(range(x.dim()), key=order.__getitem__)
    return moved.flatten(x.dim() - len(dims)), lambda rows: rows.reshape(moved.shape).permute(inverse)
