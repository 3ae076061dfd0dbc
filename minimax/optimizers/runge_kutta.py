"""Runge-Kutta methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Info, Ruled, State, counted, moved
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import whole

STAGES = {  # per number of stages, where each of them but the first looks from, and what they weigh
    1: ((), (1.0,)),
    2: (((1.0,),), (1 / 2, 1 / 2)),
    3: (((1 / 2,), (-1.0, 2.0)), (1 / 6, 2 / 3, 1 / 6)),
    4: (((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}
"""Euler's method, Heun's, Kutta's of third order, and the classical one of fourth."""


@dataclass(frozen=True)
class RungeKutta(Ruled):
    r"""Runge-Kutta steps along the flow ż = -F(z): Heun's method with two stages, RK3 with three, RK4 with four.

    z⁺ = z + Σ b_i d_i, d_i the rule's move at F(z + Σ_j a_ij d_j). Per eigenvalue λ of DF a step multiplies by e^(-hλ)
    cut off after the term of s stages. Heun's is half a step of simultaneous play and half one of extragradient, and
    like Euler's (s = 1, `SimultaneousGDA`) never converges on bilinear games; RK3 does for hσ < √3, RK4 for hσ < 2√2,
    fastest at hσ = √6: by ½ a step. ODE-GAN is this on `transforms.nagarajan_kolter(game, λ, generator=1)`: the critic
    pays λ|∂_x L_1|², so that it lets the generator rest.

    Cost per step: one gradient per player and stage.
    State: the rules' memories alone, which all stages update.
    Differs from the paper: any rule moves, where the paper integrates the flow itself.

    Args:
        rule: one rule for all players, or a tuple with one each.
        stages: s, 1 to 4.

    Raises:
        ValueError: other numbers of stages.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.RungeKutta(mm.sgd(1.0))
        >>> opt.step(game, z, opt.init(game, z))[0]  # near cos 1 and sin 1
        (tensor(0.5417), tensor(0.8333))

    Source: Kutta, 1901; Qin et al., Training Generative Adversarial Networks by Solving Ordinary Differential
    Equations, 2020.
    """

    stages: int = 4

    name: ClassVar[str] = "runge-kutta"
    combines: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("stages", self.stages, at_least=1, at_most=4)

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        rows, weights = STAGES[self.stages]
        ξ, losses = game.field(z, batches[0])
        d, state = self.directions(z, ξ, state)
        moves = [d]
        for row in rows:
            at = moved(game, z, _mix(row, moves))
            d, state = self.directions(z, game.field(at, batches[0])[0], state, at=at)
            moves.append(d)
        return moved(game, z, _mix(weights, moves)), counted(state), Info(losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        powers = [torch.linalg.matrix_power(-D @ at.J, k) / factorial(k) for k in range(self.stages + 1)]
        return LinearMap(torch.stack(powers).sum(0))


def _mix(weights: Sequence[float], moves: Sequence[Point]) -> Point:
    """Σ_j w_j d_j for every player."""
    used = [(w, d) for w, d in zip(weights, moves, strict=True) if w]
    mixed = tuple(tree.scale(used[0][0], v) for v in used[0][1])
    for w, d in used[1:]:
        mixed = tuple(tree.axpy(w, v, total) for v, total in zip(d, mixed, strict=True))
    return mixed
