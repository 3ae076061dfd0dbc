"""Two numbers each: a local minimax that gradient play leaves, points that are none, and a turned saddle.

Where the point is no solution, a method does well to leave it: there more distance is better, over a stretch so short
that no loss overflows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import minimax as mm
from benchmarks.problem import Metric, Preset, Recipe
from benchmarks.problems.games._closed_form import ClosedFormProblem
from minimax import games
from minimax.games import ClosedForm

METHODS: tuple[str, ...] = ("simultaneous", "alternating", "extragradient", "optimistic", "follow-the-ridge")


class HiddenMinimax(ClosedFormProblem):
    """-3x² - y² + 4xy: gradient play leaves the local minimax at 0, eigenvalues -2 and -2; Follow-the-Ridge finds it.

    Source: Wang, Zhang & Ba, On Solving Minimax Optimization Locally: A Follow-the-Ridge Approach, 2020.
    """

    name = "hidden-minimax"
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(20, evaluations=2),
        "cpu": Preset(400, evaluations=50),
        "gpu": Preset(400, evaluations=50),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.05))
    optimizers: ClassVar[tuple[str, ...]] = METHODS
    target = 1e-3

    def form(self) -> ClosedForm:
        return games.hidden_minimax()


class RotatedSaddle(ClosedFormProblem):
    """(x² - y²)/2 turned half way towards xy: eigenvalues e^{±iπ/4}."""

    name = "rotated-saddle"
    target = 1e-3

    def form(self) -> ClosedForm:
        return games.rotated_saddle()


class NoSolution(ClosedFormProblem):
    """A stationary point that solves nothing, played from nearby."""

    optimizers: ClassVar[tuple[str, ...]] = METHODS

    def players(self, seed: int) -> tuple[Any, ...]:
        # Not through the point: on some lines a method of first order cannot leave it.
        return tuple(0.1 * x for x in super().players(seed))

    def perfect(self, seed: int) -> tuple[Any, ...] | None:
        """Nobody knows where to go instead."""
        return None

    @property
    def metrics(self) -> Sequence[Metric]:
        distance, *others = super().metrics
        return replace(distance, better="higher"), *others


class SpuriousPoint(NoSolution):
    """3x² + y² + 4xy: y sits in a minimum at 0, yet gradient play is drawn there, eigenvalues 2 and 2.

    Source: Wang, Zhang & Ba, On Solving Minimax Optimization Locally: A Follow-the-Ridge Approach, 2020.
    """

    name = "spurious-point"
    presets: ClassVar[Mapping[str, Preset]] = HiddenMinimax.presets
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.05))

    def form(self) -> ClosedForm:
        return games.spurious_point()


class MonkeySaddle(NoSolution):
    """x³ - 3xy²: DF = 0 at the stationary point 0, which is no equilibrium of any kind."""

    name = "monkey-saddle"
    presets: ClassVar[Mapping[str, Preset]] = HiddenMinimax.presets
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.01))
    optimizers: ClassVar[tuple[str, ...]] = METHODS[:-1]  # Follow-the-Ridge divides by f_yy, which is 0 here

    def form(self) -> ClosedForm:
        return games.monkey_saddle()
