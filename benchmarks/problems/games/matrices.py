"""Matrix games on simplices, from strategies that the seed draws."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.networks import seeded
from benchmarks.problem import Floor, Metric, View
from benchmarks.problems.games._closed_form import ClosedFormProblem
from minimax import games
from minimax.diagnostics import duality_gap
from minimax.games import ClosedForm


class MatrixGame(ClosedFormProblem):
    """Two mixed strategies, each drawn evenly from its simplex."""

    target = 0.01

    def players(self, seed: int) -> tuple[Any, ...]:
        return mixed(seed, self.closed.equilibrium)


def mixed(seed: int, like: Iterable[Tensor]) -> tuple[Any, ...]:
    """Mixed strategies like those that are given, each drawn evenly from its simplex."""
    draws = seeded(seed, lambda: [torch.rand(x.shape).log().neg() for x in like])
    return tuple((draw / draw.sum()).to(x.device) for draw, x in zip(draws, like, strict=True))


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


class Exploited(ClosedFormProblem):
    """A bilinear game on polytopes, scored by what best answers gain and not by one of its equilibria."""

    @property
    def metrics(self) -> Sequence[Metric]:
        return Metric("gap", range=(0, math.inf), headline=True, target=0.01), Metric("value", better=None)

    def evaluate(self, view: View) -> dict[str, float]:
        players = tuple(player.detach() for player in view.players)
        if not all(player.isfinite().all() for player in players):
            return {"gap": math.nan, "value": math.nan}
        game = self.game()
        return {"gap": duality_gap(game, players).total, "value": float(game.losses(players)[0])}

    @property
    @abstractmethod
    def even(self) -> tuple[Any, ...]:
        """Every choice as likely as the others."""

    def floors(self) -> Iterable[Floor]:
        for what, players in (("equilibrium", self.closed.equilibrium), ("even", self.even)):
            for metric, value in self.evaluate(View(tuple(players), None, 0)).items():
                yield Floor(metric, what, value)


class RandomMatrix(Exploited):
    """min over x, max over y of xᵀAy, A of 5 by 7 normal numbers, always the same; value -.0443.

    `gap` is max(Aᵀx) - min(Ay), exactly.
    """

    name = "random-matrix"

    def form(self) -> ClosedForm:
        A = np.random.default_rng(0).standard_normal((5, 7))
        return games.matrix_game(torch.tensor(A, dtype=torch.get_default_dtype()))

    def players(self, seed: int) -> tuple[Any, ...]:
        return mixed(seed, self.closed.equilibrium)

    @property
    def even(self) -> tuple[Any, ...]:
        return tuple(torch.full_like(x, 1 / len(x)) for x in self.closed.equilibrium)
