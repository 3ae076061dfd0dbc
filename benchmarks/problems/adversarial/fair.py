from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from scipy.optimize import brentq
from torch import Tensor
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.problem import Metric, Recipe
from benchmarks.problems.adversarial._normal import cdf, expected
from benchmarks.problems.adversarial._valued import Instance, Valued, double, least

Criterion = Literal["parity", "odds"]


@dataclass(frozen=True, eq=False)
class Fair(Instance):
    """E softplus(-y wᵀx) + λ(log 2 - D) against D, an adversary's loss at telling a from the score wᵀx.

    y and a are fair coins, ±1, and x given them is N(ym + ac, I). For demographic parity ("parity") the adversary's
    logit is v₁ wᵀx; for equalised odds ("odds") it knows y too and has v₁ wᵀx + v₂ y, and the best one, v₁ = 2wᵀc/|w|²,
    v₂ = -v₁ wᵀm, is then the posterior. For parity the posterior is not linear, and this is the best linear one. V is
    at the best v.

    As λ grows w turns to m - (mᵀc/|c|²)c: no gap, and accuracy Φ(√(|m|² - (mᵀc)²/|c|²)), the fair one of both criteria.

    Args:
        m: (d,).
        c: (d,), not 0.
        λ: what the task pays for a being told, >= 0.
        criterion: parity or odds.

    Raises:
        ValueError: λ < 0, c = 0, or another criterion.
    """

    m: Tensor
    c: Tensor
    λ: float
    criterion: Criterion = "odds"

    def __post_init__(self) -> None:
        if not self.λ >= 0:
            raise ValueError(f"λ must not be negative, got {self.λ}: the task would pay for being fair.")
        if not bool(self.c.norm() > 0):
            raise ValueError("c must not be 0: the groups would be one.")
        if self.criterion not in ("parity", "odds"):
            raise ValueError(f"criterion must be 'parity' or 'odds', got {self.criterion!r}.")

    def scored(self, w: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """y, a, and the mean and standard deviation of wᵀx, (4,) each."""
        y, a = double([1.0, 1.0, -1.0, -1.0]).to(w.device), double([1.0, -1.0, 1.0, -1.0]).to(w.device)
        return y, a, y * (w @ self.m) + a * (w @ self.c), w.norm().expand(4)

    def task(self, w: Tensor) -> Tensor:
        """E softplus(-y wᵀx)."""
        y, _, mean, std = self.scored(w)
        return expected(lambda u: softplus(-y[:, None] * u), mean, std).mean()

    def adversary(self, w: Tensor, v: Tensor) -> Tensor:
        """D."""
        y, a, mean, std = self.scored(w)
        known = v[1] * y if self.criterion == "odds" else torch.zeros_like(y)
        return expected(lambda u: softplus(-a[:, None] * (v[0] * u + known[:, None])), mean, std).mean()

    def game(self) -> mm.Game:
        def task(w: Tensor, v: Tensor) -> Tensor:
            return self.task(w) + self.λ * (math.log(2) - self.adversary(w, v))

        return mm.Game(task, self.adversary)

    def answer(self, w: Tensor) -> Tensor:
        """The best v."""
        first = 2 * (w @ self.c) / w.square().sum()
        if self.criterion == "odds":
            return torch.stack((first, -first * (w @ self.m)))
        return double([_weight(self, w.detach())]).to(w.device)

    def value(self, w: Tensor) -> Tensor:
        if not bool(w.isfinite().all()):
            return w.sum() * math.nan
        return self.task(w) + self.λ * (math.log(2) - self.adversary(w, self.answer(w).detach()))

    def saddle(self) -> tuple[Tensor, ...]:
        w = least(self.value, self.m - (self.m @ self.c) / self.c.square().sum() * self.c)
        return w, self.answer(w)

    def naive(self) -> Mapping[str, Tensor]:
        fair = self.m - (self.m @ self.c) / self.c.square().sum() * self.c
        accurate = least(lambda w: -self.right(w).mean(), self.m)
        return {"task-alone": least(self.task, self.m), "most-accurate": accurate, "fair": fair}

    def right(self, w: Tensor) -> Tensor:
        """The accuracy in the group a = 1 and in a = -1, by symmetry that of either label's other group, (2,)."""
        sides = torch.stack((w @ self.m + w @ self.c, w @ self.m - w @ self.c))
        return cdf(sides / w.norm())

    def scores(self, w: Tensor) -> dict[str, float]:
        """Accuracy, the gap P(ŷ=1|a=1) - P(ŷ=1|a=-1), which given y is the same, and how often a is told, given y."""
        high, low = self.right(w)
        told = cdf((w @ self.c).abs() / w.norm())
        return {"accuracy": float((high + low) / 2), "gap": float((high - low).abs()), "adversary": float(told)}


def _weight(fair: Fair, w: Tensor) -> float:
    """The best v₁ for parity: where the slope of the adversary's loss, which rises with v₁, is 0."""
    _, a, mean, std = fair.scored(w)

    def slope(v: float) -> float:
        return float(expected(lambda u: -a[:, None] * u * (-a[:, None] * v * u).sigmoid(), mean, std).mean())

    reach = 1.0
    while slope(-reach) * slope(reach) > 0:
        reach *= 2
    return float(brentq(slope, -reach, reach, xtol=1e-15))


class FairOdds(Valued):
    """A classifier whose score is to tell of y and, given y, not of a; m = (1, .5), c = (0, 1), λ = 2.

    Fair is .8413 right without a gap, the most accurate linear one .8555 with a gap of .1052.

    Source: Zhang, Lemoine & Mitchell, Mitigating Unwanted Biases with Adversarial Learning, 2018, without the
    projection of gradients.
    """

    name = "fair"
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.2))
    others: ClassVar[tuple[Metric, ...]] = (
        Metric("accuracy", "higher", range=(0, 1)),
        Metric("gap", range=(0, 1)),
        Metric("adversary", range=(0.5, 1)),
    )
    spread = 0.3
    criterion: ClassVar[Criterion] = "odds"

    def build(self) -> Instance:
        return Fair(double([1.0, 0.5]), double([0.0, 1.0]), 2.0, self.criterion)


class FairParity(FairOdds):
    """The same score is not to tell of a by itself: demographic parity, by a linear adversary.

    Source: as for `fair`.
    """

    name = "fair-parity"
    criterion = "parity"
