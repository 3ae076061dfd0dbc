"""What the leader-follower methods that solve a system in f_yy share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.linear import Map, cg, inner, neumann, neumann_term, ravel, unravel
from minimax.linear_maps import Expansion
from minimax.linearization import Linearization
from minimax.optimizer import Hyperparameter, Ruled, State, constant
from minimax.optimizers._tangent import tangent
from minimax.oracle import Oracle
from minimax.rules.rule import zero
from minimax.tree import Point, Vector
from minimax.validation import function, hyperparameter, real, whole


def two(name: str, z: Point) -> None:
    """Refuse any number of players but two, in the words of the method of this name.

    Raises:
        GameError: another number.
    """
    if len(z) != 2:
        raise GameError(f"{name} needs two players, a leader and a follower, got {len(z)}.")


@dataclass(frozen=True)
class Implicit(Ruled):
    """A method of a leader and a follower with a damped, matrix-free solve.

    Args:
        damping: μ >= 0; a float, tensor, or schedule.
        tolerance: the relative residual to stop at.
        iterations: at most so many.

    Raises:
        ValueError: a negative damping or tolerance, or iterations below 1.
    """

    damping: Hyperparameter = 0.0
    tolerance: float = 1e-6
    iterations: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("damping", self.damping, at_least=0)
        real("tolerance", self.tolerance, at_least=0)
        whole("iterations", self.iterations, at_least=1)

    def unsolvable(self, at: Expansion) -> str:
        """Why there is no linear map; empty where there is one.

        Where f_yy is zero throughout conjugate gradients stay at zero, as the pseudoinverse does.
        """
        if len(at.blocks) != 2:
            return "undefined: for two players"
        own = at.J[at.blocks[1], at.blocks[1]]
        if self.iterations < len(own):
            return "undefined: fewer iterations than the follower has unknowns"
        singular = abs(float(torch.linalg.det(own))) < 1e-12 and (bool(own.any()) or at.bent)
        return "undefined: J_yy is singular at the equilibrium" if singular else ""

    def damped(self, B: Map, state: State) -> Map:
        """B + μ."""
        μ = self.at(self.damping, state)
        return B if zero(μ) else lambda v: B(v) + μ * v

    def answering(self, game: Oracle, local: Linearization, y: Vector) -> tuple[Map, Map]:
        """Q and B of the follower's answer to first order, dy = -Q B⁻¹ Q (∂_x∂_y L_2) dx, on flat tensors.

        The answer is where y = P(y - ∂_y L_2), P the projection on the follower's feasible set. With Q = DP there and
        H = ∂_y∂_y L_2, its derivative is (I - Q + QH) dy = -Q (∂_x∂_y L_2) dx, so that B = Q (I - Q) + QHQ: on a box H
        on the entries that are free, H itself without a constraint.
        """

        def hessian(v: Tensor) -> Tensor:
            return ravel(local.vjp_block(1, 1, unravel(v, y)))

        Q = tangent(game, 1, tree.sub(y, local.field[1]))
        if Q is None:
            return lambda v: v, hessian

        def restricted(v: Tensor) -> Tensor:
            u = Q(v)
            curved = Q(v - u)  # 0 on boxes and simplices, up to rounding, by which no system may be solved
            noise = 64 * torch.finfo(v.dtype).eps * v.norm()
            return Q(hessian(u)) + torch.where(curved.norm() > noise, curved, 0)

        return Q, restricted


@dataclass(frozen=True)
class Solving(Implicit):
    """A method that solves a system B u = b by conjugate gradients, by a Neumann series, or by one of its terms.

    Args:
        neumann: a of the series a Σ_{k<iterations} (I - aB)ᵏ b; None for conjugate gradients.
        draw: of a batch, a uniform number in [0, 1) that draws one of the terms; None for all of them.

    Raises:
        ValueError: a neumann that is not positive, or a draw without one.
        TypeError: a draw that is no function.
    """

    neumann: Hyperparameter | None = None
    draw: Callable[[Any], Tensor] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neumann is not None:
            hyperparameter("neumann", self.neumann, above=0)
        if self.draw is not None:
            function("draw", self.draw, "a function of the batch")
            if self.neumann is None:
                raise ValueError(
                    "draw draws a term of a Neumann series, and conjugate gradients have none: say neumann."
                )

    def solution(self, B: Map, b: Tensor, state: State, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """u with B u = b, nearly, and what `Info.extra` tells of it."""
        if self.neumann is None:
            solved = cg(B, 0 * b, b, inner(b, b), self.tolerance, self.iterations)
            return solved.x, solved.told(self.tolerance)
        a = self.at(self.neumann, state)
        if self.draw is None:
            series = neumann(B, b, a, self.iterations)
            return series.x, series.told(1.0)  # few terms are meant to leave a residual, but none above 1
        u, k = neumann_term(B, b, a, self.iterations, self.draw(batch))
        return u, {"iterations": k}

    def inverse(self, B: Tensor) -> Tensor:
        """The matrix of `solution`."""
        if self.neumann is None:
            exact: Tensor = torch.linalg.pinv(B)
            return exact
        step = torch.eye(len(B), dtype=B.dtype) - constant(self.neumann) * B
        powers = torch.stack([torch.linalg.matrix_power(step, k) for k in range(self.iterations)])
        series: Tensor = constant(self.neumann) * powers.sum(0)
        return series

    def unsolvable(self, at: Expansion) -> str:
        if self.neumann is None:
            return super().unsolvable(at)
        return "" if len(at.blocks) == 2 else "undefined: for two players"
