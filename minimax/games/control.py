"""Control of linear systems as a game."""

from __future__ import annotations

import math
from cmath import sqrt

import torch
from torch import Tensor

from minimax.game import zero_sum
from minimax.games.closed_form import ClosedForm, largest
from minimax.validation import real


def lq_control(a: float = 1.1, b: float = 1.0, d: float = 0.5, gamma: float = 2.0) -> ClosedForm:
    """A controller's gain K against a disturbance's gain L: min_K max_L Σ_t x_t² (1 + K² - γ²L²) from x_0 = 1.

    The state follows x⁺ = cx, c = a - bK + dL, so that the sum is (1 + K² - γ²L²)/(1 - c²), convex in neither. Let
    P > 0 solve the game's Riccati equation P = 1 + a²P/(1 + sP), s = b² - d²/γ². Then K = abP/(1 + sP), L = dK/(bγ²),
    the value is P, and DF = 2/(1 - c²) [[1 + b²P, -bdP], [bdP, γ² - d²P]].

    The loss is what it says where the gains hold the state, |c| < 1, and means nothing elsewhere: a step across that
    border is a failure that no infinite loss shows.

    Args:
        a: of the state alone.
        b: of the controller, not 0.
        d: of the disturbance.
        gamma: γ, the price of the disturbance; below a certain one the disturbance wins without bound.

    Raises:
        ValueError: no number, b = 0, or a γ at which there is no saddle.

    Example:
        >>> lq_control().equilibrium
        (tensor(0.7386), tensor(0.0923))

    Source: Başar & Bernhard, H∞-Optimal Control and Related Minimax Design Problems, 1995; as a game of gains, Zhang,
    Yang & Başar, Policy Optimization Provably Converges to Nash Equilibria in Zero-Sum Linear Quadratic Games, 2019.
    """
    for name, value in (("a", a), ("b", b), ("d", d)):
        real(name, value)
    real("gamma", gamma, above=0)
    s = b**2 - d**2 / gamma**2
    P = (s + a**2 - 1 + math.sqrt((s + a**2 - 1) ** 2 + 4 * s)) / (2 * s) if s > 0 else math.inf
    if b == 0 or gamma**2 <= d**2 * P:
        raise ValueError(
            f"the disturbance wins without bound at b={b:g}, d={d:g}, gamma={gamma:g}: raise gamma, or |b|."
        )
    K, L = a * b * P / (1 + s * P), a * d * P / (1 + s * P) / gamma**2
    Σ = 1 / (1 - (a - b * K + d * L) ** 2)
    p, q, r = 2 * Σ * (1 + b**2 * P), 2 * Σ * b * d * P, 2 * Σ * (gamma**2 - d**2 * P)
    root = sqrt((p - r) ** 2 / 4 - q**2)

    def cost(K: Tensor, L: Tensor) -> Tensor:
        return (1 + K**2 - gamma**2 * L**2) / (1 - (a - b * K + d * L) ** 2)

    return ClosedForm(
        name="LQ control",
        game=zero_sum(cost),
        start=(torch.tensor(a / b - 0.6 / b), torch.tensor(0.0)),
        equilibrium=(torch.tensor(K), torch.tensor(L)),
        eigenvalues=((p + r) / 2 + root, (p + r) / 2 - root),
        lipschitz=largest([[p, -q], [q, r]]),
    )
