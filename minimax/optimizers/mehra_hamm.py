"""The penalty method of Mehra and Hamm: bilevel games by the follower's squared gradient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Hyperparameter, Info, Ruled, State, constant, counted, moved
from minimax.optimizers._implicit import two
from minimax.optimizers._value import elsewhere
from minimax.optimizers.lola import slope
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class MehraHamm(Ruled):
    r"""Penalty method of Mehra & Hamm: leader and follower together descend L_1 + γ/2 |∂_y L_2|², without a solve.

    x moves along ∂_x L_1 + γ (∂_x∂_y L_2)ᵀ ∂_y L_2, y along (∂_y² L_2) ∂_y L_2 + μ ∂_y L_2 + ∂_y L_1 / γ. Where they
    rest, that is the leader's direction with (∂_y² L_2 + μI)⁻¹, up to O(1/γ): without damping, in a quadratic game,
    the hypergradient but for -BᵀH⁻¹C (C + γH²)⁻¹ ∂_y L_1 (letters as for `ValueFunction`). |∂_y L_2| is least at the
    follower's maxima too: damp, so that only minima attract it.

    Cost per step: two gradients (three in general-sum games) and two Hessian-vector products.
    State: the rules' memories alone.
    Differs from the paper: y's direction is divided by γ, so that a γ that grows leaves its steps as they are; both
    move once a step; no multipliers.
    Constraints: where one binds at a solution of the game, play does not rest there.

    Args:
        rule: one rule for both players, or a tuple with one each.
        gamma: γ > 0; a float, tensor, or schedule, which the paper lets grow.
        damping: μ >= 0, likewise.

    Raises:
        ValueError: a gamma that is not positive, or a negative damping.
        GameError: not two players.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.transforms.bilevel(lambda u, v: u**2 + v**2, lambda u, v: (1 - u - v) ** 2)
        >>> z, opt = (torch.tensor(0.0), torch.tensor(0.0)), mm.MehraHamm((mm.sgd(0.002), mm.sgd(0.1)), gamma=100.0)
        >>> [round(player.item(), 2) for player in mm.solve(game, z, opt, steps=1500).players]
        [0.5, 0.5]

    Source: Mehra & Hamm, Penalty Method for Inversion-Free Deep Bilevel Optimization, 2021.
    """

    gamma: Hyperparameter = 10.0
    damping: Hyperparameter = 0.0

    name: ClassVar[str] = "mehra-hamm"
    anticipates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("gamma", self.gamma, above=0)
        hyperparameter("damping", self.damping, at_least=0)

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        two(self.name, z)
        local = game.linearize(z, batches[0])
        (f_x, g_y), γ, μ = local.field, self.at(self.gamma, state), self.at(self.damping, state)
        f_y = slope(game, local, z, 1, 0, batches[0])
        ξ_x = tree.axpy(γ, local.vjp_block(1, 0, g_y), f_x)
        ξ_y = tree.axpy(1 / γ, f_y, tree.axpy(μ, g_y, local.vjp_block(1, 1, g_y)))
        d, state = self.directions(z, (ξ_x, ξ_y), state)
        info = Info(local.losses, (ξ_x, ξ_y), "start of the step, the penalised losses'")
        return moved(game, z, d), counted(state), info

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        if reason := elsewhere(at):
            return reason
        (x, y), γ, μ, J, F = at.blocks, constant(self.gamma), constant(self.damping), at.J, torch.zeros_like(at.J)
        F[x] = at.H[0][x] + γ * J[y, x].T @ J[y]
        F[y] = at.H[0][y] / γ + (J[y, y] + μ * at.eye[y, y]) @ J[y]
        return LinearMap(at.eye - D @ F)
