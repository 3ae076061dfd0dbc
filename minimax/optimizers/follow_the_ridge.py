"""Follow-the-Ridge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear import cg, inner, ravel, unravel
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Info, State, constant, counted, moved
from minimax.optimizers._implicit import Implicit, two
from minimax.oracle import Oracle
from minimax.tree import Point


@dataclass(frozen=True)
class FollowTheRidge(Implicit):
    r"""Follow-the-Ridge: gradient play, but the second player also makes up for the first one's move along its ridge.

    x⁺ = x + Δ_x with the rule's Δ_x,  y⁺ = y + Δ_y - (∂_y∂_y L_2)⁻¹ (∂_x∂_y L_2) Δ_x; with SGD and min_x max_y f the
    last term is h_x f_yy⁻¹ f_yx f_x. DF's eigenvalues become real: those of f_xx - f_xy f_yy⁻¹ f_yx and -f_yy, so
    that only local minimax points attract. The system is solved by conjugate gradients on (f_yy² + μI) u = f_yy b,
    as f_yy may be indefinite. Where the follower's constraint binds, it follows along the ridge of its feasible set: on
    a box, with the entries that are free.

    Cost per step: two gradients and 2 + 2k Hessian-vector products for k iterations. The relative residual of the
    normal equations and k are in `Info.extra`; if it is far off the tolerance, the `Status` of a run says so.
    State: the rules' memories alone.
    Differs from the paper: the ridge is followed for the leader's move as its rule and constraint leave it, and solves
    are truncated.

    Args:
        rule: one rule for both players, or a tuple with one each.
        damping: μ >= 0; a float, tensor, or schedule.
        tolerance: the relative residual to stop at, eagerly after reading it once per iteration.
        iterations: at most so many; under `vmap` and `torch.compile` exactly so many, the late ones without effect.

    Raises:
        ValueError: a negative damping or tolerance, or iterations below 1.
        GameError: not two players.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.zero_sum(lambda x, y: -3 * x**2 - y**2 + 4 * x * y)
        >>> z = (torch.tensor(1.0), torch.tensor(2.0))
        >>> opt = mm.FollowTheRidge(mm.sgd(0.05))
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.9000), tensor(1.8000))

    Source: Wang, Zhang & Ba, On Solving Minimax Optimization Locally: A Follow-the-Ridge Approach, 2020.
    """

    name: ClassVar[str] = "follow-the-ridge"
    combines: ClassVar[bool] = True

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        two(self.name, z)
        local = game.linearize(z, batches[0])
        d, state = self.directions(z, local.field, state)
        Δ_x = tree.sub(moved(game, z, d)[0], z[0])  # as projected
        Q, B = self.answering(game, local, z[1])
        b = B(Q(ravel(local.jvp_block(1, 0, Δ_x))))
        solved = cg(self.damped(lambda v: B(B(v)), state), 0 * b, b, inner(b, b), self.tolerance, self.iterations)
        z = moved(game, z, (d[0], tree.sub(d[1], unravel(Q(solved.x), z[1]))))
        return z, counted(state), Info(local.losses, local.field, extra=solved.told(self.tolerance))

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        if reason := self.unsolvable(at):
            return reason
        (x, y), M = at.blocks, at.eye - D @ at.J
        own, μ = at.J[y, y], constant(self.damping) * at.eye[y, y]
        M[y] += torch.linalg.pinv(own @ own + μ) @ own @ at.J[y, x] @ D[x, x] @ at.J[x]
        return LinearMap(M)
