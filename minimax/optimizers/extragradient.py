"""Extragradient: look ahead, then move from where you were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Hyperparameter, Info, Ruled, State, constant, counted, moved, scaled
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import flag, hyperparameter


@dataclass(frozen=True)
class ExtraGradient(Ruled):
    r"""Extragradient: z½ = z - ρ h F(z),  z⁺ = z - h F(z½).

    Per eigenvalue λ of DF (ρ = 1) the step multiplies by 1 - hλ + h²λ²: a bilinear game converges for hσ < 1. With
    Adam as the rule this is ExtraAdam: both half steps update the moments, both displacements start from the saved z.

    Cost per step: two gradients per player.
    State: the rules' memories alone, which both half steps update.
    Differs from the paper: any rule moves; ρ = 1 and one sample for both half steps are Korpelevich's.

    Args:
        rule: one rule for all players, or a tuple with one each.
        explore: ρ, the exploration step over the update step. With independent noise on the two half steps, ρ well
            above 1 is what makes bilinear games converge (Hsieh et al., 2020).
        fresh: draw an independent batch for the second half step; by default both see the same sample.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.ExtraGradient(mm.sgd(0.5))
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.7500), tensor(0.5000))

    Source: Korpelevich, The extragradient method, 1976; Gidel et al., A Variational Inequality Perspective, 2019.
    """

    explore: Hyperparameter = 1.0
    fresh: bool = False

    name: ClassVar[str] = "extragradient"

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("explore", self.explore, at_least=0)
        flag("fresh", self.fresh)

    @property
    def draws(self) -> int:
        return 2 if self.fresh else 1

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        ξ, losses = game.field(z, batches[0])
        d, state = self.directions(z, ξ, state)
        half = moved(game, z, scaled(self.at(self.explore, state), d))
        ξ_half, _ = game.field(half, batches[-1])
        d, state = self.directions(z, ξ_half, state, at=half)
        return moved(game, z, d), counted(state), Info(losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        hJ = D @ at.J
        return LinearMap(at.eye - hJ + constant(self.explore) * hJ @ hJ)
