"""Markets with a leader, and a leader whom gradient play misleads."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch

import minimax as mm
from benchmarks.problem import Floor, Metric, Preset, Recipe, View
from benchmarks.problems.games.economy import Market
from minimax import games
from minimax.games import ClosedForm
from minimax.transforms import bilevel


class Led(Market):
    """A game in closed form whose first player leads: `distance` is to the leader's answer, no Nash equilibrium."""

    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(10, evaluations=2),
        **dict.fromkeys(("cpu", "gpu"), Preset(4000, evaluations=50)),
    }
    optimizers = ("stackelberg", "unrolled[steps=20]", "value-function[lr=0.05;steps=5]", "lola")
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.2))
    answer: ClassVar[tuple[float, float]]
    """The leader's answer, and the follower's to it."""

    def led(self, form: ClosedForm) -> ClosedForm:
        """A game in closed form of which the first player leads."""
        return replace(form, game=bilevel(*form.game.functions), equilibrium=tuple(torch.tensor(self.answer)))

    @property
    def metrics(self) -> Sequence[Metric]:
        """Without |F|, which is not 0 at a leader's answer."""
        return tuple(metric for metric in super().metrics if metric.name != "field")

    def evaluate(self, view: View) -> dict[str, float]:
        scores = super().evaluate(view)
        return {metric.name: scores[metric.name] for metric in self.metrics}

    def floors(self) -> Iterable[Floor]:
        """How far Nash lies from here."""
        away = math.dist(self.nash(), self.answer)
        return Floor("distance", "leader's answer", 0.0), Floor("distance", "nash", away)

    @abstractmethod
    def nash(self) -> tuple[float, ...]:
        """Where gradient play ends."""


class CournotLeader(Led):
    """Cournot's first firm leads: it sells 3.5, as it knows that the other answers by 2.75; Nash is (7/3, 10/3).

    Unrolled K steps of h the leader stops at 3.5 / (1.5 - ½(1 - rᴷ)), r = 1 - 2h; LOLA at (2.392308, 3.492308) for α =
    .1, which is neither answer.

    Source: von Stackelberg, Marktform und Gleichgewicht, 1934.
    """

    name = "cournot-leader"
    answer = (3.5, 2.75)

    def form(self) -> ClosedForm:
        return self.led(games.cournot())

    def nash(self) -> tuple[float, ...]:
        return tuple(map(float, games.cournot().equilibrium))


class BertrandLeader(Led):
    """Bertrand's first firm leads, at the price 4.214286; the second, at 4.053571, earns more. Nash is (4, 4).

    Source: von Stackelberg, Marktform und Gleichgewicht, 1934.
    """

    name = "bertrand-leader"
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.1))
    answer = (59 / 14, 227 / 56)

    def form(self) -> ClosedForm:
        return self.led(games.bertrand())

    def nash(self) -> tuple[float, ...]:
        return tuple(map(float, games.bertrand().equilibrium))


class PointOfView(Led):
    """Leader u² + v², follower (1 - u - v)²: the leader's answer is (½, ½), and gradient play ends in (0, 1).

    Unrolled K steps the leader stops at u = (1 - rᴷ)/(2 - rᴷ).

    Source: Mehra & Hamm, Penalty Method for Inversion-Free Deep Bilevel Optimization, 2021.
    """

    name = "point-of-view"
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.1))
    answer = (0.5, 0.5)

    def form(self) -> ClosedForm:
        game = mm.Game(lambda u, v: u**2 + v**2, lambda u, v: (1 - u - v) ** 2)
        start = torch.tensor(-0.5), torch.tensor(-0.5)
        return self.led(ClosedForm("point of view", game, start, start, (2 + 0j, 2 + 0j), 4.0))

    def nash(self) -> tuple[float, ...]:
        return (0.0, 1.0)
