"""Nagarajan and Kolter's gradient regularisation of the generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Hyperparameter, Info, Ruled, State, constant, counted, moved
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter, whole


@dataclass(frozen=True)
class NagarajanKolter(Ruled):
    r"""Gradient regularisation of the generator: it alone descends f + η |f_y|², the others play plain gradients.

    Generator g moves along ξ_g + 2η Σ_{j≠g} (∂_g ξ_j)ᵀ ξ_j; the penalty has no factor ½ (`JARE`, where all players
    do it, has one). A bilinear game has the eigenvalues ησ² ± iσ√(1 - η²σ²) instead of ±iσ.

    Cost per step: one gradient per player and one Hessian-vector product per other player.
    State: the rules' memories alone.
    Differs from the paper: for any number of players; the regularised one is chosen by `generator`.
    Constraints: where one binds at a solution of the game, play does not rest there.

    Args:
        rule: one rule for all players, or a tuple with one each.
        eta: η >= 0, the weight of the penalty; a float, tensor, or schedule.
        generator: g, the index of the player that is regularised.

    Raises:
        ValueError: a negative eta or generator.
        GameError: a generator that is no player, or one player only.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.NagarajanKolter(mm.sgd(0.5), eta=0.5)
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.5000), tensor(0.5000))

    Source: Nagarajan & Kolter, Gradient descent GAN optimization is locally stable, 2017.
    """

    eta: Hyperparameter = 0.1
    generator: int = 0

    name: ClassVar[str] = "nagarajan-kolter"

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("eta", self.eta, at_least=0)
        whole("generator", self.generator, at_least=0)

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        g, others = self.generator, [j for j in range(len(z)) if j != self.generator]
        if not others or len(others) == len(z):
            raise GameError(f"{self.name} regularises player {g} by the others' gradients, but got {len(z)} players.")
        local = game.linearize(z, batches[0])
        ξ, η = local.field, self.at(self.eta, state)
        ξ_g = ξ[g]
        for j in others:
            ξ_g = tree.axpy(2 * η, local.vjp_block(j, g, ξ[j]), ξ_g)
        d, state = self.directions(z, (*ξ[:g], ξ_g, *ξ[g + 1 :]), state)
        return moved(game, z, d), counted(state), Info(local.losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        g, others = self.generator, [rows for i, rows in enumerate(at.blocks) if i != self.generator]
        if not others or len(others) == len(at.blocks):
            return "undefined: for two players or more, one of them the generator"
        penalty = 2 * constant(self.eta) * sum(at.J[y, at.blocks[g]].T @ at.J[y] for y in others)
        return LinearMap(at.eye - D @ at.raised(g, penalty))
