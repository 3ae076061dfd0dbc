"""What the leader-follower methods that solve a system in f_yy share."""

from __future__ import annotations

from dataclasses import dataclass

from minimax.game import GameError
from minimax.optimizer import Hyperparameter, Ruled
from minimax.tree import Point


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
        if isinstance(self.damping, int | float) and not self.damping >= 0:
            raise ValueError(f"damping must be >= 0, got {self.damping}.")
        if not (self.tolerance >= 0 and self.iterations >= 1):
            raise ValueError(f"needs tolerance >= 0 and iterations >= 1, got {self.tolerance}, {self.iterations}.")

    def check_two(self, z: Point) -> None:
        """Refuse any number of players but two."""
        if len(z) != 2:
            raise GameError(f"{self.name} needs two players, a leader and a follower, got {len(z)} players.")
