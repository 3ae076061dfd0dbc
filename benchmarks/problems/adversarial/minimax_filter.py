from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

import minimax as mm
from benchmarks import data as sets
from benchmarks.pictures import Picture
from benchmarks.problem import Metric, Pictures, Recipe, View
from benchmarks.problems.adversarial._drawn import curves
from benchmarks.problems.adversarial._valued import Instance, Valued, diabetes, double

RATES = tuple(10 ** (k / 8 - 2) for k in range(33))  # ρ of the frontier's points


@dataclass(frozen=True, eq=False)
class Filter(Instance):
    """One linear feature g = uᵀx that tells of y and not of s: ρE(y - wg)²/σ_y² - E(s - vg)²/σ_s² against E(s - vg)².

    At the best w and v that is ρ(1 - R²_y) - (1 - R²_s). With b = S^-½ cov(x, y)/σ_y, c likewise of s, B = |b|², C =
    |c|², h = bᵀc, the greatest ρR²_y - R²_s is ½[(ρB - C) + √((ρB + C)² - 4ρh²)], the top eigenvalue of ρbbᵀ - ccᵀ. The
    first player is (u, w), (d + 1,); u's scale is free.

    Args:
        S: (d, d), E xxᵀ, positive definite.
        y: (d,), E xy.
        s: (d,), E xs.
        σ_y: E y².
        σ_s: E s².
        ρ: the weight of the task, > 0.

    Raises:
        ValueError: ρ <= 0.
    """

    S: Tensor
    y: Tensor
    s: Tensor
    σ_y: float
    σ_s: float
    ρ: float

    def __post_init__(self) -> None:
        if not self.ρ > 0:
            raise ValueError(f"ρ must be positive, got {self.ρ}: it is the weight of the task.")

    def game(self) -> mm.Game:
        def error(u: Tensor, w: Tensor, to: Tensor, power: float) -> Tensor:
            return power - 2 * w * (u @ to) + w.square() * (u @ self.S @ u)

        def task(x: Tensor, v: Tensor) -> Tensor:
            mine = self.ρ * error(x[:-1], x[-1], self.y, self.σ_y) / self.σ_y
            return mine - error(x[:-1], v, self.s, self.σ_s) / self.σ_s

        return mm.Game(task, lambda x, v: error(x[:-1], v, self.s, self.σ_s))

    def told(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """R²_y and R²_s of the feature."""
        u = x[:-1]
        power = u @ self.S @ u
        return (u @ self.y).square() / (power * self.σ_y), (u @ self.s).square() / (power * self.σ_s)

    def value(self, x: Tensor) -> Tensor:
        ry, rs = self.told(x)
        return self.ρ * (1 - ry) - (1 - rs)

    def whitened(self) -> tuple[Tensor, Tensor, Tensor]:
        """L with LLᵀ = S, and b and c in its coordinates."""
        L = torch.linalg.cholesky(self.S)
        b, c = (torch.linalg.solve_triangular(L, m[:, None], upper=False)[:, 0] for m in (self.y, self.s))
        return L, b / self.σ_y**0.5, c / self.σ_s**0.5

    def constants(self) -> tuple[Tensor, Tensor, Tensor]:
        """B, C and h."""
        _, b, c = self.whitened()
        return b @ b, c @ c, b @ c

    def best(self) -> Tensor:
        """The greatest ρR²_y - R²_s."""
        B, C, h = self.constants()
        return ((self.ρ * B - C) + ((self.ρ * B + C).square() - 4 * self.ρ * h.square()).sqrt()) / 2

    def saddle(self) -> tuple[Tensor, ...]:
        L, b, c = self.whitened()
        top = torch.linalg.eigh(self.ρ * torch.outer(b, b) - torch.outer(c, c)).eigenvectors[:, -1]
        top = top * (top @ b).sign()
        u = torch.linalg.solve_triangular(L.T, top[:, None], upper=True)[:, 0]  # of unit power
        return torch.cat((u, (u @ self.y)[None])), u @ self.s

    def naive(self) -> dict[str, Tensor]:
        u = torch.linalg.solve(self.S, self.y)
        return {"task-alone": torch.cat((u, u.new_ones(1)))}

    def scores(self, x: Tensor) -> dict[str, float]:
        return dict(zip(("r2_target", "r2_sensitive"), map(float, self.told(x)), strict=True))

    def frontier(self) -> tuple[list[float], list[float]]:
        """What is told of s and of y at best, from small ρ to large."""
        ends = [each.told(each.saddle()[0]) for each in (replace(self, ρ=ρ) for ρ in RATES)]
        return [float(rs) for _, rs in ends], [float(ry) for ry, _ in ends]


class MinimaxFilter(Valued):
    """y = x₁ + x₂ + noise is to be told, s = x₂ + x₃ + noise is not: at ρ = 1 R² of .7464 and .0536.

    `distance` knows the direction of u alone. The picture shows what every ρ can have, and what has been found.

    Source: Hamm, Minimax Filter: Learning to Preserve Privacy from Inference Attacks, 2017, with linear parts.
    """

    name = "minimax-filter"
    recipe: ClassVar[Recipe] = Recipe((mm.sgd(0.05), mm.sgd(0.1)))
    others: ClassVar[tuple[Metric, ...]] = (
        Metric("r2_target", "higher", range=(0, 1)),
        Metric("r2_sensitive", range=(0, 1)),
    )
    spread = 0.3

    def build(self) -> Instance:
        return Filter(torch.eye(3, dtype=torch.float64), double([1, 1, 0]), double([0, 1, 1]), 2.5, 2.5, 1.0)

    def judge(self, x: Tensor) -> dict[str, float]:
        """The distance is that of the directions of u in the norm of S, whatever its sign."""
        it = self.instance
        assert isinstance(it, Filter)
        u, to = x[:-1], self.saddle[0][:-1]
        cosine = (u @ it.S @ to).abs() / (u @ it.S @ u).sqrt()
        return {**super().judge(x), "distance": float((2 - 2 * cosine).clamp(min=0).sqrt())}

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        return {"pareto": self.drawn({"found": view.players[0]})}

    def truths(self) -> Pictures:
        return {"pareto": self.drawn({"answer": self.saddle[0]})}

    def drawn(self, points: Mapping[str, Tensor]) -> Picture:
        """The frontier, the task alone, and points by name."""
        it = self.instance
        assert isinstance(it, Filter)
        shown = {what: [[float(r)] for r in reversed(it.told(x))] for what, x in {**points, **it.naive()}.items()}
        return curves({"frontier": it.frontier(), **{k: (v[0], v[1]) for k, v in shown.items()}}, "R² of s", "R² of y")


class MinimaxFilterDiabetes(MinimaxFilter):
    """The diabetes data: a feature that tells of the disease and not of sex, by linear predictors, ρ = 1.

    Source: as for `minimax-filter`.
    """

    name = "minimax-filter-diabetes"
    target = 1e-3

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare_table("diabetes")

    def build(self) -> Instance:
        x, y = diabetes(self.device)
        sex, rest = x[:, 1], torch.cat((x[:, :1], x[:, 2:]), 1)
        n = len(x)
        return Filter(rest.T @ rest / n, rest.T @ y / n, rest.T @ sex / n, 1.0, 1.0, 1.0)
