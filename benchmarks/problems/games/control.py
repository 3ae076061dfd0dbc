from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import minimax as mm
from benchmarks.problem import Preset, Recipe
from benchmarks.problems.games._closed_form import ClosedFormProblem
from minimax import games
from minimax.games import ClosedForm


class LQControl(ClosedFormProblem):
    """A controller's gain against a disturbance's, x⁺ = (1.1 - K + L/2)x: K = .739, L = .092, cost 1.8125.

    The cost is convex in neither, and steps of .3 leave the gains under which the state stays bounded.

    Source: Zhang, Yang & Başar, Policy Optimization Provably Converges to Nash Equilibria in Zero-Sum Linear Quadratic
    Games, 2019.
    """

    name = "lq-control"
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(10, evaluations=2),
        **dict.fromkeys(("cpu", "gpu"), Preset(400, evaluations=50)),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.05))
    target = 1e-3

    def form(self) -> ClosedForm:
        return games.lq_control()
