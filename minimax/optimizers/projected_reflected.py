"""Projected reflected gradient play."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap, assembled
from minimax.optimizer import Info, Ruled, State, counted, moved
from minimax.oracle import Oracle
from minimax.tree import Point


@dataclass(frozen=True)
class ProjectedReflectedGradient(Ruled):
    r"""Projected reflected gradient play: z⁺ = P(z - h F(2z - z₋)), with z₋ = z_0 at the start.

    One gradient and one projection a step. Where F is affine this is `OptimisticGDA`, projections included, as 2F(z) -
    F(z₋) is F(2z - z₋) there: a bilinear game converges for hσ < 1/√3. Every monotone game is solved for h < (√2 -
    1)/L.

    Cost per step: one gradient per player. Memory: one copy of the players.
    State: `past`, z₋; the rules' memories.
    Differs from the paper: any rule moves.
    Constraints: F is asked at 2z - z₋, which may lie outside of the feasible sets; z never does.

    Args:
        rule: one rule for all players, or a tuple with one each.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.ProjectedReflectedGradient(mm.sgd(0.5))
        >>> mm.solve(game, z, opt, steps=2).players
        (tensor(0.5000), tensor(1.))

    Source: Malitsky, Projected Reflected Gradient Methods for Monotone Variational Inequalities, 2015.
    """

    name: ClassVar[str] = "projected-reflected"

    def start(self, z: Point, device: torch.device) -> State:
        return {"past": [tree.clone(vector) for vector in z]}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        ahead = tuple(tree.add(z_i, tree.sub(z_i, past)) for z_i, past in zip(z, state["past"], strict=True))
        ξ, losses = game.field(ahead, batches[0])
        d, state = self.directions(z, ξ, state, at=ahead)
        past = [tree.clone(vector) for vector in z]  # z may be the modules' own memory
        info = Info(losses, ξ, at="reflected point", point=ahead)
        return moved(game, z, d), counted(state | {"past": past}), info

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        eye, hJ = at.eye, D @ at.J  # of z and the last z
        return LinearMap(assembled([[eye - 2 * hJ, hJ], [eye, 0 * eye]]), start=torch.cat([eye, eye]))
