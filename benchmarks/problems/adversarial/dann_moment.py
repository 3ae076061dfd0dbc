from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

import minimax as mm
from benchmarks.problem import Metric, Recipe
from benchmarks.problems.adversarial._normal import cdf
from benchmarks.problems.adversarial._valued import Instance, Valued, double


@dataclass(frozen=True, eq=False)
class Matching(Instance):
    """½E_s(y - wᵀx)² + λ(v wᵀΔ - κ/2 v²) against -λ(...), the source's moments m = E yx, S = E xxᵀ, E y² = 1.

    V(w) = ½(1 - 2wᵀm + wᵀSw) + λ(wᵀΔ)²/2κ, least at w = (S + λ/κ ΔΔᵀ)⁻¹m, and v = wᵀΔ/κ. With κ = 0 the critic
    enforces wᵀΔ = 0: w is the best that keeps to it, and V infinite elsewhere.

    Args:
        m: (d,).
        S: (d, d), positive definite.
        Δ: (d,), by how much the target's mean is moved.
        λ: what the task pays for being told apart.
        κ: by how much the critic is damped.
    """

    m: Tensor
    S: Tensor
    Δ: Tensor
    λ: float
    κ: float = 1.0

    def task(self, w: Tensor) -> Tensor:
        """½E_s(y - wᵀx)²."""
        return 0.5 - w @ self.m + 0.5 * (w @ self.S @ w)

    def game(self) -> mm.Game:
        def critic(w: Tensor, v: Tensor) -> Tensor:
            return self.λ * (v * (w @ self.Δ) - self.κ / 2 * v.square())

        return mm.Game(lambda w, v: self.task(w) + critic(w, v), lambda w, v: -critic(w, v))

    def value(self, w: Tensor) -> Tensor:
        return self.task(w) + self.λ * (w @ self.Δ).square() / (2 * self.κ)

    def saddle(self) -> tuple[Tensor, ...]:
        d = len(self.m)
        first = torch.cat((self.S, self.λ * self.Δ[:, None]), 1)
        second = torch.cat((self.Δ[None], -self.κ * self.Δ.new_ones(1, 1)), 1)
        both = torch.linalg.solve(torch.cat((first, second)), torch.cat((self.m, self.m.new_zeros(1))))
        return both[:d], both[d]

    def naive(self) -> dict[str, Tensor]:
        return {"source-only": torch.linalg.solve(self.S, self.m)}

    def scores(self, w: Tensor) -> dict[str, float]:
        """How often the sign of wᵀx is y on a target in which x given y is N(ym + Δ, S - mmᵀ)."""
        scale = (w @ self.S @ w - (w @ self.m).square()).sqrt()
        sides = [cdf((w @ self.m + y * (w @ self.Δ)) / scale) for y in (-1, 1)]
        return {"target_accuracy": float(sum(sides) / 2)}


class DANNMoment(Valued):
    """A regression that a critic of means carries to a target moved by Δ = (3, 0), λ = 1: w = (.0476, .4762).

    Simultaneous play is stable below steps of .2908, and for λ = 10 below .0131; alternating at .05.

    Source: Ganin et al., Domain-Adversarial Training of Neural Networks, 2016, with linear parts and a critic of means.
    """

    name = "dann-moment"
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.05))
    others: ClassVar[tuple[Metric, ...]] = (Metric("target_accuracy", "higher", range=(0, 1)),)
    λ: ClassVar[float] = 1.0

    def build(self) -> Instance:
        m = double([1.0, 1.0])
        return Matching(m, torch.eye(2, dtype=m.dtype) + torch.outer(m, m), double([3.0, 0.0]), self.λ)


class DANNMomentStrong(DANNMoment):
    """The same with λ = 10: w = (.0055, .4973), and simultaneous play at the step .05 diverges."""

    name = "dann-moment-strong"
    optimizers: ClassVar[tuple[str, ...]] = ("alternating", "extragradient[lr=0.025]", "simultaneous[lr=0.01]")
    λ = 10.0
