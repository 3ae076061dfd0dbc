"""Symplectic gradient adjustment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Hyperparameter, Info, Ruled, State, constant, counted, moved
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import flag, hyperparameter


@dataclass(frozen=True)
class SymplecticGradientAdjustment(Ruled):
    r"""Symplectic gradient adjustment: every player moves along ξ + λ Aᵀξ, with A = ½ (J - Jᵀ) the rotation in J = DF.

    With `align`, λ takes the sign of ⟨ξ, Jᵀξ⟩ ⟨Aᵀξ, Jᵀξ⟩ / d + ε, d the number of parameters, so that the adjustment
    is drawn to stable points and pushed from unstable ones. ε > 0 makes it positive where J is skew, as ⟨ξ, Jᵀξ⟩ = 0
    there. On a cooperative game A = 0 and this is gradient descent; in zero-sum games Aᵀξ = -H_oξ.

    Cost per step: one gradient per player and two Hessian-vector products.
    State: the rules' memories alone.
    Differs from the paper: only by `align` and ε being options; ε = 0.1 is what its authors use.
    Constraints: where one binds at a solution of the game, play does not rest there.

    Args:
        rule: one rule for all players, or a tuple with one each.
        lam: λ, the weight of the adjustment; a float, tensor, or schedule.
        align: choose the sign of λ at every step.
        eps: ε, added to the alignment; likewise.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.SymplecticGradientAdjustment(mm.sgd(0.5))
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.5000), tensor(0.5000))

    Source: Balduzzi et al., The Mechanics of n-Player Differentiable Games, 2018; Letcher et al., 2019.
    """

    lam: Hyperparameter = 1.0
    align: bool = True
    eps: Hyperparameter = 0.1

    name: ClassVar[str] = "sga"

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("lam", self.lam)
        flag("align", self.align)
        hyperparameter("eps", self.eps)

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        local = game.linearize(z, batches[0])
        ξ = local.field
        Jtξ = local.vjp(ξ)
        Atξ = tuple(tree.scale(0.5, tree.sub(a, b)) for a, b in zip(Jtξ, local.jvp(ξ), strict=True))
        λ = self.at(self.lam, state)
        if self.align:
            flat, pull = tree.join(ξ), tree.join(Jtξ)
            alignment = tree.dot(flat, pull) * tree.dot(tree.join(Atξ), pull) / tree.size(flat)
            λ = λ * torch.sign(alignment + self.at(self.eps, state))
        ξ_λ = tuple(tree.axpy(λ, adjustment, ξ_i) for adjustment, ξ_i in zip(Atξ, ξ, strict=True))
        d, state = self.directions(z, ξ_λ, state)
        return moved(game, z, d), counted(state), Info(local.losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        if self.align and self.eps == 0:
            return "undefined: the sign of λ is that of a product of gradients"
        λ = constant(self.lam)
        if self.align:  # near the equilibrium only ε is left of the alignment
            λ = math.copysign(1, constant(self.eps)) * λ
        return LinearMap(at.eye - D @ (at.J + λ * (at.J.T - at.J) / 2 @ at.J))
