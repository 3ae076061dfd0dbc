"""The primal-dual hybrid gradient method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Hyperparameter, Info, Ruled, State, constant, counted
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class PrimalDual(Ruled):
    r"""Primal-dual hybrid gradient (PDHG): players move in turn, each seeing the earlier ones at z⁺ + θ (z⁺ - z).

    min_x max_y xᵀKy: x⁺ = P(x - τKy),  y⁺ = P(y + ς Kᵀ(x⁺ + θ (x⁺ - x))), where alternating play (θ = 0) sees x⁺. With
    θ = 1 it converges on simplices, boxes and cones for τς|K|² ≤ 1, linear programs among them: see `Restarted`. With
    p = τςσ² < 4 / (1 + 2θ) it does so without constraints, by √(1 - θp) a step while the eigenvalues are complex.

    Cost per step: one gradient per player.
    State: the rules' memories alone.
    Differs from the paper: any rule moves, any number of players, and payoffs need not be bilinear.
    Constraints: the earlier players may be seen outside of their feasible sets; none of them ever moves there.

    Args:
        rule: one rule for all players, or a tuple with one each: (sgd(τ), sgd(ς)).
        theta: θ, how far earlier moves are extrapolated; a float, tensor, or schedule.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> mm.solve(game, z, mm.PrimalDual(mm.sgd(0.5)), steps=2).players
        (tensor(0.7500), tensor(0.7500))

    Source: Chambolle & Pock, A First-Order Primal-Dual Algorithm for Convex Problems with Applications to Imaging,
    2011.
    """

    theta: Hyperparameter = 1.0

    name: ClassVar[str] = "primal-dual"

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("theta", self.theta)

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        θ, rules, memories = self.at(self.theta, state), self.rules(len(z)), list(state["rules"])
        new, seen = list(z), list(z)
        gradients, losses = list(z), [z[0][0]] * len(z)
        for i, (z_i, rule) in enumerate(zip(z, rules, strict=True)):
            gradients[i], losses[i] = game.gradient(tuple(seen), i, batches[0])
            d, memories[i] = rule.move(z_i, gradients[i], memories[i], state["step"])
            new[i] = game.project(i, tree.add(z_i, d))
            seen[i] = tree.axpy(θ, tree.sub(new[i], z_i), new[i])
        info = Info(tuple(losses), tuple(gradients), at="each player's move", point=z)
        return tuple(new), counted(state | {"rules": memories}), info

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        M, seen, hJ, θ = at.eye, at.eye, D @ at.J, constant(self.theta)
        for rows in at.blocks:
            d = -hJ[rows] @ seen
            M[rows] += d
            seen[rows] += (1 + θ) * d
        return LinearMap(M)
