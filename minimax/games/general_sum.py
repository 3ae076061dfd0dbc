"""Games that are not zero-sum, some of many players."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from minimax.game import Game
from minimax.game import cooperative as shared_loss
from minimax.games.closed_form import ClosedForm
from minimax.validation import matrix, real, shown, whole


def cooperative(Q: Tensor | None = None) -> ClosedForm:
    """½ zᵀQz minimised by all players, one number each: DF = Q is symmetric, so nothing rotates.

    Args:
        Q: symmetric, shape (players, players); [[2, 1], [1, 2]] by default, eigenvalues 1 and 3.

    Raises:
        ValueError: a Q that is no real symmetric matrix.

    Example:
        >>> cooperative().eigenvalues
        ((1+0j), (3+0j))
    """
    Q = torch.tensor([[2.0, 1.0], [1.0, 2.0]]) if Q is None else Q
    matrix("Q", Q)
    if Q.shape[0] != Q.shape[1] or not torch.equal(Q, Q.T):
        raise ValueError(f"Q must be symmetric, got {shown(Q)}: pass (Q + Q.T) / 2.")

    def loss(*players: Tensor) -> Tensor:
        z = torch.stack(players)
        return z @ Q @ z / 2

    λ = torch.linalg.eigvalsh(Q.double()).tolist()
    n = len(Q)
    return ClosedForm(
        name="cooperative",
        game=shared_loss(loss, players=n),
        start=tuple(Q.new_ones(n)),
        equilibrium=tuple(Q.new_zeros(n)),
        eigenvalues=tuple(complex(value) for value in λ),
        lipschitz=max(abs(λ[0]), abs(λ[-1])),
    )


def cyclic(players: int = 3, mu: float = 0.0) -> ClosedForm:
    """Player i minimises μ/2 x_i² + x_i (x_{i+1} - x_{i-1}), indices around the circle: λ_k = μ + 2i sin(2πk/n).

    At μ = 0 the losses sum to zero and |z| is conserved by the flow.

    Example:
        >>> cyclic(players=3, mu=0.5).game.field(tuple(torch.tensor([1.0, 2.0, 4.0])))
        (tensor(-1.5000), tensor(4.), tensor(1.))
    """
    whole("players", players, at_least=1)
    real("mu", mu)

    def loss(i: int) -> Callable[..., Tensor]:
        return lambda *x: mu / 2 * x[i] ** 2 + x[i] * (x[(i + 1) % players] - x[i - 1])

    λ = tuple(mu + 2j * math.sin(2 * math.pi * k / players) for k in range(players))
    return ClosedForm(
        name="cyclic",
        game=Game(*(loss(i) for i in range(players))),
        start=tuple(1 - 2 * torch.arange(players) / players),
        equilibrium=tuple(torch.zeros(players)),
        eigenvalues=λ,
        lipschitz=max(abs(value) for value in λ),
    )


def tandem() -> ClosedForm:
    """L_1 = (x + y)² - 2x, L_2 = (x + y)² - 2y: the line x + y = 1 of equilibria, eigenvalues 0 and 4.

    LOLA with step α goes to x + y = (1 - 2α)/(1 - 4α) instead (Letcher et al., 2019). One point of the line is given.

    Example:
        >>> tandem().game.field((torch.tensor(0.5), torch.tensor(0.5)))
        (tensor(0.), tensor(0.))
    """
    return ClosedForm(
        name="tandem",
        game=Game(lambda x, y: (x + y) ** 2 - 2 * x, lambda x, y: (x + y) ** 2 - 2 * y),
        start=(torch.tensor(1.0), torch.tensor(1.0)),
        equilibrium=(torch.tensor(0.5), torch.tensor(0.5)),
        eigenvalues=(0j, 4 + 0j),
        lipschitz=4.0,
    )
