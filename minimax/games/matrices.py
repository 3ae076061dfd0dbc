"""Matrix games xᵀAy, on all numbers and on simplices."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
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


def _matrix_game(name: str, A: Tensor) -> ClosedForm:
    rows, columns = A.shape
    return replace(
        bilinear(A),
        name=name,
        game=zero_sum(lambda x, y: x @ A @ y, constraints=(projections.simplex(), projections.simplex())),
        start=(torch.eye(rows, dtype=A.dtype)[0], torch.eye(columns, dtype=A.dtype)[-1]),
        equilibrium=(A.new_full((rows,), 1 / rows), A.new_full((columns,), 1 / columns)),
    )
