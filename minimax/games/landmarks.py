"""Two numbers: cycles that swallow methods which are sound near the equilibrium, and points that draw the wrong way."""

from __future__ import annotations

import math
from cmath import sqrt

import torch
from torch import Tensor

from minimax import projections
from minimax.game import Game, zero_sum
from minimax.games.closed_form import ClosedForm, largest
from minimax.validation import real


def forsaken() -> ClosedForm:
    """x(y - .45) + φ(x) - φ(y) in [-1.5, 1.5]², φ(z) = z²/4 - z⁴/2 + z⁶/6: play from (1, 1) circles for ever.

    At z* = (.0780, .4119) the eigenvalues are .0447 ± .9080i, so that small steps converge from nearby. It is no local
    minimax: y sits where f is convex in it.

    Example:
        >>> [round(float(z), 6) for z in forsaken().equilibrium]
        [0.078027, 0.411934]

    Source: Hsieh, Mertikopoulos & Cevher, The Limits of Min-Max Optimization Algorithms, 2021, example 5.2.
    """

    def φ(z: Tensor) -> Tensor:
        return z**2 / 4 - z**4 / 2 + z**6 / 6

    def slope(z: float) -> float:
        return z / 2 - 2 * z**3 + z**5

    def curvature(z: float) -> float:
        return 0.5 - 6 * z**2 + 5 * z**4

    x, y = 0.0, 0.45
    for _ in range(60):  # each round shrinks the error to a sixth
        x = slope(y)
        y = 0.45 - slope(x)
    p, q = curvature(x), curvature(y)
    root = sqrt((p - q) ** 2 / 4 - 1)
    side = projections.box(-1.5, 1.5)
    return ClosedForm(
        name="Forsaken",
        game=zero_sum(lambda x, y: x * (y - 0.45) + φ(x) - φ(y), constraints=(side, side)),
        start=(torch.tensor(1.0), torch.tensor(1.0)),
        equilibrium=(torch.tensor(x), torch.tensor(y)),
        eigenvalues=((p + q) / 2 + root, (p + q) / 2 - root),
        lipschitz=largest([[p, 1.0], [-1.0, q]]),
    )


def polar() -> ClosedForm:
    """F = (xg - y, yg + x) with g = (r² - 1)(16r² - 9)/16, r² = x² + y²: eigenvalues 9/16 ± i at 0.

    The flow has two circles around its equilibrium: r = ¾ repels and r = 1 attracts. Both losses have ∫ rg dr in them,
    so the game is not zero-sum.

    Example:
        >>> polar().game.field((torch.tensor(0.6), torch.tensor(0.8)))
        (tensor(-0.8000), tensor(0.6000))

    Source: Pethick et al., Escaping Limit Cycles: Global Convergence for Constrained Nonconvex-Nonconcave Minimax
    Problems, 2022, example 3.
    """

    def well(x: Tensor, y: Tensor) -> Tensor:
        s = x**2 + y**2
        return (16 * s**3 / 3 - 25 * s**2 / 2 + 9 * s) / 32

    return ClosedForm(
        name="polar game",
        game=Game(lambda x, y: well(x, y) - x * y, lambda x, y: well(x, y) + x * y),
        start=(torch.tensor(1.0), torch.tensor(0.5)),
        equilibrium=(torch.tensor(0.0), torch.tensor(0.0)),
        eigenvalues=(9 / 16 + 1j, 9 / 16 - 1j),
        lipschitz=math.hypot(9 / 16, 1),
    )


def almost_bilinear(epsilon: float = 0.01) -> ClosedForm:
    """xy + ε(y²/2 - y⁴/4): play with small steps circles at the radius √(4/3), for every ε > 0, and never comes home.

    At (0, 0) f is convex in y, and the eigenvalues -ε/2 ± √(ε²/4 - 1) repel. Further out -y⁴ draws in.

    Args:
        epsilon: ε, of any sign; with ε < 0 the circle repels and the equilibrium attracts.

    Example:
        >>> almost_bilinear(0.0).eigenvalues == (1j, -1j)
        True

    Source: Hsieh, Mertikopoulos & Cevher, The Limits of Min-Max Optimization Algorithms, 2021, example 5.1.
    """
    real("epsilon", epsilon)
    ε, root = epsilon, sqrt(epsilon**2 / 4 - 1)
    return ClosedForm(
        name="almost bilinear",
        game=zero_sum(lambda x, y: x * y + ε * (y**2 / 2 - y**4 / 4)),
        start=(torch.tensor(1.0), torch.tensor(1.0)),
        equilibrium=(torch.tensor(0.0), torch.tensor(0.0)),
        eigenvalues=(-ε / 2 + root, -ε / 2 - root),
        lipschitz=largest([[0.0, 1.0], [-1.0, -ε]]),
    )


def false_rest() -> ClosedForm:
    """2x² + y² + 4xy + 4y³/3 - y⁴/4: gradient play from (.1, .1) rests at (0, 0), where y sits in a minimum of f.

    There f_yy = 2, and the eigenvalues 1 ± √7 i attract. The equilibrium is (-2 - √2, 2 + √2), where f is convex in x
    and concave in y, with the eigenvalues 4.83 ± 3.91i: `CurvatureExploitation` and `FollowTheRidge` come to it.

    Example:
        >>> [round(float(z), 4) for z in false_rest().equilibrium]
        [-3.4142, 3.4142]

    Source: Adolphs et al., Local Saddle Point Optimization: A Curvature Exploitation Approach, 2019, section 6.1.
    """
    y = 2 + math.sqrt(2)
    q = -(2 + 8 * y - 3 * y**2)
    root = sqrt((4 - q) ** 2 / 4 - 16)
    return ClosedForm(
        name="false rest",
        game=zero_sum(lambda x, y: 2 * x**2 + y**2 + 4 * x * y + 4 * y**3 / 3 - y**4 / 4),
        start=(torch.tensor(0.1), torch.tensor(0.1)),
        equilibrium=(torch.tensor(-y), torch.tensor(y)),
        eigenvalues=((4 + q) / 2 + root, (4 + q) / 2 - root),
        lipschitz=largest([[4.0, 4.0], [-4.0, q]]),
    )
