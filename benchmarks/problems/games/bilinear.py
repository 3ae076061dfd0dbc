from __future__ import annotations

from benchmarks.problems.games._closed_form import ClosedFormProblem
from minimax import games
from minimax.games import ClosedForm


class Bilinear(ClosedFormProblem):
    """min over x, max over y of xy: pure rotation, eigenvalues ±i.

    Source: Korpelevich, The extragradient method, 1976.
    """

    name = "bilinear"
    target = 0.1

    def form(self) -> ClosedForm:
        return games.bilinear()


class IllConditionedBilinear(ClosedFormProblem):
    """min over x, max over y of xᵀAy in 10 + 10 dimensions, singular values from 1 down to .1."""

    name = "bilinear-ill"

    def form(self) -> ClosedForm:
        return games.bilinear(dim=10, condition=10.0)
