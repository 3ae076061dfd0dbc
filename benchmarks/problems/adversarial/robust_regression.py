from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy.optimize import brentq
from torch import Tensor

import minimax as mm
from benchmarks import data as sets
from benchmarks.problem import Metric, Recipe
from benchmarks.problems.adversarial._valued import Instance, Valued, diabetes
from minimax.projections import ball


@dataclass(frozen=True, eq=False)
class Regression(Instance):
    """|(X + D)w - y| against its negative, |D|_F <= ρ.

    V(w) = |Xw - y| + ρ|w|, at D = ρ u wᵀ/|w|, u the direction of Xw - y. Its least is a ridge regression, whose λ is
    ρ|Xw - y|/|w|, or w = 0 from ρ = |Xᵀy|/|y| on. V²/n is the worst mean square within W2 distance ρ/√n of the rows'
    distribution, where features alone may move.

    Args:
        x: (n, d), of full rank.
        y: (n,).
        ρ: the radius, >= 0.

    Raises:
        ValueError: ρ < 0, or so large that w = 0 is best.
    """

    x: Tensor
    y: Tensor
    ρ: float

    def __post_init__(self) -> None:
        if not 0 <= self.ρ < self.most:
            raise ValueError(f"ρ must lie in [0, {self.most:g}), from where on w = 0 is best, got {self.ρ}.")

    @property
    def most(self) -> float:
        """|Xᵀy|/|y|."""
        return float((self.x.T @ self.y).norm() / self.y.norm())

    def game(self) -> mm.Game:
        return mm.zero_sum(lambda w, D: ((self.x + D) @ w - self.y).norm(), constraints=(None, ball(self.ρ)))

    def value(self, w: Tensor) -> Tensor:
        return (self.x @ w - self.y).norm() + self.ρ * w.norm()

    def ridge(self, λ: float) -> Tensor:
        """(XᵀX + λI)⁻¹Xᵀy."""
        eye = torch.eye(self.x.shape[1], dtype=self.x.dtype, device=self.x.device)
        return torch.linalg.solve(self.x.T @ self.x + λ * eye, self.x.T @ self.y)

    def penalty(self) -> float:
        """The λ of the answer."""

        def off(λ: float) -> float:
            w = self.ridge(λ)
            return float(λ * w.norm() - self.ρ * (self.x @ w - self.y).norm())

        top = 1.0
        while off(top) < 0:
            top *= 2
        return float(brentq(off, 0.0, top, xtol=1e-13, rtol=1e-15))

    def saddle(self) -> tuple[Tensor, ...]:
        w = self.ridge(self.penalty())
        residual = self.x @ w - self.y
        return w, self.ρ * torch.outer(residual / residual.norm(), w / w.norm())

    def naive(self) -> dict[str, Tensor]:
        return {"least-squares": self.ridge(0.0)}

    def scores(self, w: Tensor) -> dict[str, float]:
        return {"residual": float((self.x @ w - self.y).norm())}


class RobustRegression(Valued):
    """Regression of the diabetes data, whose table may be wrong by 5 in Frobenius norm: 16.98, a ridge of λ = 185.3.

    Source: El Ghaoui & Lebret, Robust Solutions to Least-Squares Problems with Uncertain Data, 1997.
    """

    name = "robust-regression"
    recipe: ClassVar[Recipe] = Recipe((mm.sgd(0.01), mm.sgd(5.0)))
    others: ClassVar[tuple[Metric, ...]] = (Metric("residual", range=(0, float("inf"))),)
    spread = 0.1
    target = 1e-3

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare_table("diabetes")

    def build(self) -> Instance:
        return Regression(*diabetes(self.device), 5.0)
