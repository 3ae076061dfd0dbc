"""What is linear about an optimizer: its step near an equilibrium as a matrix, which each method states in its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ADAPTIVE = "adaptive"
SCHEDULED = "undefined: a parameter follows a schedule"
NO_FORMULA = "undefined: no formula here"
ELSEWHERE = "undefined: the equilibrium is not its fixed point"


@dataclass(frozen=True, eq=False)
class Expansion:
    """A game to second order at a point z*, written out: what `diagnostics.expand` makes and linear maps are made of.

    Args:
        H: per player the Hessian of its loss in all players' parameters, shape (n, n).
        g: per player the gradient of its loss, shape (n,); the parts that are not its own need not be zero at z*.
        blocks: where each player's parameters lie.
        bent: whether the last player's own Hessian is another one nearby.
    """

    H: list[Tensor]
    g: list[Tensor]
    blocks: list[slice]
    bent: bool = False

    @property
    def J(self) -> Tensor:
        """DF, shape (n, n): each player's rows of its own Hessian. A new tensor."""
        return torch.cat([H_i[rows] for H_i, rows in zip(self.H, self.blocks, strict=True)])

    @property
    def off(self) -> Tensor:
        """H_o: DF without its own-player blocks. A new tensor."""
        off = self.J
        for rows in self.blocks:
            off[rows, rows] = 0
        return off

    @property
    def eye(self) -> Tensor:
        """The identity, shape (n, n). A new tensor."""
        return torch.eye(len(self.H[0]), dtype=self.H[0].dtype)

    def raised(self, i: int, by: Tensor) -> Tensor:
        """DF with something added to player i's rows."""
        J = self.J
        J[self.blocks[i]] += by
        return J

    def in_turn(self, parts: Sequence[slice], D: Tensor) -> Tensor:
        """The step in which these parts of z move one after the other, each seeing the moves before its own."""
        M, hJ = self.eye, D @ self.J
        for rows in parts:
            M[rows] -= hJ[rows] @ M
        return M

    def shaped(self, i: int) -> bool:
        """Whether player i gains, at this point, by how the others answer its move."""
        others = [rows for rows in self.blocks if rows != self.blocks[i]]
        pulls = [self.J[rows, self.blocks[i]].T @ self.g[i][rows] for rows in others]
        return max([float(pull.abs().max()) for pull in pulls], default=0.0) > 1e-9


@dataclass(frozen=True, eq=False)
class LinearMap:
    """Steps of an optimizer near an equilibrium, s⁺ = M s; s is z - z*, and below it whatever is remembered.

    Args:
        matrix: M, shape (m, m) with m >= n.
        start: S in s_0 = S (z_0 - z*), shape (m, n); None for the identity.
        steps: how many of the optimizer's steps M makes.
        late: whether this holds only after many steps: an anchor's weight has vanished, or candidates have merged.
        sublinear: whether, where M does not grow, the residual falls as 1/k for what an anchor still weighs.
        mean: whether the answer is a mean, whose residual falls as 1/k however fast z converges.
    """

    matrix: Tensor
    start: Tensor | None = None
    steps: int = 1
    late: bool = False
    sublinear: bool = False
    mean: bool = False

    def factor(self, at: Expansion) -> float:
        """By how much a step multiplies the residual |J z| in the long run."""
        factor: float = radius(self.matrix, at.J) ** (1 / self.steps)
        return factor


def radius(M: Tensor, J: Tensor) -> float:
    """The largest modulus of the eigenvalues of M, without the directions that no residual J z ever shows."""
    n = len(J)
    shown = torch.cat([J @ torch.linalg.matrix_power(M, k)[:n] for k in range(len(M))])
    _, σ, V = torch.linalg.svd(shown, full_matrices=False)
    seen = V[σ > 1e-8 * σ[0]]
    largest: float = torch.linalg.eigvals(seen @ M @ seen.T).abs().max().item()
    return largest


def assembled(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """A matrix from its blocks, row by row."""
    return torch.cat([torch.cat(list(row), 1) for row in rows])
