"""Curvature exploitation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from minimax import tree
from minimax.linear import least, ravel, unravel
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Hyperparameter, Info, Ruled, State, counted, moved
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import hyperparameter, whole


@dataclass(frozen=True)
class CurvatureExploitation(Ruled):
    r"""Curvature exploitation (CESP): z_i⁺ = z_i - h ξ_i + v_i, v_i along the most negative curvature of L_i in z_i.

    With λ < 0 the least eigenvalue of ∂_i∂_i L_i and e its unit eigenvector, v_i = λ / (2ρ) sign(<e, ξ_i>) e; with λ ≥
    0 it is 0. Gradient play may settle where a player sits on a maximum of its own loss; here only local Nash points
    are stationary (so that a local minimax point that is none is left: see `FollowTheRidge`). The eigenpair is
    Lanczos', from a start that is always the same.

    Cost per step: one gradient and k Hessian-vector products per player, k = `iterations` or its parameters if fewer.
    State: the rules' memories alone.
    Differs from the paper: Lanczos' method in place of power iterations; any rule moves; any number of players.

    Args:
        rule: one rule for all players, or a tuple with one each.
        rho: ρ > 0, by the paper the Lipschitz constant of the Hessians: the larger the shorter v; a float, tensor, or
            schedule.
        iterations: k >= 1, of Lanczos' method; exact from the number of the player's parameters on.

    Raises:
        ValueError: a rho that is not above 0, or iterations below 1.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.zero_sum(lambda x, y: x**2 / 2 + y**4 / 4 - y**2 / 2)  # y maximises: away from 1 and -1
        >>> z, opt = (torch.tensor(1.0), torch.tensor(0.9)), mm.CurvatureExploitation(mm.sgd(0.1), rho=10.0)
        >>> opt.step(game, z, opt.init(game, z))[0]  # y: 0.9 + 0.1 * (0.9³ - 0.9) - 1.43 / 20
        (tensor(0.9000), tensor(0.8114))

    Source: Adolphs, Daneshmand, Lucchi & Hofmann, Local Saddle Point Optimization: A Curvature Exploitation Approach,
    2019.
    """

    rho: Hyperparameter = 10.0
    iterations: int = 10

    name: ClassVar[str] = "cesp"
    combines: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("rho", self.rho, above=0)
        whole("iterations", self.iterations, at_least=1)

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        local, ρ = game.linearize(z, batches[0]), self.at(self.rho, state)
        d, state = self.directions(z, local.field, state)
        out = []
        for i, (z_i, ξ_i, d_i) in enumerate(zip(z, local.field, d, strict=True)):

            def hessian(v: Tensor, i: int = i, z_i: tree.Vector = z_i) -> Tensor:
                return ravel(local.vjp_block(i, i, unravel(v, z_i)))

            λ, e = least(hessian, ravel(ξ_i), self.iterations)
            down = torch.where(torch.dot(e, ravel(ξ_i)) < 0, -1.0, 1.0)
            v = λ.clamp(max=0) / (2 * ρ) * down * e
            out.append(tree.add(d_i, unravel(v, z_i)))
        return moved(game, z, tuple(out)), counted(state), Info(local.losses, local.field)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        lowest = min(float(torch.linalg.eigvalsh(at.J[rows, rows]).min()) for rows in at.blocks)
        leaves = lowest < -1e-12 or (lowest < 1e-12 and at.bent)
        return "undefined: a player is thrown out by its curvature" if leaves else LinearMap(at.eye - D @ at.J)
