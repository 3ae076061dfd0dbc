"""Stackelberg gradient play, with the follower's answer by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from minimax import tree
from minimax.linear import Solved, cg, inner, ravel, unravel
from minimax.linearization import Linearization
from minimax.optimizer import Info, State, counted, moved
from minimax.optimizers._implicit import Implicit
from minimax.optimizers.lola import slope
from minimax.oracle import Oracle
from minimax.tree import Point


@dataclass(frozen=True)
class StackelbergGradient(Implicit):
    r"""Stackelberg gradient play: the leader (first player) descends its loss along the follower's best response.

    Leader: ∂_x L_1 - (∂_x∂_y L_2)ᵀ (∂_y∂_y L_2 + μI)⁻¹ ∂_y L_1; the follower moves along its own gradient. The
    system is solved by conjugate gradients from zero; it is positive definite near a follower's strict optimum, or
    with enough μ.

    Cost per step: two gradients (three in general-sum games) and 1 + k Hessian-vector products for k iterations. The
    relative residual and k are in `Info.extra`; if it is far off the tolerance, the `Status` of a run says so.

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
        ξ = local.field
        b = slope(game, local, z, 1, 0, batches[0])
        solved = self._solve(local, b, self.at(self.damping, state))
        leader = tree.sub(ξ[0], local.vjp_block(1, 0, unravel(solved.x, z[1])))
        d, state = self.directions(z, (leader, ξ[1]), state)
        return moved(game, z, d), counted(state), Info(local.losses, ξ, extra=solved.told(self.tolerance))

    def _solve(self, local: Linearization, b: list[Any], μ: Any) -> Solved:
        flat = ravel(b)

        def hessian(v: Any) -> Any:
            return ravel(local.vjp_block(1, 1, unravel(v, b))) + μ * v

        return cg(hessian, 0 * flat, flat, inner(flat, flat), self.tolerance, self.iterations)
