"""What kind of point it is, to second order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minimax.diagnostics._local import Local
from minimax.diagnostics._spectrum import exact_spectrum, ritz
from minimax.game import Game
from minimax.oracle import Oracle, Players
from minimax.status import measure
from minimax.transforms import Payoff
from minimax.tree import Point
from minimax.validation import real, whole

BOUND = "undecided, constraints bind"


@dataclass(frozen=True)
class Equilibrium:
    """The kind of a point, and the numbers that decide it.

    Args:
        kind: one of `local Nash`, `local minimax` (zero-sum; else `local Stackelberg`), `stable, not Nash`, `unstable`,
            `undecided` (an eigenvalue that decides is 0, or was not found), `undecided, constraints bind` (second
            derivatives alone do not decide on the boundary, nor anywhere on a simplex), `not stationary`.
        norm: |F|; in a game with constraints the natural residual |z - P(z - F)|.
        own: per player, the smallest eigenvalue of its own Hessian ∂_i² L_i: all positive at a strict local Nash point.
        leader: the smallest eigenvalue of the leader's total Hessian, f_xx - f_xy f_yy⁻¹ f_yx in a zero-sum game: with
            own[follower] positive too, the point is a strict local minimax point. None where second derivatives do not
            decide it.
        leftmost: the smallest real part among the eigenvalues of DF: positive where simultaneous play with small steps
            converges.
        exact: whether the matrices were written out. If not, eigenvalues come from Ritz values, which only prove that
            something is negative.
        measure: what `norm` is, as a formula.
    """

    kind: str
    norm: float
    own: tuple[float, ...]
    leader: float | None
    leftmost: float
    exact: bool
    measure: str = "|F|"

    def __str__(self) -> str:
        own = ", ".join(f"{value:.3g}" for value in self.own)
        leader = "" if self.leader is None else f"; leader's total Hessian >= {self.leader:.3g}"
        size = f"{self.measure} = {self.norm:.3g}"
        return f"{self.kind}: {size}; own Hessians >= {own}{leader}; Re λ(DF) >= {self.leftmost:.3g}"


def classify(
    game: Game,
    players: Players,
    batch: Any = None,
    *,
    leader: int = 0,
    tolerance: float = 1e-4,
    products: int = 30,
    seed: int = 0,
) -> Equilibrium:
    """Local Nash, local minimax, stable but neither, or unstable, from second derivatives.

    A strict local Nash point has every ∂_i² L_i ≻ 0. A strict local minimax (Stackelberg) point has the follower's
    ∂_y² L_2 ≻ 0 and the leader's Hessian of L_1(x, r(x)) ≻ 0 along the follower's best response r; every strict local
    Nash point of a zero-sum game is one. DF decides separately whether gradient play finds the point (`leftmost`).

    Costs the field and 2n (small games) or `products` (1 + number of players) Hessian-vector products.

    Args:
        game: the losses. Where its constraints bind only a local Nash point is recognised.
        players: the point; tensors or modules.
        batch: as the losses take it.
        leader: who moves first in the minimax sense, of two players.
        tolerance: the point is stationary if |F| (under constraints |z - P(z - F)|) is at most this.
        products: for the Ritz values of games above 512 parameters.
        seed: of their random start.

    Raises:
        ValueError: a leader that is no player, or a number out of its range.

    Example:
        >>> import torch, minimax as mm
        >>> zero = (torch.tensor(0.0), torch.tensor(0.0))
        >>> print(classify(mm.zero_sum(lambda x, y: -3 * x**2 - y**2 + 4 * x * y), zero))
        local minimax: |F| = 0; own Hessians >= -6, 2; leader's total Hessian >= 2; Re λ(DF) >= -2

    Source: Jin, Netrapalli & Jordan, What is Local Optimality in Nonconvex-Nonconcave Minimax Optimization?, 2020;
    Fiez, Chasnov & Ratliff, Implicit Learning Dynamics in Stackelberg Games, 2020.
    """
    real("tolerance", tolerance, at_least=0)
    whole("products", products, at_least=1)
    whole("seed", seed, at_least=0)
    local = Local(game, players, batch)
    whole(f"leader, one of {len(local.sizes)} players,", leader, at_least=0, at_most=len(local.sizes) - 1)
    norm, formula = local.residual, measure(game.constraints)
    if not local.small:
        own = tuple(_smallest(local, i, products, seed) for i in range(len(local.sizes)))
        λ = ritz(local.vjp, local.field, products, local.symmetric, seed)[0]
        leftmost = float(λ.real.min())
        noise = 1e-3 * float(λ.abs().max())
        kind = _kind_of_large(norm <= tolerance, own, leftmost, noise, local.bound)
        return Equilibrium(kind, norm, own, None, leftmost, False, formula)
    J = local.exact()
    noise = max(64 * torch.finfo(local.field.dtype).eps, 1e-9) * float(torch.linalg.matrix_norm(J, 2))
    own = tuple(float(torch.linalg.eigvalsh(_symmetric(J[s, s])).min()) for s in local.slices())
    total = None
    if len(own) == 2 and own[1 - leader] > noise:
        total = _total(game, players, batch, J, local, leader, max(tolerance, noise))
    leftmost = exact_spectrum(J).leftmost
    kind = _kind(norm <= tolerance, own, total, leftmost, noise, local.linear.symmetry == -1, local.bound)
    return Equilibrium(kind, norm, own, total, leftmost, True, formula)


def _kind(
    stationary: bool,
    own: tuple[float, ...],
    total: float | None,
    leftmost: float,
    noise: float,
    zero_sum: bool,
    bound: bool,
) -> str:
    if not stationary:
        return "not stationary"
    if min(own) > noise:
        return "local Nash"
    if bound:
        return BOUND
    if total is not None and total > noise:
        return "local minimax" if zero_sum else "local Stackelberg"
    if leftmost < -noise:
        return "unstable"
    return "stable, not Nash" if leftmost > noise and min(own) < -noise else "undecided"


def _kind_of_large(stationary: bool, own: tuple[float, ...], leftmost: float, noise: float, bound: bool) -> str:
    if not stationary:
        return "not stationary"
    if bound:
        return BOUND
    if leftmost < -noise:
        return "unstable"
    return "undecided, not Nash" if min(own) < -noise else "undecided"


def _smallest(local: Local, i: int, products: int, seed: int) -> float:
    like = local.field[local.slices()[i]]
    return float(ritz(local.own(i), like, products, True, seed)[0].real.min())


def _total(
    game: Game, players: Players, batch: Any, J: Tensor, local: Local, leader: int, tolerance: float
) -> float | None:
    """The smallest eigenvalue of the Hessian of L_1(x, r(x)), r the follower's best response.

    With r' = -L2_yy⁻¹ L2_yx it is [I; r']ᵀ (∇²L_1) [I; r'] plus ∂_y L_1 · r'', a third derivative. That term is zero
    where ∂_y L_1 is, as at every stationary point of a zero-sum game; elsewhere the question is left open.
    """
    x, y = local.slices()[leader], local.slices()[1 - leader]
    alone = Local(game.through(lambda inner: _Common(inner, leader)), players, batch)
    if float(alone.field[y].norm()) > tolerance:
        return None
    hessian = alone.exact()
    slope = -torch.linalg.solve(J[y, y], J[y, x])
    total = hessian[x, x] + hessian[x, y] @ slope + slope.T @ hessian[y, x] + slope.T @ hessian[y, y] @ slope
    return float(torch.linalg.eigvalsh(_symmetric(total)).min())


class _Common(Payoff):
    """Everyone pays what player i pays: then DF is the full Hessian of L_i."""

    def __init__(self, inner: Oracle, i: int) -> None:
        super().__init__(inner)
        self.i, self.signs, self.joint = i, (1,) * inner.players, True

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        return (self.inner.loss(z, self.i, batch),) * self.players


def _symmetric(H: Tensor) -> Tensor:
    return (H + H.T) / 2
