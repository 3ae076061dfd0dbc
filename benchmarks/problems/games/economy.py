"""Markets and a river: equilibria that plain play finds, and limits that players share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

import minimax as mm
from benchmarks.problem import Preset, Recipe, View
from benchmarks.problems.games._closed_form import ClosedFormProblem
from minimax import games
from minimax.games import ClosedForm


class Market(ClosedFormProblem):
    """A game of firms, 400 steps of .1."""

    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(10, evaluations=2),
        **dict.fromkeys(("cpu", "gpu"), Preset(400, evaluations=50)),
    }
    target = 1e-3


class Cournot(Market):
    """Two firms choose quantities, price 10 - Q, costs 2 and 1: (7/3, 10/3), eigenvalues 1 and 3.

    A leader who knows how the other answers sells 3.5, and the other 2.75: right for a leader, and no Nash equilibrium.

    Source: Cournot, Recherches sur les principes mathématiques de la théorie des richesses, 1838.
    """

    name = "cournot"

    def form(self) -> ClosedForm:
        return games.cournot()


class Bertrand(Market):
    """Two firms choose prices, demand 10 - 2p_i + p_j, cost 1: (4, 4), eigenvalues 3 and 5.

    Source: Singh & Vives, Price and Quantity Competition in a Differentiated Duopoly, 1984.
    """

    name = "bertrand"

    def form(self) -> ClosedForm:
        return games.bertrand()


class Shared(Market):
    """A limit that players share, whose multiplier is the last player and starts where it may be.

    `field` is the natural residual |z - P(z - F)|, as F itself is not 0 at a limit that does not bind.
    """

    def players(self, seed: int) -> tuple[Any, ...]:
        return self.inside(super().players(seed))

    def inside(self, players: tuple[Any, ...]) -> tuple[Any, ...]:
        """The nearest players who keep their own limits."""
        oracle, z = self.closed.game.enter(players)
        nearest: tuple[Any, ...] = oracle.leave(tuple(oracle.project(i, z_i) for i, z_i in enumerate(z)))
        return nearest

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        field = self.game().field(view.players)
        stays = self.inside(tuple(x - g for x, g in zip(view.players, field, strict=True)))
        moved = torch.cat([(x - to).reshape(-1) for x, to in zip(view.players, stays, strict=True)])
        return {**super().evaluate(view), "field": float(moved.norm())}


class CournotCapacity(Shared):
    """Three firms with costs 1, 2 and 3 who may sell 4.5 together: (2.5, 1.5, .5) at the price 2 of the limit.

    Source: Rosen, Existence and Uniqueness of Equilibrium Points for Concave n-Person Games, 1965.
    """

    name = "cournot-capacity"

    def form(self) -> ClosedForm:
        return games.cournot(costs=(1.0, 2.0, 3.0), capacity=4.5)


class RiverBasin(Shared):
    """Three polluters below two stations' limits, of which one binds: x = (21.14, 16.03, 2.73) at the price .574.

    Quantities are tens, prices are tenths, and so are their steps: .25 and .01.

    Source: Krawczyk & Uryasev, Relaxation Algorithms to Find Nash Equilibria with Economic Applications, 2000.
    """

    name = "river-basin"
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(10, evaluations=2),
        **dict.fromkeys(("cpu", "gpu"), Preset(4000, evaluations=50)),
    }
    recipe: ClassVar[Recipe] = Recipe((mm.sgd(0.25), mm.sgd(0.25), mm.sgd(0.25), mm.sgd(0.01)))

    def form(self) -> ClosedForm:
        return games.river_basin()
