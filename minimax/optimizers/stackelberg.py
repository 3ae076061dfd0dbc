"""Stackelberg gradient play, with the follower's answer by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear import cg, inner, ravel, unravel
from minimax.linear_maps import ELSEWHERE, Expansion, LinearMap
from minimax.optimizer import Info, State, constant, counted, moved
from minimax.optimizers._implicit import Implicit
from minimax.optimizers.lola import slope
from minimax.oracle import Oracle
from minimax.tree import Point


@dataclass(frozen=True)
class StackelbergGradient(Implicit):
    r"""Stackelberg gradient play: the leader (first player) descends its loss along the follower's best response.

    Leader: ∂_x L_1 - (∂_x∂_y L_2)ᵀ (∂_y∂_y L_2 + μI)⁻¹ ∂_y L_1; the follower moves along its own gradient. The
    system is solved by conjugate gradients from zero; it is positive definite near a follower's strict optimum, or
    with enough μ. Where the follower's constraint binds, the system is that of the directions in which it may move: on
    a box, of the entries that are free.

    Cost per step: two gradients (three in general-sum games) and 1 + k Hessian-vector products for k iterations. The
    relative residual and k are in `Info.extra`; if it is far off the tolerance, the `Status` of a run says so.
    State: the rules' memories alone.
    Differs from the paper: solves are truncated, and constraints are answered for.

    Args:
        rule: one rule for both players, or a tuple with one each; the follower's should be the faster.
        damping: μ >= 0; a float, tensor, or schedule.
        tolerance: the relative residual to stop at, eagerly after reading it once per iteration.
        iterations: at most so many; under `vmap` and `torch.compile` exactly so many, the late ones without effect.

    Raises:
        ValueError: a negative damping or tolerance, or iterations below 1.
        GameError: not two players.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.zero_sum(lambda x, y: x**2 / 2 + 2 * x * y - y**2 / 2)
        >>> z = (torch.tensor(1.0), torch.tensor(2.0))
        >>> opt = mm.StackelbergGradient(mm.sgd(0.1), damping=0.0)
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.5000), tensor(2.))

    Source: Fiez, Chasnov & Ratliff, Implicit Learning Dynamics in Stackelberg Games, 2020.
    """

    name: ClassVar[str] = "stackelberg"
    anticipates: ClassVar[bool] = True

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        self.check_two(z)
        local = game.linearize(z, batches[0])
        ξ, μ = local.field, self.at(self.damping, state)
        Q, B = self.answering(game, local, z[1])
        b = Q(ravel(slope(game, local, z, 1, 0, batches[0])))
        solved = cg(lambda v: B(v) + μ * v, 0 * b, b, inner(b, b), self.tolerance, self.iterations)
        answer = unravel(Q(solved.x), z[1])
        leader = tree.sub(ξ[0], local.vjp_block(1, 0, answer))
        d, state = self.directions(z, (leader, ξ[1]), state)
        return moved(game, z, d), counted(state), Info(local.losses, ξ, extra=solved.told(self.tolerance))

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        if reason := self.unsolvable(at):
            return reason
        (x, y), μ = at.blocks, constant(self.damping)
        answer = torch.linalg.pinv(at.J[y, y] + μ * at.eye[y, y]) @ at.H[0][y]
        return ELSEWHERE if at.shaped(0) else LinearMap(at.eye - D @ at.raised(0, -at.J[y, x].T @ answer))
