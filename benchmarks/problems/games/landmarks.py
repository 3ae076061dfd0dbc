"""Games whose equilibrium attracts from nearby and whose cycles swallow what comes from afar."""

from __future__ import annotations

from typing import ClassVar

import minimax as mm
from benchmarks.problem import Recipe
from benchmarks.problems.games._closed_form import ClosedFormProblem
from minimax import games
from minimax.games import ClosedForm


class Forsaken(ClosedFormProblem):
    """x(y - .45) + φ(x) - φ(y), φ(z) = z²/4 - z⁴/2 + z⁶/6, in [-1.5, 1.5]², eigenvalues .0447 ± .9080i.

    Source: Hsieh, Mertikopoulos & Cevher, The Limits of Min-Max Optimization Algorithms, 2021, example 5.2.
    """

    name = "forsaken"
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.1))
    optimizers: ClassVar[tuple[str, ...]] = (
        "alternating",
        "simultaneous",
        "extragradient",
        "optimistic",
        "lookahead[inner=simultaneous;k=50;alpha=0.5]",
    )
    target = 1e-2

    def form(self) -> ClosedForm:
        return games.forsaken()


class Polar(ClosedFormProblem):
    """F = (xg - y, yg + x), g = (r² - 1)(16r² - 9)/16, from r = √1.25: eigenvalues 9/16 ± i, cycles at r = ¾ and 1.

    Source: Pethick et al., Escaping Limit Cycles, 2022.
    """

    name = "polar"
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.1))
    target = 1e-2

    def form(self) -> ClosedForm:
        return games.polar()
