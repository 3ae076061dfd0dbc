"""How strong a penalty should be: critical damping, from the spectrum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minimax.diagnostics._local import DENSE, Local
from minimax.errors import GameError
from minimax.game import Game
from minimax.oracle import Players
from minimax.transforms import add


class Damping(NamedTuple):
    """What `suggest_gamma` found.

    Args:
        gamma: γ, the weight of the penalty.
        rate: the smallest Re λ of DF at γ: the slowest part of play shrinks as exp(-rate · time).
        angle: the largest |arg λ| left at γ, in degrees.
    """

    gamma: float
    rate: float
    angle: float


def suggest_gamma(
    game: Game, penalty: Callable[..., Any], players: Players, batch: Any = None, *, player: int = 1
) -> Damping:
    """The γ at which γ · penalty makes the slowest part of play fastest: critical damping, where it stops to rotate.

    DF with the penalty is J + γP, from the Jacobians with and without it; γ maximises the smallest Re λ(J + γP). Below
    it play circles longer, above it the part that no longer rotates creeps: for min_x max_y x·By - γ/2 |y|² it is
    twice the smallest singular value of B, and for the Dirac-GAN under R1 it is 1. Directions in which nothing pulls at
    any γ (a critic's bias under a relativistic loss) are left out.

    It holds where it is asked, best near an equilibrium: at a start far away the spectrum is another one. For networks
    on images the rule of thumb is γ ∝ resolution² / batch size (0.0002 of it in StyleGAN2-ADA), as slopes are taken
    with respect to pixels; it starts a search over factors of 4, and knows neither the data nor the loss.

    Costs the field and n Hessian-vector products, twice, and some hundred spectra of an (n, n) matrix.

    Args:
        game: the losses without the penalty.
        penalty: what γ is in front of, of the losses' arguments: `lambda g, d, b: penalties.r1(d, b["real"]) / 2`.
        players: the point; tensors or modules.
        batch: as the losses take it.
        player: the index of the player who pays.

    Raises:
        GameError: more than 512 parameters, of which no spectrum is exact.
        ValueError: a penalty that leaves a part of play undamped at every γ.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: 3 * x * y), (torch.tensor(1.0), torch.tensor(1.0))
        >>> round(suggest_gamma(game, lambda x, y: y**2 / 2, z).gamma, 4)
        6.0

    Source: Mescheder, Geiger & Nowozin, Which Training Methods for GANs do actually Converge?, 2018; for the rule of
    thumb Karras et al., Training Generative Adversarial Networks with Limited Data, 2020.
    """
    plain = Local(game, players, batch)
    if not plain.small:
        raise GameError(
            f"suggest_gamma writes out the Jacobian, up to {DENSE} parameters, got {plain.n}: ask smaller networks "
            "like these, or search from γ = 0.0002 · resolution² / batch size."
        )
    J = plain.exact().numpy()
    P = Local(add(game, penalty, player), players, batch).exact().numpy() - J
    size, push = np.linalg.norm(J, 2), np.linalg.norm(P, 2)

    def seen(γ: float) -> NDArray[np.complex128]:
        λ = np.linalg.eigvals(J + γ * P)
        return np.asarray(λ[np.abs(λ) > 1e-7 * size])

    def rate(γ: float) -> float:
        λ = seen(γ)
        return float(λ.real.min()) if len(λ) else 0.0

    grid = [0.0, *(np.geomspace(1e-3, 1e3, 61) * size / push if push > 0 else [])]
    k = int(np.argmax([rate(γ) for γ in grid]))
    γ = _peak(rate, grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]) if k else 0.0
    if not rate(γ) > 1e-7 * size:
        raise ValueError(
            "the penalty leaves a part of play undamped at every γ: the smallest Re λ of DF stays at "
            f"{rate(γ) + 0.0:.3g}; ask near an equilibrium, or let the player who rotates pay it, or both."
        )
    return Damping(float(γ), rate(γ), float(np.rad2deg(np.abs(np.angle(seen(γ))).max())))


def _peak(height: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one peak between two points is highest, by golden sections."""
    φ = (5**0.5 - 1) / 2
    left, right = high - φ * (high - low), low + φ * (high - low)
    at_left, at_right = height(left), height(right)
    for _ in range(50):
        if at_left < at_right:
            low, left, at_left = left, right, at_right
            right = low + φ * (high - low)
            at_right = height(right)
        else:
            high, right, at_right = right, left, at_left
            left = high - φ * (high - low)
            at_left = height(left)
    return (low + high) / 2
