"""Two players, one number each: quadratic saddles, points that are none, and a saddle of third order."""

from __future__ import annotations

import math
from cmath import sqrt

import torch

from minimax.game import zero_sum
from minimax.games.closed_form import ClosedForm, largest
from minimax.validation import real


def quadratic(a: float, b: float, c: float, *, name: str = "quadratic") -> ClosedForm:
    """a/2 x² + b xy - c/2 y² for numbers x and y: DF = [[a, b], [-b, c]], λ = (a + c)/2 ± √((a - c)²/4 - b²).

    Example:
        >>> quadratic(1.0, 2.0, 1.0).eigenvalues
        ((1+2j), (1-2j))
    """
    for argument, value in (("a", a), ("b", b), ("c", c)):
        real(argument, value)
    root = sqrt((a - c) ** 2 / 4 - b**2)
    return ClosedForm(
        name=name,
        game=zero_sum(lambda x, y: a / 2 * x**2 + b * x * y - c / 2 * y**2),
        start=(torch.tensor(1.0), torch.tensor(1.0)),
        equilibrium=(torch.tensor(0.0), torch.tensor(0.0)),
        eigenvalues=((a + c) / 2 + root, (a + c) / 2 - root),
        lipschitz=largest([[a, b], [-b, c]]),
    )


def scsc(mu: float = 1.0, sigma: float = 10.0) -> ClosedForm:
    """Strongly convex, strongly concave: μ/2 x² + σxy - μ/2 y², eigenvalues μ ± iσ.

    Simultaneous play is stable below h = 2μ/(μ² + σ²), alternating play below 2/(μ + σ).

    Example:
        >>> scsc(mu=1.0, sigma=10.0).eigenvalues
        ((1+10j), (1-10j))
    """
    real("mu", mu)
    real("sigma", sigma)
    return quadratic(mu, sigma, mu, name="scsc")


def rotated_saddle(angle: float = math.pi / 4) -> ClosedForm:
    """(x² - y²)/2 turned towards xy: cos φ (x² - y²)/2 + sin φ xy, eigenvalues e^{±iφ}; φ = 0 is minimisation.

    Example:
        >>> [round(abs(value), 6) for value in rotated_saddle(1.0).eigenvalues]
        [1.0, 1.0]
    """
    real("angle", angle)
    return quadratic(math.cos(angle), math.sin(angle), math.cos(angle), name="rotated saddle")


def hidden_minimax() -> ClosedForm:
    """-3x² - y² + 4xy: gradient play leaves the local minimax (0, 0), eigenvalues -2 and -2; Follow-the-Ridge finds it.

    Example:
        >>> hidden_minimax().attracts
        False
    """
    return quadratic(-6.0, 4.0, 2.0, name="hidden minimax")


def minimax_not_nash() -> ClosedForm:
    """-x² + 5xy - y²: (0, 0) is a local minimax and no Nash point, as x alone would leave; eigenvalues ±√21 i.

    max_y f = 21x²/4: minimal at 0, where x meets the best answers to it.

    Example:
        >>> [round(value.imag, 4) for value in minimax_not_nash().eigenvalues]
        [4.5826, -4.5826]

    Source: Jin, Netrapalli & Jordan, What is Local Optimality in Nonconvex-Nonconcave Minimax Optimization?, 2020.
    """
    return quadratic(-2.0, 5.0, 2.0, name="minimax, not Nash")


def spurious_point() -> ClosedForm:
    """3x² + y² + 4xy: (0, 0) is no local minimax, as y sits in a minimum, but gradient play is drawn to it (2, 2).

    Example:
        >>> spurious_point().attracts
        True
    """
    return quadratic(6.0, 4.0, -2.0, name="spurious point")


def monkey_saddle() -> ClosedForm:
    """x³ - 3xy²: stationary at (0, 0) where DF = 0, so that no linearisation decides; not an equilibrium of any kind.

    Example:
        >>> monkey_saddle().eigenvalues
        (0j, 0j)
    """
    return ClosedForm(
        name="monkey saddle",
        game=zero_sum(lambda x, y: x**3 - 3 * x * y**2),
        start=(torch.tensor(0.5), torch.tensor(0.5)),
        equilibrium=(torch.tensor(0.0), torch.tensor(0.0)),
        eigenvalues=(0j, 0j),
        lipschitz=0.0,
    )
