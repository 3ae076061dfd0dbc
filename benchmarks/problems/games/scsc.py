from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import minimax as mm
from benchmarks.problem import Preset, Recipe
from benchmarks.problems.games._closed_form import ClosedFormProblem
from minimax import games
from minimax.games import ClosedForm


class StronglyConvexConcave(ClosedFormProblem):
    """min over x, max over y of x²/2 + 10xy - y²/2: eigenvalues 1 ± 10i.

    Simultaneous play is stable for steps below .0198, alternating play below .182; the recipe's .05 lies between.
    """

    name = "scsc"
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(steps=10, evaluations=2),
        "cpu": Preset(steps=400, evaluations=50),
        "gpu": Preset(steps=400, evaluations=50),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.05))
    target = 1e-3

    def form(self) -> ClosedForm:
        return games.scsc()
