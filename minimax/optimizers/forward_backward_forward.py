"""Tseng's forward-backward-forward splitting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Info, Ruled, State, counted, moved
from minimax.oracle import Oracle
from minimax.tree import Point


@dataclass(frozen=True)
class ForwardBackwardForward(Ruled):
    r"""Tseng's forward-backward-forward splitting: w = P(z - h F(z)),  z⁺ = w - h (F(w) - F(z)).

    Extragradient with one projection a step instead of two, and extragradient itself without constraints. On a monotone
    game |z⁺ - z*|² ≤ |z - z*|² - (1 - h²L²) |z - w|², so that it is solved for h < 1/L.

    Cost per step: two gradients per player. Memory: one copy of the players.
    State: `feasible`, w; the rules' memories, which both half steps update.
    Differs from the paper: any rule moves, whose displacements take the places of -h F(z) and -h F(w).
    Constraints: z may leave the feasible sets, and F is asked there. The `answer` is w, which never does.

    Args:
        rule: one rule for all players, or a tuple with one each.

    Example:
        >>> import torch, minimax as mm
        >>> sides = (mm.projections.box(-1, 1),) * 2
        >>> game = mm.zero_sum(lambda x, y: (x - 0.25) * (y + 0.5), constraints=sides)
        >>> z, opt = (torch.tensor(1.0), torch.tensor(1.0)), mm.ForwardBackwardForward(mm.sgd(0.4))
        >>> z, state, _ = opt.step(game, z, opt.init(game, z))
        >>> z, opt.answer(z, state)
        ((tensor(0.4000), tensor(0.7600)), (tensor(0.4000), tensor(1.)))

    Source: Tseng, A Modified Forward-Backward Splitting Method for Maximal Monotone Mappings, 2000.
    """

    name: ClassVar[str] = "forward-backward-forward"
    combines: ClassVar[bool] = True

    def average(self, state: State) -> Point | None:
        return tuple(state["feasible"])

    def start(self, z: Point, device: torch.device) -> State:
        return {"feasible": [tree.clone(vector) for vector in z]}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        ξ, losses = game.field(z, batches[0])
        d, state = self.directions(z, ξ, state)
        w = moved(game, z, d)
        ξ_w, _ = game.field(w, batches[0])
        d_w, state = self.directions(z, ξ_w, state, at=w)
        new = tuple(tree.add(w_i, tree.sub(b, a)) for w_i, a, b in zip(w, d, d_w, strict=True))
        return new, counted(state | {"feasible": list(w)}), Info(losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        hJ = D @ at.J
        return LinearMap(at.eye - hJ + hJ @ hJ)
