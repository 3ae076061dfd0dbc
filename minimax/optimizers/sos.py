"""SOS: stable opponent shaping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear import reciprocal
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Hyperparameter, Info, Ruled, State, constant, counted, moved
from minimax.optimizers.lola import shaping
from minimax.oracle import Oracle
from minimax.tree import Point, Vector
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class SOS(Ruled):
    r"""Stable opponent shaping: between policy prediction and LOLA, z⁺ = z - h (ξ_0 - pαχ), ξ_0 = ξ - α H_oξ.

    With p = 0 it is `PolicyPrediction`, with p = 1 `LOLA`. p = min(p_1, p_2): p_1 = min(1, a|ξ_0|² / ⟨αχ, ξ_0⟩) where
    αχ points against the descent, ⟨αχ, ξ_0⟩ > 0, and 1 elsewhere; p_2 = |ξ|² where |ξ| < b, and 1 elsewhere. So it
    shapes its opponents as LOLA does, but keeps the fixed points of `PolicyPrediction`.

    Cost per step: as `LOLA`. p is in `Info.extra`.
    State: the rules' memories alone.
    Differs from the paper: in nothing; p is shared by all players, as there.
    Constraints: where one binds at a solution of the game, play does not rest there.

    Args:
        rule: one rule for all players, or a tuple with one each.
        alpha: α, the opponents' step; a float, tensor, or schedule.
        a: in (0, 1), how far shaping may turn the direction; likewise.
        b: in (0, 1), the size of ξ below which shaping fades out; likewise.

    Raises:
        ValueError: a or b outside (0, 1).

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.Game(lambda x, y: (x + y) ** 2 - 2 * x, lambda x, y: (x + y) ** 2 - 2 * y)
        >>> solution = mm.solve(game, (torch.tensor(1.0), torch.tensor(0.5)), mm.SOS(mm.sgd(0.05)), steps=200)
        >>> sum(solution.players)
        tensor(1.0000)

    Source: Letcher, Foerster, Balduzzi, Rocktäschel & Whiteson, Stable Opponent Shaping in Differentiable Games,
    2019.
    """

    alpha: Hyperparameter = 0.1
    a: Hyperparameter = 0.5
    b: Hyperparameter = 0.1

    name: ClassVar[str] = "sos"
    anticipates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("alpha", self.alpha)
        hyperparameter("a", self.a, above=0, below=1)
        hyperparameter("b", self.b, above=0, below=1)

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        local = game.linearize(z, batches[0])
        ξ, α = local.field, self.at(self.alpha, state)
        ξ_0 = tuple(tree.axpy(-α, pull, ξ_i) for pull, ξ_i in zip(local.off_diagonal(ξ), ξ, strict=True))
        αχ = tuple(tree.scale(α, χ_i) for χ_i in shaping(game, local, z, batches[0]))
        a, b = self.at(self.a, state), self.at(self.b, state)
        p = _share(tree.join(ξ), tree.join(ξ_0), tree.join(αχ), a, b)
        ξ_p = tuple(tree.axpy(-p, s_i, ξ_i) for s_i, ξ_i in zip(αχ, ξ_0, strict=True))
        d, state = self.directions(z, ξ_p, state)
        return moved(game, z, d), counted(state), Info(local.losses, ξ, extra={"p": p})

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        # p is at most |F|², so that to first order this is `PolicyPrediction`.
        return LinearMap(at.eye - D @ (at.J - constant(self.alpha) * at.off @ at.J))


def _share(ξ: Vector, ξ_0: Vector, αχ: Vector, a: Any, b: Any) -> Tensor:
    """p, the share of shaping in the direction."""
    against, squared = tree.dot(αχ, ξ_0), tree.dot(ξ, ξ)
    p_1 = torch.where(against > 0, (a * tree.dot(ξ_0, ξ_0) * reciprocal(against)).clamp(max=1), 1)
    p_2 = torch.where(squared < b**2, squared, 1)
    return torch.minimum(p_1, p_2)
