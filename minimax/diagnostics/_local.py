"""A game at one point, on flat vectors: what every diagnostic starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.game import Game
from minimax.info import natural
from minimax.oracle import Oracle, Players
from minimax.transforms import Payoff
from minimax.tree import Point, Vector

DENSE = 512
"""Up to this many parameters the Jacobian is written out, beyond it only products are taken."""


class Local:
    """Field and Jacobian products of a game at one point, as 1-D tensors of all players' parameters in order."""

    def __init__(self, game: Game, players: Players, batch: Any = None) -> None:
        self.game = game
        self.oracle, self.z = game.enter(players)
        self.linear = self.oracle.linearize(self.z, batch)
        self.sizes = tuple(tree.size(vector) for vector in self.z)
        self.n = sum(self.sizes)
        self.field = flat(self.linear.field)
        self.constraints = game.constraints or (None,) * len(self.z)
        self.symmetric = self.linear.symmetry == 1  # DF is a Hessian, whatever rounding makes of its two triangles

    @property
    def small(self) -> bool:
        """Whether the Jacobian may be written out."""
        return self.n <= DENSE

    @property
    def residual(self) -> float:
        """|z - P(z - F)|, P the projections on the constraints; |F| where nothing is constrained."""
        return float(flat(natural(self.z, self.linear.field, self.constraints)).norm())

    @property
    def bound(self) -> bool:
        """Whether a constraint takes part of some small move away: on the boundary, and everywhere on a simplex."""
        signs = random_signs(self.n, 1, 0, self.field)[0]
        moves = self.point(1e-5 * max(1.0, float(flat(self.z).norm())) * signs)
        for away in (moves, tuple(tree.neg(move) for move in moves)):
            left = natural(self.z, away, self.constraints)  # z - P(z - away), which is `away` where P is the identity
            if not torch.allclose(flat(left), flat(away), rtol=0.05):
                return True
        return False

    def jvp(self, v: Tensor) -> Tensor:
        """J v, shape (n,)."""
        return finite(flat(self.linear.jvp(self.point(v))))

    def vjp(self, u: Tensor) -> Tensor:
        """Jᵀ u, shape (n,)."""
        return finite(flat(self.linear.vjp(self.point(u))))

    def own(self, i: int) -> Callable[[Tensor], Tensor]:
        """v -> (∂_i² L_i) v for v of player i's size."""
        return lambda v: finite(flat((self.linear.vjp_block(i, i, self._vector(v, i)),)))

    def parts(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """S v and A v; a part below the rounding of the products is zero."""
        pulled = self.vjp(v)
        if self.symmetric:
            return pulled, torch.zeros_like(pulled)
        pushed = self.jvp(v)
        return cleaned((pushed + pulled) / 2, (pushed - pulled) / 2)

    def matrix(self) -> Tensor:
        """J, shape (n, n), row by row."""
        rows = [self.vjp(e) for e in torch.eye(self.n, dtype=self.field.dtype, device=self.field.device)]
        J = torch.stack(rows) + 0.0  # no -0
        return (J + J.T) / 2 if self.symmetric else J

    def exact(self) -> Tensor:
        """J in float64 on the CPU, a symmetric or skew part that is below the players' rounding set to zero."""
        S, A = symmetric_and_skew(self.matrix())
        return S.double().cpu() + A.double().cpu()

    def point(self, x: Tensor) -> Point:
        """The inverse of `flat`."""
        return tuple(self._vector(part, i) for i, part in enumerate(x.split(self.sizes)))

    def _vector(self, x: Tensor, i: int) -> Vector:
        leaves = self.z[i]
        parts = x.split([leaf.numel() for leaf in leaves])
        return [part.reshape(leaf.shape).to(leaf.dtype) for part, leaf in zip(parts, leaves, strict=True)]

    def slices(self) -> list[slice]:
        """Where each player's parameters lie."""
        ends = torch.tensor(self.sizes).cumsum(0).tolist()
        return [slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]


class Common(Payoff):
    """Everyone pays what player i pays: then F is the gradient of L_i, and DF its Hessian."""

    def __init__(self, inner: Oracle, i: int) -> None:
        super().__init__(inner)
        self.i, self.signs, self.joint = i, (1,) * inner.players, True

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        return (self.inner.loss(z, self.i, batch),) * self.players

    def may_ignore(self, i: int) -> bool:
        return True


def flat(z: Point) -> Tensor:
    """All numbers of a point, shape (n,)."""
    return torch.cat([leaf.reshape(-1) for leaf in tree.join(z)])


def finite(product: Tensor) -> Tensor:
    """A product with the Jacobian, if it is one.

    Raises:
        GameError: it is not finite.
    """
    if not bool(torch.isfinite(product).all()):
        raise GameError(
            "products with the game's Jacobian are not finite here: play has blown up at these players. Ask at earlier "
            "ones, such as a checkpoint, or where a smaller rate leads to."
        )
    return product


def cleaned(S: Tensor, A: Tensor) -> tuple[Tensor, Tensor]:
    """The parts of a product or of a matrix, with what is below its rounding set to zero."""
    noise = 64 * torch.finfo(S.dtype).eps * torch.maximum(S.norm(), A.norm())
    return S * (S.norm() > noise), A * (A.norm() > noise)


def symmetric_and_skew(J: Tensor) -> tuple[Tensor, Tensor]:
    """S = (J + Jᵀ)/2 and A = (J - Jᵀ)/2, each exactly zero if it is below rounding."""
    return cleaned((J + J.T) / 2, (J - J.T) / 2)


def random_signs(n: int, count: int, seed: int, like: Tensor) -> Tensor:
    """Rademacher vectors, shape (count, n), the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(2, (count, n), generator=generator) * 2 - 1).to(like)
