"""JARE: every player flattens the others' gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Hyperparameter, Info, Ruled, State, constant, counted, moved
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class JARE(Ruled):
    r"""Jacobian regularisation: every player descends its own loss plus γ/2 times the others' squared gradients.

    min_x max_y f: x descends f + γ/2 |f_y|², y ascends f - γ/2 |f_x|². For n players they move along ξ + γ H_oᵀξ,
    with H_o the Jacobian DF without its own-player blocks; in zero-sum games that is ξ - γ H_oξ, the field of
    `PolicyPrediction` and of SGA without its sign rule. `NagarajanKolter` does this for one player alone.

    Cost per step: one gradient per player and one Hessian-vector product per ordered pair of players.
    State: the rules' memories alone.
    Differs from the paper: for any number of players, not two.
    Constraints: where one binds at a solution of the game, play does not rest there.

    Args:
        rule: one rule for all players, or a tuple with one each.
        gamma: γ >= 0, the weight of the penalty; a float, tensor, or schedule.

    Raises:
        ValueError: a negative gamma.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.JARE(mm.sgd(0.5), gamma=1.0)
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.5000), tensor(0.5000))

    Source: Nie & Patel, Towards a Better Understanding and Regularization of GAN Training Dynamics, 2020.
    """

    gamma: Hyperparameter = 0.1

    name: ClassVar[str] = "jare"

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("gamma", self.gamma, at_least=0)

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        local = game.linearize(z, batches[0])
        ξ, γ = local.field, self.at(self.gamma, state)
        ξ_γ = tuple(tree.axpy(γ, pull, ξ_i) for pull, ξ_i in zip(local.off_diagonal_t(ξ), ξ, strict=True))
        d, state = self.directions(z, ξ_γ, state)
        return moved(game, z, d), counted(state), Info(local.losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        return LinearMap(at.eye - D @ (at.J + constant(self.gamma) * at.off.T @ at.J))
