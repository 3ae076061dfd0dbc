"""What a game in closed form carries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minimax import tree
from minimax.game import Game
from minimax.oracle import Players


@dataclass(frozen=True)
class ClosedForm:
    """A game with its answers.

    Args:
        name: of the game.
        game: the losses.
        start: players to start from, in torch's default dtype (or the dtype of the matrix that was passed).
        equilibrium: the equilibrium, or one of them where the docstring says so.
        eigenvalues: of DF at the equilibrium, all of them; empty where F is not differentiable there.
        lipschitz: the largest singular value of DF at the equilibrium, L of step size rules; where F is linear it is
            the Lipschitz constant of F. Infinite where F is not differentiable.
        batches: for stochastic games, the function k -> k-th batch.
    """

    name: str
    game: Game
    start: Players
    equilibrium: Players
    eigenvalues: tuple[complex, ...]
    lipschitz: float
    batches: Callable[[int], Any] | None = None

    @property
    def attracts(self) -> bool:
        """Whether simultaneous play with small steps converges near the equilibrium: every eigenvalue has Re λ > 0."""
        return bool(self.eigenvalues) and all(value.real > 0 for value in self.eigenvalues)

    def distance(self, players: Players) -> Tensor:
        """|z - z*|, the distance of the players from the equilibrium."""
        return tree.norm(tree.sub(tree.flatten(players)[0], tree.flatten(self.equilibrium)[0]))


def largest(J: list[list[float]]) -> float:
    """The largest singular value of a small matrix."""
    return float(torch.linalg.matrix_norm(torch.tensor(J, dtype=torch.float64), 2))
