from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.problem import Metric, Recipe
from benchmarks.problems.adversarial._normal import cdf, expected, told_apart
from benchmarks.problems.adversarial._valued import Instance, Valued, double, least


@dataclass(frozen=True, eq=False)
class Carried(Instance):
    """½|w - β|² + λ(log 2 - D) against D = ½E_s softplus(c) + ½E_t softplus(-c), c = a wᵀx + b, between normals.

    The source is N(0, I), the target N(Δ, I). V(w) = ½|w - β|² + λ JSD(|wᵀΔ|/|w|), and the best critic has a = wᵀΔ/|w|²
    and its zero half way.

    Args:
        β: (d,), what the task wants.
        Δ: (d,).
        λ: what the task pays for being told apart.
    """

    β: Tensor
    Δ: Tensor
    λ: float

    def loss(self, w: Tensor, critic: Tensor) -> Tensor:
        """D."""
        (a, b), mean, norm = critic, w @ self.Δ, w.norm()
        source = expected(lambda u: softplus(a * u + b), torch.zeros_like(mean), norm)
        target = expected(lambda u: softplus(-a * u - b), mean, norm)
        return (source + target) / 2

    def game(self) -> mm.Game:
        def task(w: Tensor, critic: Tensor) -> Tensor:
            return (w - self.β).square().sum() / 2 + self.λ * (math.log(2) - self.loss(w, critic))

        return mm.Game(task, self.loss)

    def apart(self, w: Tensor) -> Tensor:
        """δ, the distance of the domains in standard deviations."""
        return (w @ self.Δ).abs() / w.norm()

    def value(self, w: Tensor) -> Tensor:
        return (w - self.β).square().sum() / 2 + self.λ * (math.log(2) - told_apart(self.apart(w)))

    def answer(self, w: Tensor) -> Tensor:
        """The best critic."""
        a = (w @ self.Δ) / w.square().sum()
        return torch.stack((a, -a * (w @ self.Δ) / 2))

    def saddle(self) -> tuple[Tensor, ...]:
        w = least(self.value, self.β)
        return w, self.answer(w)

    def naive(self) -> dict[str, Tensor]:
        return {"source-only": self.β}

    def scores(self, w: Tensor) -> dict[str, float]:
        """The least loss of a critic, and how often the best one is right."""
        δ = self.apart(w)
        return {"critic_loss": float(told_apart(δ)), "probe": float(cdf(δ / 2))}


class DANNLogistic(Valued):
    """Domains two apart, told apart by logistic regression on wᵀx, β = (1, 2): w = (.8715, 2.0545), critic at .6222.

    The critic's loss at the answer is not log 2: that it cannot tell the domains apart is not what is best.

    Source: Ganin et al., Domain-Adversarial Training of Neural Networks, 2016, with linear parts.
    """

    name = "dann-logistic"
    recipe: ClassVar[Recipe] = Recipe((mm.sgd(0.1), mm.sgd(0.5)))
    others: ClassVar[tuple[Metric, ...]] = (
        Metric("critic_loss", "higher", unit="nats", range=(0, math.log(2))),
        Metric("probe", range=(0.5, 1)),
    )

    def build(self) -> Instance:
        return Carried(double([1.0, 2.0]), double([2.0, 0.0]), 1.0)
