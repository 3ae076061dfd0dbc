from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

import minimax as mm
from benchmarks import data as sets
from benchmarks.problem import Metric, Pictures, Recipe, View
from benchmarks.problems.adversarial._drawn import plane
from benchmarks.problems.adversarial._valued import Instance, Valued, double, least, standardised
from benchmarks.quality.labels import share
from minimax.projections import Projection, ball, box


@dataclass(frozen=True, eq=False)
class Robust(Instance):
    """f(w, δ) = mean softplus(-m_i) + λ/2 |w|², m_i = y_i(wᵀ(x_i + δ_i) + b), against -f, each |δ_i|_p <= ε.

    V(w) = mean softplus(-(m_i - ε|w|_q)) + λ/2 |w|² at δ = 0, as only the margin counts. There is a saddle:
    δ_ij = -ε y_i s_j with s_j = sign w_j, and s_j = Σσ_i y_i x_ij / (εΣσ_i), σ_i = σ(-margin), where w_j = 0. The first
    player is w with b behind it, (d + 1,).

    Args:
        x: (n, d).
        y: (n,), -1 or 1.
        ε: the radius, > 0.
        λ: the weight of the penalty, > 0.
        p: inf or 2.

    Raises:
        ValueError: ε <= 0, or another p.
    """

    x: Tensor
    y: Tensor
    ε: float
    λ: float
    p: float = math.inf

    def __post_init__(self) -> None:
        if not self.ε > 0:
            raise ValueError(f"ε must be positive, got {self.ε}: without an opponent this is logistic regression.")
        if self.p not in (2, math.inf):
            raise ValueError(f"p must be 2 or inf, got {self.p}.")

    @property
    def reach(self) -> Projection:
        """Where δ may be, rows apart."""
        return box(-self.ε, self.ε) if self.p == math.inf else ball(self.ε, dim=1)

    def dual(self, w: Tensor) -> Tensor:
        """|w|_q."""
        return torch.linalg.vector_norm(w, 1 if self.p == math.inf else 2)

    def margins(self, w: Tensor, δ: Tensor | float = 0.0) -> Tensor:
        """m_i, (n,)."""
        return self.y * ((self.x + δ) @ w[:-1] + w[-1])

    def worst(self, w: Tensor, ε: float) -> Tensor:
        """The margins under the worst δ of a radius."""
        return self.margins(w) - ε * self.dual(w[:-1])

    def game(self) -> mm.Game:
        def f(w: Tensor, δ: Tensor) -> Tensor:
            return softplus(-self.margins(w, δ)).mean() + self.λ / 2 * w[:-1].square().sum()

        return mm.zero_sum(f, constraints=(None, self.reach))

    def value(self, w: Tensor) -> Tensor:
        return self.risk(w, self.ε)

    def risk(self, w: Tensor, ε: float) -> Tensor:
        """V for another radius."""
        return softplus(-self.worst(w, ε)).mean() + self.λ / 2 * w[:-1].square().sum()

    def trained(self, ε: float) -> Tensor:
        """The w of the least risk for a radius."""
        d = self.x.shape[1]
        if ε == 0 or self.p == 2:
            # Off 0, where |w| has a kink, in the direction of the means.
            return least(lambda w: self.risk(w, ε), torch.cat((self.y @ self.x / len(self.x), self.x.new_zeros(1))))

        def parts(u: Tensor) -> Tensor:  # w = u - u', both >= 0, so that |w|_1 is smooth
            margins = self.margins(torch.cat((u[:d] - u[d:-1], u[-1:]))) - ε * u[:-1].sum()
            return softplus(-margins).mean() + self.λ / 2 * (u[:d] - u[d:-1]).square().sum()

        low = self.x.new_zeros(2 * d + 1).index_fill(0, torch.tensor(2 * d, device=self.x.device), -math.inf)
        u = least(parts, self.x.new_zeros(2 * d + 1), low)
        return torch.cat((u[:d] - u[d:-1], u[-1:]))

    def signs(self, w: Tensor) -> Tensor:
        """s, (d,)."""
        if self.p == 2:
            return w[:-1] / w[:-1].norm()
        weight = (-self.worst(w, self.ε)).sigmoid()
        within = (weight * self.y) @ self.x / (self.ε * weight.sum())
        return torch.where(w[:-1].abs() > 1e-9, w[:-1].sign(), within)

    def saddle(self) -> tuple[Tensor, ...]:
        w = self.trained(self.ε)
        return w, -self.ε * self.y[:, None] * self.signs(w)

    def naive(self) -> dict[str, Tensor]:
        return {"natural": self.trained(0.0)}

    def scores(self, w: Tensor) -> dict[str, float]:
        """Accuracy under the worst δ, by its radius as a share of ε."""
        radii = {"accuracy": 0.0, "robust_half": self.ε / 2, "robust_accuracy": self.ε, "robust_double": 2 * self.ε}
        return {name: share(self.worst(w, ε) > 0) for name, ε in radii.items()}


