"""Accelerated reflected gradient play."""

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
class AcceleratedReflectedGradient(Ruled):
    r"""Accelerated reflected gradient (ARG): z⁺ = P(ẑ_k - h F(z_k + ẑ_k - ẑ_{k-1})), ẑ_k = z_k + (z_0 - z_k) / (k + 1).

    `ProjectedReflectedGradient` on a line to where play began, whose pull makes the last iterate's residual fall as
    1/k: the rate of `ExtraAnchoredGradient` for one gradient and one projection a step. The first step is plain. For
    monotone games and h below 1/(√12 L); on a bilinear game for hσ < 1/√3, where k h |F(z_k)| → |z_0 - z*|.

    Cost per step: one gradient per player. Memory: two copies of the players.
    State: `anchor`, z_0; `pulled`, ẑ_{k-1}; the rules' memories.
    Differs from the paper: any rule moves; the steps are written by ẑ.
    Constraints: F is asked beside z, where it may lie outside of the feasible sets; z never does.

    Args:
        rule: one rule for all players, or a tuple with one each; sgd is what the theory is about.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.AcceleratedReflectedGradient(mm.sgd(0.25))
        >>> mm.solve(game, z, opt, steps=2).players
        (tensor(0.9062), tensor(0.3750))

    Source: Cai & Zheng, Accelerated Single-Call Methods for Constrained Min-Max Optimization, 2023.
    """

    name: ClassVar[str] = "accelerated-reflected"

    def start(self, z: Point, device: torch.device) -> State:
        return {"anchor": [tree.clone(vector) for vector in z], "pulled": [tree.clone(vector) for vector in z]}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        β = 1 / (state["step"].double() + 1)
        pulled = tuple(tree.lerp(z_i, z_0, β) for z_i, z_0 in zip(z, state["anchor"], strict=True))
        ahead = tuple(map(tree.add, z, map(tree.sub, pulled, state["pulled"])))
        ξ, losses = game.field(ahead, batches[0])
        d, state = self.directions(pulled, ξ, state, at=ahead)
        info = Info(losses, ξ, at="reflected point", point=ahead)
        return moved(game, pulled, d), counted(state | {"pulled": list(pulled)}), info

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        eye, hJ = at.eye, D @ at.J  # of z and the last z
        both = assembled([[eye - 2 * hJ, hJ], [eye, 0 * eye]])
        return LinearMap(both, start=torch.cat([eye, eye]), late=True, sublinear=True)
