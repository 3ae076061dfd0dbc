"""What the leader-follower methods that solve a system in f_yy share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.linear import Map, ravel, unravel
from minimax.linear_maps import Expansion
from minimax.linearization import Linearization
from minimax.optimizer import Hyperparameter, Ruled
from minimax.optimizers._tangent import tangent
from minimax.oracle import Oracle
from minimax.tree import Point, Vector
from minimax.validation import hyperparameter, real, whole


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

    def check_two(self, z: Point) -> None:
        """Refuse any number of players but two."""
        if len(z) != 2:
            raise GameError(f"{self.name} needs two players, a leader and a follower, got {len(z)}.")
