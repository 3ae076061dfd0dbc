"""Matrix games on simplices, from strategies that the seed draws."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.networks import seeded
from benchmarks.problems.games._closed_form import ClosedFormProblem
from minimax import games
from minimax.games import ClosedForm


class MatrixGame(ClosedFormProblem):
    """Two mixed strategies, each drawn evenly from its simplex."""

    target = 0.01

    def players(self, seed: int) -> tuple[Any, ...]:
        draws = seeded(seed, lambda: [torch.rand(x.shape).log().neg() for x in self.closed.equilibrium])
        return tuple((draw / draw.sum()).to(self.device) for draw in draws)


class MatchingPennies(MatrixGame):
    """Payoff [[1, -1], [-1, 1]]: both play (½, ½), and plain play goes round it along the simplex's edges."""

    name = "matching-pennies"

    def form(self) -> ClosedForm:
        return games.matching_pennies()


class RockPaperScissors(MatrixGame):
    """Payoff 1, 0 or -1: both play (⅓, ⅓, ⅓)."""

    name = "rock-paper-scissors"

    def form(self) -> ClosedForm:
        return games.rock_paper_scissors()
