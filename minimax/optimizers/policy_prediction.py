"""Policy prediction: the gradient at the opponents' next step."""

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
class PolicyPrediction(Ruled):
    r"""Policy prediction: every player descends its loss as if the others had stepped already, z⁺ = z - h (ξ - α H_oξ).

    Their step is -αξ, and H_o the Jacobian DF without its own-player blocks: (H_oξ)_i = Σ_{j≠i} (∂_j∂_i L_i) ξ_j. It
    converges to stable fixed points only and never to strict saddles; in zero-sum games it is `JARE` with γ = α.
    Letcher et al. call it LookAhead. (`Lookahead`, slow and fast weights, is another method.)

    Cost per step: one gradient per player and one Hessian-vector product per ordered pair of players.
    State: the rules' memories alone.
    Differs from the paper: exact gradients and H_oξ to first order in α, where Zhang & Lesser take the gradient at the
    predicted point.
    Constraints: where one binds at a solution of the game, play does not rest there.

    Args:
        rule: one rule for all players, or a tuple with one each.
        alpha: α, the opponents' step; a float, tensor, or schedule.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.PolicyPrediction(mm.sgd(0.5), alpha=1.0)
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.5000), tensor(0.5000))

    Source: Zhang & Lesser, Multi-agent learning with policy prediction, 2010; Letcher et al., Stable Opponent
    Shaping in Differentiable Games, 2019.
    """

    alpha: Hyperparameter = 0.1

    name: ClassVar[str] = "policy-prediction"

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("alpha", self.alpha)

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        local = game.linearize(z, batches[0])
        ξ, α = local.field, self.at(self.alpha, state)
        ξ_0 = tuple(tree.axpy(-α, pull, ξ_i) for pull, ξ_i in zip(local.off_diagonal(ξ), ξ, strict=True))
        d, state = self.directions(z, ξ_0, state)
        return moved(game, z, d), counted(state), Info(local.losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        return LinearMap(at.eye - D @ (at.J - constant(self.alpha) * at.off @ at.J))
