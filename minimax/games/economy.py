"""Firms and polluters: markets in which prices and quantities meet, and limits that players share."""

from __future__ import annotations

import math
from cmath import sqrt
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from minimax import projections
from minimax.game import Game
from minimax.games.closed_form import ClosedForm, largest
from minimax.transforms import coupled
from minimax.validation import real


def cournot(
    a: float = 10.0, b: float = 1.0, costs: Sequence[float] = (2.0, 1.0), capacity: float | None = None
) -> ClosedForm:
    """n firms choose quantities q_i and earn (a - bQ - c_i) q_i, Q = Σ q: q_i = (a - c_i - λ)/b - Q, λ = 0.

    Eigenvalues b, n - 1 times, and b(n + 1): plain play with equal steps converges below 2/(b(n + 1)). Two firms, the
    first of which leads, have another answer: q_1 = (a - 2c_1 + c_2)/2b.

    With a capacity, Q <= K shared by all, one multiplier λ is the last player: λ = a - c̄ - b(n + 1)K/n at the
    variational equilibrium if that is positive. Eigenvalues b, n - 1 times, and (b(n+1) ± √(b²(n+1)² - 4n))/2 then.

    Args:
        a: the price when nothing is sold.
        b: by how much a unit lowers the price, > 0.
        costs: c_i, of a unit, one per firm.
        capacity: K, or None.

    Example:
        >>> cournot().equilibrium
        (tensor(2.3333), tensor(3.3333))
        >>> cournot(costs=(1.0, 2.0, 3.0), capacity=4.5).equilibrium
        (tensor(2.5000), tensor(1.5000), tensor(0.5000), tensor(2.))

    Source: Cournot, Recherches sur les principes mathématiques de la théorie des richesses, 1838; Rosen, Existence and
    Uniqueness of Equilibrium Points for Concave n-Person Games, 1965, for shared constraints.
    """
    real("a", a)
    real("b", b, above=0)
    for k, cost in enumerate(costs):
        real(f"costs[{k}]", cost)
    if capacity is not None:
        real("capacity", capacity)

    def loss(i: int) -> Callable[..., Tensor]:
        return lambda *q: (costs[i] - a + b * sum(q)) * q[i]

    n = len(costs)
    game, margin = Game(*(loss(i) for i in range(n))), a - sum(costs) / n
    total = n * margin / (b * (n + 1))
    if capacity is not None:
        game, total = coupled(game, lambda *q: sum(q) - capacity), min(total, capacity)
    λ = margin - b * (n + 1) * total / n
    quantities = [(a - cost - λ) / b - total for cost in costs]
    J = b * (np.eye(n) + 1)
    values: tuple[complex, ...]
    if capacity is None:
        values, last = (b * (n + 1),), []
    else:
        root = sqrt((b * (n + 1)) ** 2 - 4 * n)
        values, last = ((b * (n + 1) + root) / 2, (b * (n + 1) - root) / 2), [max(λ, 0.0)]
        J = _priced(J, np.ones((n, 1)))
    return ClosedForm(
        name="Cournot" if capacity is None else "Cournot with a capacity",
        game=game,
        start=(*torch.ones(n), *torch.zeros(len(last))),
        equilibrium=tuple(torch.tensor([*quantities, *last])),
        eigenvalues=(*(complex(b),) * (n - 1), *map(complex, values)),
        lipschitz=largest(J.tolist()),
    )


def bertrand(a: float = 10.0, b: float = 2.0, d: float = 1.0, cost: float = 1.0) -> ClosedForm:
    """Two firms choose prices p_i and earn (p_i - c)(a - bp_i + dp_j): p = (a + bc)/(2b - d), eigenvalues 2b ± d.

    Args:
        a: what is bought at prices of 0.
        b: by how much a firm's own price lowers that, > 0.
        d: by how much the other's price raises it, 0 <= d < 2b.
        cost: c, of a unit.

    Example:
        >>> bertrand().equilibrium
        (tensor(4.), tensor(4.))

    Source: Bertrand, Théorie mathématique de la richesse sociale, 1883; of differing goods, as Singh & Vives, Price and
    Quantity Competition in a Differentiated Duopoly, 1984.
    """
    real("a", a)
    real("b", b, above=0)
    real("d", d, at_least=0, below=2 * b)
    real("cost", cost)

    def loss(own: Tensor, other: Tensor) -> Tensor:
        return (cost - own) * (a - b * own + d * other)

    price = torch.tensor((a + b * cost) / (2 * b - d))
    return ClosedForm(
        name="Bertrand",
        game=Game(lambda p, q: loss(p, q), lambda p, q: loss(q, p)),
        start=(torch.tensor(2.0), torch.tensor(1.0)),
        equilibrium=(price, price.clone()),
        eigenvalues=(complex(2 * b + d), complex(2 * b - d)),
        lipschitz=2 * b + d,
    )


def river_basin() -> ClosedForm:
    """Three polluters of a river, (e_i + c_i x_i - 3 + .01 Σx) x_i each at x_i >= 0, below two stations' limits of 100.

    e = (.10, .12, .15), c = (.01, .05, .01). Σ_i δ_i u_i x_i <= 100 at each station, δ = (.5, .25, .75), u = (6.5, 5,
    5.5) at the first and (4.583, 6.25, 3.75) at the second: their multipliers are the last player. At the variational
    equilibrium the first limit binds and the second does not.

    Example:
        >>> [x.tolist() for x in river_basin().equilibrium]
        [21.1448, 16.0279, 2.7260, [0.5744, 0.0]]

    Source: Krawczyk & Uryasev, Relaxation Algorithms to Find Nash Equilibria with Economic Applications, 2000.
    """
    e, c, δ = np.array([0.10, 0.12, 0.15]), np.array([0.01, 0.05, 0.01]), np.array([0.5, 0.25, 0.75])
    G = np.array([[6.5, 5, 5.5], [4.583, 6.25, 3.75]]) * δ
    J = np.diag(2 * c + 0.01) + 0.01
    *x, λ = np.linalg.solve(_priced(J, G[:1].T), [*(3 - e), -100])  # the first limit binds, λ of the second is 0

    def loss(i: int) -> Callable[..., Tensor]:
        return lambda *x: (e[i] - 3 + c[i] * x[i] + 0.01 * sum(x)) * x[i]

    def excess(*x: Tensor) -> Tensor:
        return torch.stack([sum(w * x_i for w, x_i in zip(row, x, strict=True)) - 100 for row in G.tolist()])

    J = _priced(J, G.T)
    shore = (projections.box(0, math.inf),) * 3
    return ClosedForm(
        name="river basin",
        game=coupled(Game(*(loss(i) for i in range(3)), constraints=shore), excess),
        start=(*torch.tensor([20.0, 15.0, 5.0]), torch.zeros(2)),
        equilibrium=(*torch.tensor(x), torch.tensor([λ, 0.0])),
        eigenvalues=tuple(np.linalg.eigvals(J).tolist()),
        lipschitz=largest(J.tolist()),
    )


def _priced(J: np.ndarray, G: np.ndarray) -> np.ndarray:
    """DF of players with the Jacobian J and multipliers of shared constraints, whose gradients are the columns of G."""
    return np.block([[J, G], [-G.T, np.zeros((G.shape[1],) * 2)]])
