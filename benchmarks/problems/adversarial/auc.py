from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

import minimax as mm
from benchmarks import data as sets
from benchmarks.problem import Metric, Recipe
from benchmarks.problems.adversarial._valued import Instance, Valued, standardised
from benchmarks.quality.labels import auc


@dataclass(frozen=True, eq=False)
class SquareAUC(Instance):
    """E F(w, a, b; α) + λ/2 |w|² against its negative: the square loss of all pairs, one row at a time.

    F = (1-p)(wᵀx - a)² [y=1] + p(wᵀx - b)² [y=0] + 2(1 + α)(p wᵀx [y=0] - (1-p) wᵀx [y=1]) - p(1-p)α², p the share of
    ones. V is at α = wᵀ(μ₀ - μ₁), and least, with a, b the mean scores, where E(1 - wᵀ(x - x'))² over pairs is, up to
    the penalty. The first player is (w, a, b), (d + 2,).

    Args:
        x: (n, d).
        y: (n,), 0 or 1.
        λ: > 0.

    Raises:
        ValueError: a class without rows.
    """

    x: Tensor
    y: Tensor
    λ: float

    def __post_init__(self) -> None:
        for label in (0, 1):
            if not bool((self.y == label).any()):
                raise ValueError(f"class {label} has no rows: pairs take rows of both classes, 0 and 1.")

    def payoff(self, u: Tensor, α: Tensor) -> Tensor:
        """E F + λ/2 |w|²."""
        w, a, b = u[:-2], u[-2], u[-1]
        score, one = self.x @ w, self.y.to(self.x)
        p = one.mean()
        square = (1 - p) * one * (score - a).square() + p * (1 - one) * (score - b).square()
        apart = 2 * (1 + α) * (p * (1 - one) - (1 - p) * one) * score
        return (square + apart).mean() - p * (1 - p) * α.square() + self.λ / 2 * w.square().sum()

    def game(self) -> mm.Game:
        return mm.zero_sum(self.payoff)

    def answer(self, u: Tensor) -> Tensor:
        """α = wᵀ(μ₀ - μ₁)."""
        return self.x[self.y == 0].mean(0) @ u[:-2] - self.x[self.y == 1].mean(0) @ u[:-2]

    def value(self, u: Tensor) -> Tensor:
        return self.payoff(u, self.answer(u))

    def saddle(self) -> tuple[Tensor, ...]:
        one, d = self.y.to(self.x), self.x.shape[1]
        p, rows = one.mean(), (self.x[self.y == 0], self.x[self.y == 1])
        gap = rows[0].mean(0) - rows[1].mean(0)
        # Over p(1-p), F at the best a, b and α is Σ_k wᵀC_k w + 2 wᵀgap + (wᵀgap)², C_k the classes' covariances.
        spread = sum(torch.cov(each.T, correction=0).reshape(d, d) for each in rows)
        system = spread + torch.outer(gap, gap) + self.λ / (2 * p * (1 - p)) * torch.eye(d).to(self.x)
        w = torch.linalg.solve(system, -gap)
        u = torch.cat((w, torch.stack((rows[1].mean(0) @ w, rows[0].mean(0) @ w))))
        return u, self.answer(u)

    def naive(self) -> dict[str, Tensor]:
        return {"zero": self.x.new_zeros(self.x.shape[1] + 2)}

    def scores(self, u: Tensor) -> dict[str, float]:
        score = self.x @ u[:-2]
        return {"auc": auc(score[self.y == 0], score[self.y == 1])}


class AUC(Valued):
    """The area under the curve of a linear score of breast cancer, λ = .01: value -.2014, α = -.8613.

    Source: Ying, Wen & Lyu, Stochastic Online AUC Maximization, 2016; here on all rows at once, and without a bound.
    """

    name = "auc"
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.1))
    others: ClassVar[tuple[Metric, ...]] = (Metric("auc", "higher", range=(0, 1)),)
    spread = 0.1

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare_table("breast-cancer")

    def build(self) -> Instance:
        table = sets.load_table("breast-cancer", self.device, torch.float64)
        return SquareAUC(standardised(table.x), table.y, 0.01)
