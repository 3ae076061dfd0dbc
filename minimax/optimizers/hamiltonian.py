"""Hamiltonian gradient descent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Info, Ruled, State, counted, moved
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import flag


@dataclass(frozen=True)
class HamiltonianDescent(Ruled):
    r"""Hamiltonian gradient descent: all players descend ½|F|², z⁺ = z - h Jᵀξ with J = DF.

    Per eigenvalue λ of a normal J the step multiplies by 1 - h|λ|²: a bilinear game converges for h < 2/σ². It is
    drawn to every stationary point, maxima and saddles of the players' own losses included.

    Cost per step: one gradient per player and one Hessian-vector product.
    State: the rules' memories alone.
    Differs from the paper: any rule moves along Jᵀξ.
    Constraints: where one binds at a solution of the game, play does not rest there.

    Args:
        rule: one rule for all players, or a tuple with one each.
        unbiased: estimate Jᵀξ from two independent batches (J on one, ξ on the other), so that its mean is the gradient
            of ½|E F|² and not of ½E|F|². One more gradient per player.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.HamiltonianDescent(mm.sgd(0.5))
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.5000), tensor(0.))

    Source: Balduzzi et al., The Mechanics of n-Player Differentiable Games, 2018; Abernethy, Lai & Wibisono, 2019;
    Loizou et al., Stochastic Hamiltonian Gradient Methods for Smooth Games, 2020 (two batches).
    """

    unbiased: bool = False

    name: ClassVar[str] = "hamiltonian"

    def __post_init__(self) -> None:
        super().__post_init__()
        flag("unbiased", self.unbiased)

    @property
    def draws(self) -> int:
        return 2 if self.unbiased else 1

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        local = game.linearize(z, batches[0])
        ξ = game.field(z, batches[1])[0] if self.unbiased else local.field
        d, state = self.directions(z, local.vjp(ξ), state)
        return moved(game, z, d), counted(state), Info(local.losses, local.field)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        return LinearMap(at.eye - D @ at.J.T @ at.J)
