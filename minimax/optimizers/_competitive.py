"""The linear system of competitive gradient descent, whole or reduced to one of two players."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minimax import tree
from minimax.linear import Map, Solved, cg, gcr, inner, ravel, reciprocal, unravel
from minimax.linearization import Linearization
from minimax.tree import Point, Vector


def smaller(z: Point) -> int:
    """Which of two players has fewer numbers, the first if neither."""
    return int(tree.size(z[1]) < tree.size(z[0]))


def solved_for(z: Point) -> Vector:
    """The players whose moves are solved for: of two the smaller, else all."""
    return z[smaller(z)] if len(z) == 2 else tree.join(z)


def flat(metric: Any) -> Any:
    """A rule's metric as one number, or as one tensor."""
    return ravel(metric) if isinstance(metric, list) else metric


def enough(unknowns: int) -> int:
    """Iterations for an exact solve and then some for rounding; for networks, where that is out of reach, 10."""
    if unknowns > 512:
        return 10
    return max(10, 2 * unknowns) if tree.transformed() else max(40, 4 * unknowns)


@dataclass(frozen=True, eq=False)
class System:
    """(I + Q A H_o) Δ = d, H_o being DF without its own-player blocks: the best moves given the others'.

    Player i's is Δ_i = P(z_i + d_i - A_i (H_o Δ)_i) - z_i, P the projection on its feasible set. To first order that
    is the system with Q = DP and, for d, the move as projected: so z stays where P(z + d) = z, as at a constrained Nash
    point.

    Args:
        local: the game at the point.
        z: the point.
        d: per player its displacement without the others' answers, flat.
        A: per player its rule's metric: a number, or one per entry of d.
        Q: per player DP (see `tangent`), None where nothing is constrained.
        tolerance: the residual |d - (I + Q A H_o) Δ| / |d| to stop at, in the norm of A⁻¹.
        iterations: at most so many.
    """

    local: Linearization
    z: Point
    d: list[Tensor]
    A: list[Any]
    Q: list[Map | None]
    tolerance: float
    iterations: int

    def solve(self, correction: Tensor) -> tuple[Point, Tensor, Solved]:
        """Δ, by how much it corrects d for those that are solved for (see `solved_for`), and how well it is solved.

        Args:
            correction: a guess of what is returned, the solve's start.
        """
        if len(self.z) != 2:
            d = torch.cat(self.d)
            solved = self.whole(d + correction)
            return tree.split(unravel(solved.x, tree.join(self.z)), self.z), solved.x - d, solved
        i = smaller(self.z)
        n, like = len(self.d[i]), (self.z[i], self.z[1 - i])
        solved = self.reduced(i, self.d[i] + correction)
        Δ_i, Δ_j = tree.split(unravel(solved.x, tree.join(like)), like)
        return (Δ_j, Δ_i) if i else (Δ_i, Δ_j), solved.x[:n] - self.d[i], solved

    def whole(self, start: Tensor) -> Solved:
        """All players' Δ in one, by GCR from `start`, shape (n,)."""

        def apply(Δ: Tensor) -> Tensor:
            pulls = self.local.off_diagonal(tree.split(unravel(Δ, tree.join(self.z)), self.z))
            return Δ + torch.cat([self._answer(i, pull) for i, pull in enumerate(pulls)])

        weight = torch.cat([torch.ones_like(d_i) * reciprocal(A_i) for d_i, A_i in zip(self.d, self.A, strict=True)])
        r = torch.cat(self.d) - apply(start)
        return gcr(apply, start, r, self._size(), self.tolerance, self.iterations, weight)

    def reduced(self, i: int, start: Tensor) -> Solved:
        """Of two players (Δ_i, Δ_j), from `start` for Δ_i: player j's answer d_j - Q_j A_j H_ji Δ_i follows from Δ_i.

        What remains for Δ_i is self-adjoint and positive definite in zero-sum games without constraints, and solved by
        conjugate gradients.
        """
        j, n = 1 - i, len(start)

        def answer(Δ_i: Tensor) -> Tensor:
            return self._block(j, i, Δ_i)

        def at(Δ: Tensor) -> tuple[Tensor, Tensor]:
            Δ_i = Δ[:n]
            Δ_j = self.d[j] - answer(Δ_i)
            return torch.cat([Δ_i, Δ_j]), self.d[i] - Δ_i - self._block(i, j, Δ_j)

        def apply(Δ: Tensor) -> Tensor:
            return Δ[:n] + self._block(i, j, Δ[n:])

        def lift(Δ_i: Tensor) -> Tensor:
            return torch.cat([Δ_i, -answer(Δ_i)])

        x, r = at(start)
        weight, size = reciprocal(self.A[i]), self._size()
        if self.local.symmetry < 0 and not any(self.Q):
            return cg(apply, x, r, size, self.tolerance, self.iterations, weight, lift, afresh=at)
        return gcr(apply, x, r, size, self.tolerance, self.iterations, weight, lift)

    def _block(self, a: int, b: int, Δ_b: Tensor) -> Tensor:
        """Q_a A_a H_ab Δ_b."""
        return self._answer(a, self.local.jvp_block(a, b, unravel(Δ_b, self.z[b])))

    def _answer(self, i: int, pull: Vector) -> Tensor:
        """Q_i A_i times what the others' moves add to player i's gradient."""
        step: Tensor = self.A[i] * ravel(pull)
        Q = self.Q[i]
        return step if Q is None else Q(step)

    def _size(self) -> Tensor:
        """|d|² in the norm of A⁻¹."""
        return tree.total([inner(d_i, d_i, reciprocal(A_i)) for d_i, A_i in zip(self.d, self.A, strict=True)])