class RobustLinear(Valued):
    """Logistic regression of six points in the plane, each moved by up to .5 in every coordinate: risk .3265.

    Source: Goodfellow, Shlens & Szegedy, Explaining and Harnessing Adversarial Examples, 2015, section 5, whose closed
    form is that of labels -1 and 1 without a penalty.
    """

    name = "robust-linear"
    recipe: ClassVar[Recipe] = Recipe((mm.sgd(0.5), mm.sgd(5.0)))
    others: ClassVar[tuple[Metric, ...]] = tuple(
        Metric(name, "higher", range=(0, 1)) for name in ("accuracy", "robust_half", "robust_accuracy", "robust_double")
    )
    ε: ClassVar[float] = 0.5
    p: ClassVar[float] = math.inf

    def build(self) -> Instance:
        x = double([[2, 1], [1.5, -0.5], [0.5, 2], [-1, -1.5], [-2, 0.5], [0.2, -1]])
        return Robust(x, double([1, 1, 1, -1, -1, -1]), self.ε, 0.01, self.p)

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        return {"boundary": self.drawn(view.players[0])}

    def truths(self) -> Pictures:
        return {"boundary": self.drawn(self.saddle[0])}

    def drawn(self, w: Tensor) -> np.ndarray:
        """The sides of the boundary, and what each point may become."""
        it = self.instance
        assert isinstance(it, Robust)
        return plane(lambda at: at @ w[:-1] + w[-1], it.x, it.y, self.ε, self.p)


class RobustLinearWide(RobustLinear):
    """The same points moved by up to 1: risk .6795, w = (.4115, 0), so that the second coordinate is given up."""

    name = "robust-linear-wide"
    ε = 1.0


class RobustLinearBall(RobustLinear):
    """The same points moved by up to .5 in the plane's own distance."""

    name = "robust-linear-l2"
    p = 2.0


class RobustLinearCancer(Valued):
    """Breast cancer, 569 tumours of 30 standardised features, each moved by up to .1: risk .1426, 537 of them robust.

    Source: as for `robust-linear`; the data are Street, Wolberg & Mangasarian's, 1993, from scikit-learn.
    """

    name = "robust-linear-cancer"
    recipe: ClassVar[Recipe] = Recipe((mm.sgd(0.5), mm.sgd(50.0)))
    others = RobustLinear.others
    spread = 0.1
    target: ClassVar[float | None] = 2e-3
    ε: ClassVar[float] = 0.1

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare_table("breast-cancer")

    def build(self) -> Instance:
        table = sets.load_table("breast-cancer", self.device, torch.float64)
        return Robust(standardised(table.x), 2 * table.y.to(table.x) - 1, self.ε, 1e-3)


class RobustLinearCancerWide(RobustLinearCancer):
    """The same tumours moved by up to .3: risk .3373, 483 of them robust."""

    name = "robust-linear-cancer-wide"
    target = None  # plain play turns about the answer, where most weights are 0
    ε = 0.3
