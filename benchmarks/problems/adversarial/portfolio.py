from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

import minimax as mm
from benchmarks.problem import Recipe
from benchmarks.problems.adversarial._valued import Instance, Valued, double
from minimax.projections import ball


@dataclass(frozen=True, eq=False)
class Portfolio(Instance):
    """-wᵀ(μ - Lu) + γ/2 wᵀΣw against its negative, LLᵀ = Σ, |u| <= κ: returns are only known up to an ellipsoid.

    V(w) = -wᵀμ + κ|Lᵀw| + γ/2 wᵀΣw, least at w = (1 - κ/m)Σ⁻¹μ/γ, m² = μᵀΣ⁻¹μ.

    Args:
        μ: (d,), expected returns.
        Σ: (d, d), positive definite.
        γ: aversion to risk, > 0.
        κ: the radius, in [0, m); from m on nothing is bought.

    Raises:
        ValueError: κ out of that range.
    """

    μ: Tensor
    Σ: Tensor
    γ: float
    κ: float

    def __post_init__(self) -> None:
        if not 0 <= self.κ < self.sharpe:
            raise ValueError(f"κ must lie in [0, {self.sharpe:g}), from where on nothing is bought, got {self.κ}.")

    @property
    def sharpe(self) -> float:
        """m."""
        return float((self.μ @ torch.linalg.solve(self.Σ, self.μ)).sqrt())

    @property
    def factor(self) -> Tensor:
        """L."""
        return torch.linalg.cholesky(self.Σ)

    def game(self) -> mm.Game:
        L = self.factor

        def cost(w: Tensor, u: Tensor) -> Tensor:
            return -(w @ (self.μ - L @ u)) + self.γ / 2 * (w @ self.Σ @ w)

        return mm.zero_sum(cost, constraints=(None, ball(self.κ)))

    def value(self, w: Tensor) -> Tensor:
        return -(w @ self.μ) + self.κ * (self.factor.T @ w).norm() + self.γ / 2 * (w @ self.Σ @ w)

    def saddle(self) -> tuple[Tensor, ...]:
        w = (1 - self.κ / self.sharpe) * torch.linalg.solve(self.Σ, self.μ) / self.γ
        toward = self.factor.T @ w
        return w, self.κ * toward / toward.norm()

    def naive(self) -> dict[str, Tensor]:
        return {"trusting": torch.linalg.solve(self.Σ, self.μ) / self.γ}


class RobustPortfolio(Valued):
    """Two assets whose mean returns are known up to .2 standard deviations, γ = 2: (.5298, .3532).

    Source: Goldfarb & Iyengar, Robust Portfolio Selection Problems, 2003, with one ellipsoid for all means.
    """

    name = "portfolio"
    recipe: ClassVar[Recipe] = Recipe((mm.sgd(2.0), mm.sgd(1.0)))

    def build(self) -> Instance:
        return Portfolio(double([0.08, 0.12]), double([[0.04, 0.01], [0.01, 0.09]]), 2.0, 0.2)
