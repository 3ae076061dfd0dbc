"""What the games in closed form share: they start as far off as the game says, in a direction that the seed draws."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

import minimax as mm
from benchmarks.networks import seeded
from benchmarks.problem import Floor, Metric, Preset, Problem, Recipe, View
from benchmarks.suites import OPTIMIZERS
from minimax.games import ClosedForm


class ClosedFormProblem(Problem):
    """A game with a known equilibrium: distance |z - z*|, field |F|, and x and y, the players' first coordinates."""

    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(steps=10, evaluations=2),
        "cpu": Preset(steps=2000, evaluations=100),
        "gpu": Preset(steps=2000, evaluations=100),
    }
    optimizers: ClassVar[tuple[str, ...]] = (*OPTIMIZERS, "consensus")
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.1))
    target: ClassVar[float | None] = None
    """The distance that a good run reaches."""

    @abstractmethod
    def form(self) -> ClosedForm:
        """The game and its equilibrium."""

    @cached_property
    def closed(self) -> ClosedForm:
        """The game and its equilibrium, on the device."""
        with self.device:
            return self.form()

    def game(self) -> mm.Game:
        return self.closed.game

    def players(self, seed: int) -> tuple[Any, ...]:
        centre, radius = self.closed.equilibrium, float(self.closed.distance(self.closed.start))
        directions = seeded(seed, lambda: [torch.randn(x.shape).to(x) for x in centre])
        length = torch.cat([direction.reshape(-1) for direction in directions]).norm()
        return tuple(x + radius * direction / length for x, direction in zip(centre, directions, strict=True))

    def perfect(self, seed: int) -> tuple[Any, ...] | None:
        """The equilibrium."""
        return tuple(self.closed.equilibrium)

    @property
    def metrics(self) -> Sequence[Metric]:
        return (
            Metric("distance", range=(0, math.inf), headline=True, target=self.target),
            Metric("field", range=(0, math.inf)),
            Metric("x", better=None),
            Metric("y", better=None),
        )

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        field = torch.cat([gradient.reshape(-1) for gradient in self.game().field(view.players)])
        x, y, *_ = (first(player) for player in view.players)
        return {"distance": float(self.closed.distance(view.players)), "field": float(field.norm()), "x": x, "y": y}

    def floors(self) -> Iterable[Floor]:
        return Floor("distance", "equilibrium", 0.0), Floor("field", "equilibrium", 0.0)


def first(player: Tensor) -> float:
    """The first coordinate of a player."""
    return float(player.reshape(-1)[0])
