"""What the leader-follower methods that solve a system in f_yy share."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from minimax.errors import GameError
from minimax.linear_maps import Expansion
from minimax.optimizer import Hyperparameter, Ruled
from minimax.tree import Point
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

    def check_two(self, z: Point) -> None:
        """Refuse any number of players but two."""
        if len(z) != 2:
            raise GameError(f"{self.name} needs two players, a leader and a follower, got {len(z)} players.")
