"""Momentum that also reduces variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Hyperparameter, Info, Ruled, State, counted, moved, scaled
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter


@dataclass(frozen=True)
class STORM(Ruled):
    r"""STORM: simultaneous play on v_t = F_t(z_t) + (1 - a) (v_{t-1} - F_t(z_{t-1})), F_t the field on the t-th batch.

    Both fields see one batch, so that the memory moves along with the players and its error falls as they slow down,
    without a pass over all data. Where batches are no samples but everything, v_t = F(z_t), simultaneous play; at a = 1
    it is that on any batches. The first step has no memory, v_0 = F_0(z_0).

    As a bilevel method: on `transforms.best_response(game, 1, ..., through=True)` v estimates the hypergradient.

    Cost per step: two gradients per player. Memory: two copies of the players.
    State: `past`, z_{t-1}; `estimate`, v_{t-1}; the rules' memories.
    Differs from the paper: a is given and not adapted to the gradients, nor is the step size; any number of players.

    Args:
        rule: one rule for all players, or a tuple with one each.
        momentum: a in [0, 1], the share of the newest batch; a float, tensor, or schedule.

    Raises:
        ValueError: a momentum outside [0, 1].

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y, b: b * x * y), (torch.tensor(1.0), torch.tensor(0.0))
        >>> opt = mm.STORM(mm.sgd(0.5), momentum=0.1)
        >>> opt.step(game, z, opt.init(game, z), torch.tensor(1.0))[0]
        (tensor(1.), tensor(0.5000))

    Source: Cutkosky & Orabona, Momentum-Based Variance Reduction in Non-Convex SGD, 2019; Khanduri et al., A
    Near-Optimal Algorithm for Stochastic Bilevel Optimization via Double-Momentum, 2021, for leaders and followers.
    """

    momentum: Hyperparameter = 0.1

    name: ClassVar[str] = "storm"

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("momentum", self.momentum, at_least=0, at_most=1)

    def start(self, z: Point, device: torch.device) -> State:
        return {"past": [tree.clone(vector) for vector in z], "estimate": [tree.zeros(vector) for vector in z]}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        ξ, losses = game.field(z, batches[0])
        ξ_past, _ = game.field(tuple(state["past"]), batches[0])
        share = torch.where(state["step"] > 0, 1 - self.at(self.momentum, state), 0.0)
        memory = scaled(share, tuple(map(tree.sub, state["estimate"], ξ_past)))
        v = tuple(map(tree.add, ξ, memory))
        d, state = self.directions(z, v, state)
        past = [tree.clone(vector) for vector in z]  # z may be the modules' own memory
        return moved(game, z, d), counted(state | {"past": past, "estimate": list(v)}), Info(losses, ξ)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        return LinearMap(at.eye - D @ at.J)  # without samples v_t = F(z_t)
