"""Extragradient from the past: one gradient a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap, assembled
from minimax.optimizer import Hyperparameter, Info, Ruled, State, constant, counted, moved, scaled
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class PastExtraGradient(Ruled):
    r"""Extragradient from the past: z½ = z + d_{t-1},  z⁺ = z + d_t with d_t the move at F(z½).

    One gradient instead of two. Without constraints and with SGD its half steps are optimistic GDA (d_{-1} = 0 here, so
    the first step explores nowhere).

    Cost per step: one gradient per player. Memory: one copy of the players.
    State: `past`, per player the last displacement d_{t-1}; the rules' memories.
    Differs from the paper: d_{-1} = 0, so the first step explores nowhere.

    Args:
        rule: one rule for all players, or a tuple with one each.
        explore: the exploration step over the update step.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.PastExtraGradient(mm.sgd(0.5))
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(1.), tensor(0.5000))

    Source: Popov, 1980; Gidel et al., A Variational Inequality Perspective on GANs, 2019, Algorithm 3.
    """

    explore: Hyperparameter = 1.0

    name: ClassVar[str] = "past-extragradient"

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("explore", self.explore, at_least=0)

    def start(self, z: Point, device: torch.device) -> State:
        return {"past": [tree.zeros(vector) for vector in z]}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        half = moved(game, z, scaled(self.at(self.explore, state), state["past"]))
        ξ_half, losses = game.field(half, batches[0])
        d, state = self.directions(z, ξ_half, state, at=half)
        info = Info(losses, ξ_half, at="half step", point=half)
        return moved(game, z, d), counted(state | {"past": list(d)}), info

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        eye, hJ, ρ = at.eye, D @ at.J, constant(self.explore)  # of z and the last displacement
        return LinearMap(assembled([[eye - hJ, -ρ * hJ], [-hJ, -ρ * hJ]]), start=torch.cat([eye, 0 * eye]))
