"""Extragradient: look ahead, then move from where you were."""

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
from minimax.rules.rule import zero
from minimax.tree import Point
from minimax.validation import flag, hyperparameter


@dataclass(frozen=True)
class ExtraGradient(Ruled):
    r"""Extragradient: z½ = z - ρ h F(z),  z⁺ = z - h F(z½) + m (z - z₋), of which ρ = 1, m = 0 is the usual one.

    Per eigenvalue λ of DF the step multiplies by 1 - hλ + ρh²λ²: a bilinear game converges for hσ < 1 (ρ = 1), and for
    hσ < √(2ρ - 1) / ρ. With Adam as the rule this is ExtraAdam: both half steps update the moments, both displacements
    start from the saved z. EG+, z⁺ = z - αγ F(z - γF(z)) for games that are only weakly Minty, is h = αγ, ρ = 1/α; the
    midpoint rule is ρ = ½. With m, `diagnostics.extragradient_parameters` has the best numbers for a spectrum.

    Cost per step: two gradients per player.
    State: the rules' memories alone, which both half steps update; with momentum `past`, z₋.
    Differs from the paper: any rule moves; ρ = 1 and one sample for both half steps are Korpelevich's.

    Args:
        rule: one rule for all players, or a tuple with one each.
        explore: ρ, the exploration step over the update step. With independent noise on the two half steps, ρ well
            above 1 is what makes bilinear games converge (Hsieh et al., 2020).
        fresh: draw an independent batch for the second half step; by default both see the same sample.
        momentum: m, of any sign; a float, tensor, or schedule. 0 keeps no z₋.

    Raises:
        ValueError: a negative explore; momentum for a rule whose moves do not add up.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.ExtraGradient(mm.sgd(0.5))
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.7500), tensor(0.5000))

    Source: Korpelevich, The extragradient method, 1976; Gidel et al., A Variational Inequality Perspective, 2019;
    Diakonikolas, Daskalakis & Jordan, Efficient Methods for Structured Nonconvex-Nonconcave Min-Max Optimization, 2021
    (EG+); Kim, Gidel, Kyrillidis & Pedregosa, When is Momentum Extragradient Optimal?, 2022.
    """

    explore: Hyperparameter = 1.0
    fresh: bool = False
    momentum: Hyperparameter = 0.0

    name: ClassVar[str] = "extragradient"

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("explore", self.explore, at_least=0)
        flag("fresh", self.fresh)
        hyperparameter("momentum", self.momentum)
        rules = self.rule if isinstance(self.rule, tuple) else (self.rule,)
        if self._heavy and not all(rule.sums for rule in rules):
            raise ValueError(f"momentum adds to a move, which {rules} allows not: leave it 0, or move by sgd.")

    @property
    def _heavy(self) -> bool:
        return not zero(self.momentum)

    @property
    def draws(self) -> int:
        return 2 if self.fresh else 1

    def start(self, z: Point, device: torch.device) -> State:
        return {"past": [tree.clone(vector) for vector in z]} if self._heavy else {}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        ξ, losses = game.field(z, batches[0])
        d, state = self.directions(z, ξ, state)
        half = moved(game, z, scaled(self.at(self.explore, state), d))
        ξ_half, _ = game.field(half, batches[-1])
        d, state = self.directions(z, ξ_half, state, at=half)
        if self._heavy:
            onward, m = tuple(map(tree.sub, z, state["past"])), self.at(self.momentum, state)
            d = tuple(tree.axpy(m, v, d_i) for v, d_i in zip(onward, d, strict=True))
            state = state | {"past": [tree.clone(vector) for vector in z]}  # z may be the modules' own memory
        return moved(game, z, d), counted(state), Info(losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        hJ, m = D @ at.J, constant(self.momentum)
        plain = at.eye - hJ + constant(self.explore) * hJ @ hJ
        if not self._heavy:
            return LinearMap(plain)
        both = [[plain + m * at.eye, -m * at.eye], [at.eye, 0 * at.eye]]  # of z and the last z
        return LinearMap(assembled(both), start=torch.cat([at.eye, at.eye]))
