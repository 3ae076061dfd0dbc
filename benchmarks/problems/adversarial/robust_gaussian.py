from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

import minimax as mm
from benchmarks.problem import Metric, Recipe
from benchmarks.problems.adversarial._normal import cdf
from benchmarks.problems.adversarial._valued import Instance, Valued, double
from minimax.projections import ball, box


@dataclass(frozen=True, eq=False)
class TwoNormals(Instance):
    """x given y = ±1 is N(yμ, σ²I), classified by the sign of wᵀx, and moved by -yδ, |δ|_p <= ε; |w| <= 1.

    -wᵀ(μ - δ) against its negative: V(w) = -(wᵀμ - ε|w|_q), and the robust accuracy of w is Φ((wᵀμ - ε|w|_q)/(σ|w|)),
    so that both are best in the same direction: for p = inf, μ with every entry brought ε nearer to 0, for p = 2, μ.

    Args:
        μ: (d,); some entry is larger than ε (for p = 2, |μ| > ε).
        σ: > 0.
        ε: the radius, >= 0.
        p: inf or 2.

    Raises:
        ValueError: ε < 0, or so large that no direction keeps a margin.
    """

    μ: Tensor
    σ: float
    ε: float
    p: float = math.inf

    def __post_init__(self) -> None:
        largest = float(self.μ.abs().max() if self.p == math.inf else self.μ.norm())
        if not 0 <= self.ε < largest:
            raise ValueError(f"ε must lie in [0, {largest:g}), where some margin is left, got {self.ε}.")

    def margin(self, w: Tensor, ε: float) -> Tensor:
        """wᵀμ - ε|w|_q."""
        return w @ self.μ - ε * torch.linalg.vector_norm(w, 1 if self.p == math.inf else 2)

    def game(self) -> mm.Game:
        reach = box(-self.ε, self.ε) if self.p == math.inf else ball(self.ε)
        return mm.zero_sum(lambda w, δ: -(w @ (self.μ - δ)), constraints=(ball(1.0), reach))

    def value(self, w: Tensor) -> Tensor:
        return -self.margin(w, self.ε)

    def saddle(self) -> tuple[Tensor, ...]:
        if self.p == 2:
            w = self.μ / self.μ.norm()
            return w, self.ε * w
        δ = self.μ.clamp(-self.ε, self.ε)  # where w is 0, δ hides what is left of μ
        return (self.μ - δ) / (self.μ - δ).norm(), δ

    def naive(self) -> dict[str, Tensor]:
        return {"natural": self.μ / self.μ.norm()}

    def robust(self, w: Tensor, ε: float) -> Tensor:
        """The accuracy under the worst δ of a radius."""
        return cdf(self.margin(w, ε) / (self.σ * w.norm()))

    def scores(self, w: Tensor) -> dict[str, float]:
        return {"accuracy": float(self.robust(w, 0.0)), "robust_accuracy": float(self.robust(w, self.ε))}


class RobustGaussian(Valued):
    """Two normals with means ±(1, .5, .25), moved by up to .3 in every coordinate: .7667 of them stay right, at best.

    The natural direction, μ, keeps .7541: it leans on the third coordinate, which the opponent turns round.

    Source: Tsipras, Santurkar, Engstrom, Turner & Madry, Robustness May Be at Odds with Accuracy, 2019.
    """

    name = "robust-gaussian"
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.05))
    others: ClassVar[tuple[Metric, ...]] = tuple(
        Metric(name, "higher", range=(0, 1)) for name in ("accuracy", "robust_accuracy")
    )

    def build(self) -> Instance:
        return TwoNormals(double([1.0, 0.5, 0.25]), 1.0, 0.3)
