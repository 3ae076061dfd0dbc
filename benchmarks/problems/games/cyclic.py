from __future__ import annotations

from typing import ClassVar

import minimax as mm
from benchmarks.problem import Recipe
from benchmarks.problems.games._closed_form import ClosedFormProblem
from minimax import games
from minimax.games import ClosedForm


class Cyclic(ClosedFormProblem):
    """Three players around a circle, player i minimises x_i (x_{i+1} - x_{i-1}): eigenvalues 0 and ±i√3.

    Along (1, 1, 1) nobody moves: the distance that is left to a good run is the start's share of it.
    """

    name = "cyclic"
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.1))

    def form(self) -> ClosedForm:
        return games.cyclic(players=3)
