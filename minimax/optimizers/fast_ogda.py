"""Fast optimistic gradient play."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap, assembled
from minimax.optimizer import Hyperparameter, Info, Ruled, State, counted, moved, scaled
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class FastOGDA(Ruled):
    r"""Fast optimistic play: y = z + (k (z - z₋) + α d₋) / (k + α),  z⁺ = y + (2k + α) / (k + α) (d - d₋), d at F(y).

    d is the rule's displacement, -h F(y) with sgd, and d₋ the last one. Its momentum grows towards 1, so that the last
    iterate's residual falls faster than 1/k on every monotone game, for h < 1/(4L); on bilinear games as k^(-α/2), for
    hσ < 1/(2√3). y_0 = z_0 = z_1: the first step measures F(z_0), which the second one needs, and moves nobody.

    Cost per step: one gradient per player. Memory: two copies of the players.
    State: `past`, z₋; `past_move`, d₋; the rules' memories.
    Differs from the paper: any rule moves; the first step only measures, so that every step costs the same.
    Constraints: both y and z are projected, of which the paper says nothing.

    Args:
        rule: one rule for all players, or a tuple with one each; sgd is what the theory is about.
        alpha: α > 2; a float, tensor, or schedule.

    Raises:
        ValueError: an alpha that is not above 2.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> mm.solve(game, z, mm.FastOGDA(mm.sgd(0.2)), steps=3).players
        (tensor(0.8791), tensor(0.3103))

    Source: Boţ, Csetnek & Nguyen, Fast Optimistic Gradient Descent Ascent (OGDA) Method in Continuous and Discrete
    Time, 2022.
    """

    alpha: Hyperparameter = 3.0

    name: ClassVar[str] = "fast-optimistic"
    combines: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("alpha", self.alpha, above=2)

    def start(self, z: Point, device: torch.device) -> State:
        return {"past": [tree.clone(vector) for vector in z], "past_move": [tree.zeros(vector) for vector in z]}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        k, α = state["step"].double(), self.at(self.alpha, state)
        onward = scaled(k / (k + α), tuple(map(tree.sub, z, state["past"])))
        last = scaled(α / (k + α), tuple(state["past_move"]))
        y = moved(game, z, tuple(map(tree.add, onward, last)))
        ξ, losses = game.field(y, batches[0])
        d, state = self.directions(y, ξ, state)
        weight = torch.where(k > 0, (2 * k + α) / (k + α), 0)
        change = scaled(weight, tuple(map(tree.sub, d, state["past_move"])))
        past = [tree.clone(vector) for vector in z]  # z may be the modules' own memory
        info = Info(losses, ξ, at="point ahead", point=y)
        return moved(game, y, change), counted(state | {"past": past, "past_move": list(d)}), info

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        eye, hJ = at.eye, D @ at.J  # of z, the last z and d: y is 2z - z₋ in the end
        go = eye - 2 * hJ
        rows = [[2 * go, -go, -2 * eye], [eye, 0 * eye, 0 * eye], [-2 * hJ, hJ, 0 * eye]]
        return LinearMap(assembled(rows), start=torch.cat([eye, eye, 0 * eye]), late=True, sublinear=True)
