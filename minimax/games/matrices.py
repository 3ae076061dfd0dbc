"""Matrix games xᵀAy, on all numbers and on simplices."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from minimax import projections
from minimax.game import zero_sum
from minimax.games.closed_form import ClosedForm
from minimax.validation import matrix, real, whole


def bilinear(A: Tensor | None = None, *, dim: int = 1, condition: float = 1.0) -> ClosedForm:
    """xᵀAy: pure rotation, eigenvalues ±iσ_k (and 0, once per row that A has more than columns, or fewer).

    Args:
        A: the payoff matrix, shape (rows, columns); by default diagonal with singular values spaced geometrically.
        dim: the size of the default A.
        condition: largest over smallest singular value of the default A, >= 1; the largest is 1.

    Raises:
        ValueError: an A that is no real matrix, or a dim or condition out of its range.

    Example:
        >>> bilinear(dim=2, condition=10.0).eigenvalues
        (1j, 0.1j, -1j, -0.1j)
    """
    whole("dim", dim, at_least=1)
    real("condition", condition, at_least=1)
    if A is not None:
        matrix("A", A)
    else:
        A = torch.diag(torch.logspace(0, -math.log10(condition), dim))
    σ = torch.linalg.svdvals(A.double()).tolist()
    rows, columns = A.shape
    return ClosedForm(
        name="bilinear",
        game=zero_sum(lambda x, y: x @ A @ y),
        start=(A.new_ones(rows), A.new_ones(columns)),
        equilibrium=(A.new_zeros(rows), A.new_zeros(columns)),
        eigenvalues=(*(s * 1j for s in σ), *(s * -1j for s in σ), *(0j,) * abs(rows - columns)),
        lipschitz=σ[0],
    )


def noisy_bilinear(noise: float = 1.0) -> ClosedForm:
    """(1 + noise e) xy with e = ±1 in the batch: on independent samples extragradient needs ρ > 1 (Hsieh et al., 2020).

    Example:
        >>> game = noisy_bilinear()
        >>> [game.batches(k).item() for k in range(4)]
        [-1.0, 1.0, -1.0, -1.0]
    """
    real("noise", noise)

    def batches(k: int) -> Tensor:
        coin = torch.randint(2, (), generator=torch.Generator().manual_seed(k))
        return (2 * coin - 1).to(torch.get_default_dtype())

    return ClosedForm(
        name="noisy bilinear",
        game=zero_sum(lambda x, y, e: (1 + noise * e) * x * y),
        start=(torch.tensor(1.0), torch.tensor(1.0)),
        equilibrium=(torch.tensor(0.0), torch.tensor(0.0)),
        eigenvalues=(1j, -1j),
        lipschitz=1.0,
        batches=batches,
    )


def matching_pennies() -> ClosedForm:
    """Mixed strategies on the simplex, payoff [[1, -1], [-1, 1]]: both play (½, ½).

    Example:
        >>> matching_pennies().equilibrium[0]
        tensor([0.5000, 0.5000])
    """
    return _matrix_game("matching pennies", torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))


def rock_paper_scissors() -> ClosedForm:
    """Mixed strategies on the simplex, payoff 1, 0 or -1: both play (⅓, ⅓, ⅓).

    Example:
        >>> rock_paper_scissors().equilibrium[0]
        tensor([0.3333, 0.3333, 0.3333])
    """
    return _matrix_game("rock paper scissors", torch.tensor([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]]))


def matrix_game(A: Tensor) -> ClosedForm:
    """min over x, max over y of xᵀAy on simplices, solved by linear programming: the equilibrium, or one of them.

    Args:
        A: what the row player x loses, shape (rows, columns).

    Raises:
        ValueError: an A that is no real matrix.

    Example:
        >>> closed = matrix_game(torch.tensor([[2.0, -1.0], [-1.0, 1.0]]))
        >>> closed.equilibrium, closed.game.losses(closed.equilibrium)[0]
        ((tensor([0.4000, 0.6000]), tensor([0.4000, 0.6000])), tensor(0.2000))

    Source: Dantzig, A Proof of the Equivalence of the Programming Problem and the Game Problem, 1951.
    """
    matrix("A", A)
    strategies = (_cautious(A.double().numpy(force=True)), _cautious(-A.double().numpy(force=True).T))
    equilibrium = tuple(torch.from_numpy(strategy).to(A) for strategy in strategies)
    return replace(_matrix_game("matrix game", A), equilibrium=equilibrium)


def _cautious(A: NDArray[np.float64]) -> NDArray[np.float64]:
    """The x on the simplex whose greatest entry of xᵀA is least: x and t with xᵀA <= t, t as small as it gets."""
    from scipy.optimize import linprog  # only now: it takes a while, and no other game needs it

    rows, columns = A.shape
    found = linprog(
        [*np.zeros(rows), 1.0],
        A_ub=np.hstack((A.T, -np.ones((columns, 1)))),
        b_ub=np.zeros(columns),
        A_eq=[[*np.ones(rows), 0.0]],
        b_eq=[1.0],
        bounds=[*((0, None),) * rows, (None, None)],
    )
    x: NDArray[np.float64] = found.x[:-1]
    return x


def _matrix_game(name: str, A: Tensor) -> ClosedForm:
    rows, columns = A.shape
    return replace(
        bilinear(A),
        name=name,
        game=zero_sum(lambda x, y: x @ A @ y, constraints=(projections.simplex(), projections.simplex())),
        start=(torch.eye(rows, dtype=A.dtype)[0], torch.eye(columns, dtype=A.dtype)[-1]),
        equilibrium=(A.new_full((rows,), 1 / rows), A.new_full((columns,), 1 / columns)),
    )
