"""Optimistic gradient descent-ascent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap, assembled
from minimax.optimizer import Hyperparameter, Info, Ruled, State, constant, counted, moved, scaled
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class OptimisticGDA(Ruled):
    r"""Optimistic gradient play: z⁺ = z + (1 + b) d_t - b d_{t-1}, d_t the rule's move at F(z_t), d_{-1} = d_0, b = 1.

    With SGD, z⁺ = z - h (2 F(z_t) - F(z_{t-1})): a bilinear game converges for hσ < 1/√3. With Adam it is
    OptimisticAdam, z⁺ = z - 2h u_t + h u_{t-1} for Adam's direction u. With constraints it is
    forward-reflected-backward splitting (Malitsky & Tam, 2020), which solves every convex-concave game for h < 1/(2L).

    An optimism b > ½ converges on bilinear games for hσ < √((2b - 1) / (2b + 1)) / b; b = ½ is the two-step
    Adams-Bashforth method, which never does, and b = 0 plain play. Without constraints the golden ratio algorithm with
    a fixed step h is b = 1/(φ - 1) at the rate h (φ - 1) / φ, but for the first step.

    Cost per step: one gradient per player. Memory: one copy of the players.
    State: `past`, per player the last displacement d_{t-1}; the rules' memories.
    Differs from the paper: what is remembered is the rule's move, not the gradient, and the first step is a plain one.

    Args:
        rule: one rule for all players, or a tuple with one each.
        optimism: b, of any sign; a float, tensor, or schedule.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.OptimisticGDA(mm.sgd(0.5))
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(1.), tensor(0.5000))

    Source: Popov, 1980; Daskalakis, Ilyas, Syrgkanis & Zeng, Training GANs with Optimism, 2018;
    Mokhtari, Ozdaglar & Pattathil, A Unified Analysis of Extra-gradient and Optimistic Gradient Methods, 2020, for b.
    """

    optimism: Hyperparameter = 1.0

    name: ClassVar[str] = "optimistic"
    combines: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("optimism", self.optimism)

    def start(self, z: Point, device: torch.device) -> State:
        return {"past": [tree.zeros(vector) for vector in z]}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        ξ, losses = game.field(z, batches[0])
        d, state = self.directions(z, ξ, state)
        # d + b (d - past), or d itself at the first step, without a branch on a tensor: weight is 0 there and 1 later.
        weight = (state["step"] > 0).to(z[0][0].dtype)
        change = scaled(self.at(self.optimism, state), tuple(map(tree.sub, d, state["past"])))
        ahead = tuple(tree.axpy(weight, change_i, d_i) for change_i, d_i in zip(change, d, strict=True))
        return moved(game, z, ahead), counted(state | {"past": list(d)}), Info(losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        eye, hJ, b = at.eye, D @ at.J, constant(self.optimism)  # of z and the last z
        return LinearMap(assembled([[eye - (1 + b) * hJ, b * hJ], [eye, 0 * eye]]), start=torch.cat([eye, eye]))
