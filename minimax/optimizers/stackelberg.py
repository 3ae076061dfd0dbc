"""Stackelberg gradient play, with the follower's answer by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear import ravel, unravel
from minimax.linear_maps import ELSEWHERE, Expansion, LinearMap
from minimax.optimizer import Info, State, constant, counted, moved
from minimax.optimizers._implicit import Solving, two
from minimax.optimizers._unrolling import Unrolling
from minimax.optimizers.lola import slope
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import flag, whole


@dataclass(frozen=True)
class StackelbergGradient(Solving):
    r"""Stackelberg gradient play: the leader (first player) descends its loss along the follower's best response.

    Leader: ∂_x L_1 - (∂_x∂_y L_2)ᵀ (∂_y∂_y L_2 + μI)⁻¹ ∂_y L_1; the follower moves along its own gradient. The
    system is solved by conjugate gradients, by a Neumann series, or by a random term of it, right on average. It is
    positive definite near a follower's strict optimum, or with enough μ; the `Status` of a run says where it was not.
    Where a constraint binds, it is that of the free directions; for products by differences: `finite_differences`.

    Cost per step: two gradients (three in general-sum games), 1 + k Hessian-vector products for k iterations.
    `Info.extra` has the relative residual and k; the `Status` says if that residual is far off the tolerance.
    State: the rules' memories, and the start with `anew`. Differs from the paper: truncated solves, and constraints.

    Args:
        rule: one rule for both players, or a tuple with one each; the follower's should be the faster.
        damping: μ >= 0; a float, tensor, or schedule.
        tolerance: the relative residual to stop at, eagerly after reading it once per iteration.
        iterations: at most so many; under `vmap` and `torch.compile` exactly so many, the late ones without effect.
        neumann: a of a Σ_{k<iterations} (I - aB)ᵏ in place of conjugate gradients, below 2/|B|; may be a schedule.
        draw: of a batch, a uniform number in [0, 1) that draws one of the series' terms; None for all of them.
        steps: moves of the follower per step, all but the last before the leader looks.
        anew: the follower starts every step where it stood at `init`, as for tasks that change (implicit MAML).

    Raises:
        ValueError: a negative damping or tolerance, a neumann that is not positive, iterations or steps below 1.
        TypeError: a draw that is no function.
        GameError: not two players.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.zero_sum(lambda x, y: x**2 / 2 + 2 * x * y - y**2 / 2)
        >>> z, opt = (torch.tensor(1.0), torch.tensor(2.0)), mm.StackelbergGradient(mm.sgd(0.1), damping=0.0)
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.5000), tensor(2.))

    Source: Fiez, Chasnov & Ratliff, Implicit Learning Dynamics in Stackelberg Games, 2020; the series: Lorraine, Vicol
    & Duvenaud, Optimizing Millions of Hyperparameters by Implicit Differentiation, 2020; a term: Ghadimi & Wang,
    Approximation Methods for Bilevel Programming, 2018; anew: Rajeswaran et al., implicit MAML, 2019.
    """

    steps: int = 1
    anew: bool = False

    name: ClassVar[str] = "stackelberg"
    anticipates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("steps", self.steps, at_least=1)
        flag("anew", self.anew)

    def start(self, z: Point, device: torch.device) -> State:
        two(self.name, z)
        return {"follower": tree.clone(z[1])} if self.anew else {}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        z = (z[0], state["follower"] if self.anew else z[1])
        following = Unrolling(game, self.rules(2), state["step"], batches[0])
        for _ in range(self.steps - 1):
            z, memories = following.ahead(z, state["rules"])
            state = state | {"rules": memories}
        local = game.linearize(z, batches[0])
        ξ, (Q, B) = local.field, self.answering(game, local, z[1])
        b = Q(ravel(slope(game, local, z, 1, 0, batches[0])))
        u, told = self.solution(self.damped(B, state), b, state, batches[0])
        leader = tree.sub(ξ[0], local.vjp_block(1, 0, unravel(Q(u), z[1])))
        d, state = self.directions(z, (leader, ξ[1]), state)
        return moved(game, z, d), counted(state), Info(local.losses, ξ, "before the last moves", extra=told, point=z)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        if reason := self.unsolvable(at) or ELSEWHERE * self.anew:
            return reason
        (x, y), alone = at.blocks, at.eye
        alone[y] -= D[y] @ at.J
        answer = self.inverse(at.J[y, y] + constant(self.damping) * at.eye[y, y]) @ at.H[0][y]
        led = at.eye - D @ at.raised(0, -at.J[y, x].T @ answer)
        return ELSEWHERE if at.shaped(0) else LinearMap(led @ torch.linalg.matrix_power(alone, self.steps - 1))
