"""Simultaneous gradient descent-ascent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Info, Ruled, State, counted, moved
from minimax.oracle import Oracle
from minimax.tree import Point


@dataclass(frozen=True)
class SimultaneousGDA(Ruled):
    r"""Simultaneous gradient play: every player moves at once, z⁺ = z - h F(z).

    Per eigenvalue λ of DF the step multiplies by 1 - hλ. On a bilinear game it spirals out by √(1 + h²σ²) a step,
    whatever h is; see `AlternatingGDA` and `ExtraGradient` for the two classic cures.

    Cost per step: one gradient per player.
    State: the rules' memories alone.
    Differs from the paper: it is the Euler step of the paper's flow in continuous time, by any rule.

    Args:
        rule: one rule for all players, or a tuple with one each (two time scales).

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.SimultaneousGDA(mm.sgd(0.5))
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(1.), tensor(0.5000))

    Source: Arrow, Hurwicz & Uzawa, Studies in Linear and Non-linear Programming, 1958.
    """

    name: ClassVar[str] = "simultaneous"

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        ξ, losses = game.field(z, batches[0])
        d, state = self.directions(z, ξ, state)
        return moved(game, z, d), counted(state), Info(losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        return LinearMap(at.eye - D @ at.J)
