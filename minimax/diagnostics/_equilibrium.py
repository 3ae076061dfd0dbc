"""What kind of point it is, to second order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minimax.diagnostics._local import Common, Local
from minimax.diagnostics._spectrum import exact_spectrum, ritz
from minimax.game import Game
from minimax.oracle import Players
from minimax.status import measure
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
    if local.small:
        common = Local(game.through(lambda inner: Common(inner, leader)), players, batch)
        numbers = _exactly(local, common, leader, tolerance)
        kind = _kind(numbers, zero_sum=local.linear.symmetry == -1, bound=local.bound)
    else:
        numbers = _by_products(local, products, seed)
        kind = _kind_of_large(numbers, bound=local.bound)
    return Equilibrium(
        kind=kind if local.residual <= tolerance else "not stationary",
        norm=local.residual,
        own=numbers.own,
        leader=numbers.leader,
        leftmost=numbers.leftmost,
        exact=local.small,
        measure=measure(game.constraints),
    )


class _Numbers(NamedTuple):
    """The numbers of an `Equilibrium` that decide its kind, and below what size they count as 0."""

    own: tuple[float, ...]
    leader: float | None
    leftmost: float
    noise: float


def _kind(numbers: _Numbers, zero_sum: bool, bound: bool) -> str:
    own, leader, leftmost, noise = numbers
    if min(own) > noise:
        return "local Nash"
    if bound:
        return BOUND
    if leader is not None and leader > noise:
        return "local minimax" if zero_sum else "local Stackelberg"
    if leftmost < -noise:
        return "unstable"
    return "stable, not Nash" if leftmost > noise and min(own) < -noise else "undecided"


def _kind_of_large(numbers: _Numbers, bound: bool) -> str:
    """What Ritz values can tell: they only prove that something is negative."""
    if bound:
        return BOUND
    if numbers.leftmost < -numbers.noise:
        return "unstable"
    return "undecided, not Nash" if min(numbers.own) < -numbers.noise else "undecided"


def _by_products(local: Local, products: int, seed: int) -> _Numbers:
    own = []
    for i, rows in enumerate(local.slices()):
        values, _, _ = ritz(local.own(i), local.field[rows], products, True, seed)
        own.append(float(values.real.min()))
    λ, _, _ = ritz(local.vjp, local.field, products, local.symmetric, seed)
    return _Numbers(tuple(own), None, float(λ.real.min()), noise=1e-3 * float(λ.abs().max()))


def _exactly(local: Local, common: Local, leader: int, tolerance: float) -> _Numbers:
    """From the Jacobian, and from the game in which all pay what the leader does, whose Jacobian is a Hessian."""
    J, slices = local.exact(), local.slices()
    noise = max(64 * torch.finfo(local.field.dtype).eps, 1e-9) * float(torch.linalg.matrix_norm(J, 2))
    own, total = tuple(_least(J[rows, rows]) for rows in slices), None
    if len(own) == 2 and own[1 - leader] > noise:
        x, y = slices[leader], slices[1 - leader]
        if float(common.field[y].norm()) <= max(tolerance, noise):
            total = _least(_along_the_answer(common.exact(), J, x, y))
    return _Numbers(own, total, exact_spectrum(J).leftmost, noise)


def _along_the_answer(H: Tensor, J: Tensor, x: slice, y: slice) -> Tensor:
    """The Hessian of L_1(x, r(x)), r the follower's best response, where ∂_y L_1 = 0.

    With r' = -L2_yy⁻¹ L2_yx it is [I; r']ᵀ (∇²L_1) [I; r'] plus ∂_y L_1 · r'', a third derivative. That term is zero
    at every stationary point of a zero-sum game; where it is not, the question is left open.

    Args:
        H: ∇²L_1, shape (n, n).
        J: DF, whose rows y hold L2_yx and L2_yy.
        x: where the leader's parameters lie.
        y: where the follower's lie.
    """
    along = torch.eye(len(H), dtype=H.dtype)[:, x]
    along[y] = -torch.linalg.solve(J[y, y], J[y, x])
    return along.T @ H @ along


def _least(H: Tensor) -> float:
    """The smallest eigenvalue of a symmetric matrix."""
    return float(torch.linalg.eigvalsh((H + H.T) / 2).min())
