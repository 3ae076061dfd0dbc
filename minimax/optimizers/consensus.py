"""Consensus optimization."""

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
from minimax.validation import flag, hyperparameter


@dataclass(frozen=True)
class ConsensusOptimization(Ruled):
    r"""Consensus optimization: every player moves along F + γ ∇½|F|² = ξ + γ Jᵀξ with J = DF.

    The second term pulls the eigenvalues λ of J away from the imaginary axis, to λ + γ|λ|² where J is normal; a
    bilinear game converges for h < 2γ / (1 + γ²σ²). Too large a γ also makes bad stationary points attractive.

    Cost per step: one gradient per player and one Hessian-vector product.
    State: the rules' memories alone.
    Differs from the paper: only by `unbiased`; the paper takes both factors from one batch.
    Constraints: where one binds at a solution of the game, play does not rest there.

    Args:
        rule: one rule for all players, or a tuple with one each.
        gamma: γ >= 0, the weight of the squared field; a float, tensor, or schedule.
        unbiased: estimate Jᵀξ from two independent batches (J on one, ξ on the other), so that its mean is the gradient
            of ½|E F|² and not of ½E|F|². One more gradient per player.

    Raises:
        ValueError: a negative gamma.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.ConsensusOptimization(mm.sgd(0.5), gamma=1.0)
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.5000), tensor(0.5000))

    Source: Mescheder, Nowozin & Geiger, The Numerics of GANs, 2017.
    """

    gamma: Hyperparameter = 0.1
    unbiased: bool = False

    name: ClassVar[str] = "consensus"

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("gamma", self.gamma, at_least=0)
        flag("unbiased", self.unbiased)

    @property
    def draws(self) -> int:
        return 2 if self.unbiased else 1

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        local = game.linearize(z, batches[0])
        ξ = local.field
        other = game.field(z, batches[1])[0] if self.unbiased else ξ
        γ = self.at(self.gamma, state)
        ξ_γ = tuple(tree.axpy(γ, pull, ξ_i) for pull, ξ_i in zip(local.vjp(other), ξ, strict=True))
        d, state = self.directions(z, ξ_γ, state)
        return moved(game, z, d), counted(state), Info(local.losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        return LinearMap(at.eye - D @ (at.J + constant(self.gamma) * at.J.T @ at.J))
