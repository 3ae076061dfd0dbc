"""LOLA: learning with opponent-learning awareness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from minimax import tree
from minimax.linear_maps import ELSEWHERE, Expansion, LinearMap
from minimax.linearization import Linearization
from minimax.optimizer import Hyperparameter, Info, Ruled, State, constant, counted, moved
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class LOLA(Ruled):
    r"""LOLA: every player differentiates through the others' next step, z⁺ = z - h (ξ - α H_oξ - αχ).

    χ_i = Σ_{j≠i} (∂_i∂_j L_j)ᵀ ∂_j L_i is how player i shapes the others' step -αξ_j; H_o is the Jacobian DF without
    its own-player blocks. In zero-sum games αχ = αH_oξ, so this is `PolicyPrediction` at 2α. Its fixed points need
    not be those of the game: see `SOS`.

    Cost per step: one gradient per player and two Hessian-vector products per ordered pair of players; in general-sum
    games one more gradient per pair.
    State: the rules' memories alone.
    Differs from the paper: exact derivatives in place of policy gradients.
    Constraints: where one binds at a solution of the game, play does not rest there.

    Args:
        rule: one rule for all players, or a tuple with one each.
        alpha: α, the opponents' step; a float, tensor, or schedule.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.LOLA(mm.sgd(0.5), alpha=0.5)
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.5000), tensor(0.5000))

    Source: Foerster et al., Learning with Opponent-Learning Awareness, 2018, in the first-order form of Letcher et
    al., 2019.
    """

    alpha: Hyperparameter = 0.1

    name: ClassVar[str] = "lola"
    anticipates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("alpha", self.alpha)

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        local = game.linearize(z, batches[0])
        ξ, α = local.field, self.at(self.alpha, state)
        χ = shaping(game, local, z, batches[0])
        shaped = tuple(tree.add(a, b) for a, b in zip(local.off_diagonal(ξ), χ, strict=True))
        d, state = self.directions(z, tuple(tree.axpy(-α, s_i, ξ_i) for s_i, ξ_i in zip(shaped, ξ, strict=True)), state)
        return moved(game, z, d), counted(state), Info(local.losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        if any(at.shaped(i) for i in range(len(at.blocks))):
            return ELSEWHERE
        shaped = at.off @ at.J
        for i, x in enumerate(at.blocks):
            for j, y in enumerate(at.blocks):
                if j != i:
                    shaped[x] += at.J[y, x].T @ at.H[i][y]
        return LinearMap(at.eye - D @ (at.J - constant(self.alpha) * shaped))


def shaping(game: Oracle, local: Linearization, z: Point, batch: Any) -> Point:
    """χ_i = Σ_{j≠i} (∂_i∂_j L_j)ᵀ ∂_j L_i."""
    rows = []
    for i, z_i in enumerate(z):
        χ_i = tree.zeros(z_i)
        for j in range(len(z)):
            if j != i:
                χ_i = tree.add(χ_i, local.vjp_block(j, i, slope(game, local, z, j, i, batch)))
        rows.append(χ_i)
    return tuple(rows)


def slope(game: Oracle, local: Linearization, z: Point, j: int, of: int, batch: Any) -> list[Any]:
    """∂_j L_of for j != of; no gradient is taken where the losses are one function up to the sign."""
    if local.symmetry:
        return tree.scale(local.symmetry, local.field[j])
    return game.gradient(z, j, batch, of=of)[0]
