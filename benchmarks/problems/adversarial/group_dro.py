from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

import minimax as mm
from benchmarks import data as sets
from benchmarks.problem import Metric, Recipe
from benchmarks.problems.adversarial._valued import Instance, Valued, diabetes, double
from minimax.projections import simplex


@dataclass(frozen=True, eq=False)
class Groups(Instance):
    """Σ_g q_g f_g(x) + μ/2 xᵀPx against its negative, q on the simplex, f_g(x) = ½xᵀA_g x - b_gᵀx + c_g.

    V(x) = max_g f_g(x) + μ/2 xᵀPx; with τ > 0 the opponent pays τ KL(q|p) for leaving the shares p of the groups, and V
    is τ log Σ p_g exp(f_g/τ) + μ/2 xᵀPx. The saddle is solved as max over q of the least over x, which is exact for
    every q, by SLSQP.

    Args:
        A: (groups, d, d), positive semi-definite.
        b: (groups, d).
        c: (groups,).
        p: (groups,), positive, of sum 1.
        μ: the weight of the penalty, >= 0.
        P: (d, d), what is penalised; None for all.
        τ: >= 0.

    Raises:
        ValueError: shares that are not positive, or do not sum to 1.
    """

    A: Tensor
    b: Tensor
    c: Tensor
    p: Tensor
    μ: float = 0.0
    P: Tensor | None = None
    τ: float = 0.0

    def __post_init__(self) -> None:
        if not bool((self.p > 0).all()) or abs(float(self.p.sum()) - 1) > 1e-9:
            raise ValueError(f"p must be positive shares of sum 1, got {self.p.tolist()}: leave empty groups out.")

    def losses(self, x: Tensor) -> Tensor:
        """f_g, (groups,)."""
        return 0.5 * (self.A @ x) @ x - self.b @ x + self.c

    @property
    def penalised(self) -> Tensor:
        """μP."""
        eye = torch.eye(self.b.shape[1], dtype=self.b.dtype, device=self.b.device)
        return self.μ * (eye if self.P is None else self.P)

    def payoff(self, x: Tensor, q: Tensor) -> Tensor:
        """What the first player pays."""
        # q log q and its slope are finite at 0 that way; on the simplex projections do end at 0.
        left = self.τ * (torch.special.xlogy(q, q.clamp(min=1e-300)) - q * self.p.log()).sum() if self.τ else 0.0
        return q @ self.losses(x) + 0.5 * (x @ self.penalised @ x) - left

    def game(self) -> mm.Game:
        return mm.zero_sum(self.payoff, constraints=(None, simplex()))

    def value(self, x: Tensor) -> Tensor:
        f, penalty = self.losses(x), 0.5 * (x @ self.penalised @ x)
        return penalty + (self.τ * (f / self.τ + self.p.log()).logsumexp(0) if self.τ else f.max())

    def best(self, q: Tensor) -> Tensor:
        """The least x for a q."""
        return torch.linalg.solve(torch.tensordot(q, self.A, 1) + self.penalised, q @ self.b)

    def saddle(self) -> tuple[Tensor, ...]:
        def dual(q: np.ndarray) -> tuple[float, np.ndarray]:
            at = torch.from_numpy(q).to(self.p)
            x = self.best(at)
            slope = self.losses(x) - (self.τ * ((at / self.p).clamp(min=1e-300).log() + 1) if self.τ else 0.0)
            return -float(self.payoff(x, at)), -slope.cpu().numpy()

        q, bounds = self.p.cpu().numpy(), [(0.0, 1.0)] * len(self.p)
        one = {"type": "eq", "fun": lambda q: q.sum() - 1, "jac": np.ones_like}
        for _ in range(3):  # again from where it has ended, as it stops a little early
            how = {"method": "SLSQP", "bounds": bounds, "constraints": one, "options": {"ftol": 1e-16, "maxiter": 1000}}
            q = minimize(dual, q, jac=True, **how).x
        found = torch.from_numpy(q).to(self.p).clamp(min=0)
        found = found / found.sum()
        return self.best(found), found

    def naive(self) -> dict[str, Tensor]:
        return {"erm": self.best(self.p)}

    def scores(self, x: Tensor) -> dict[str, float]:
        f = self.losses(x)
        return {"worst": float(f.max()), "mean": float(self.p @ f)}


def around(points: Tensor, a: Tensor | None = None) -> Groups:
    """f_g = a_g/2 |x - point_g|² of points (groups, d), with equal shares."""
    a = points.new_ones(len(points)) if a is None else a
    eye = torch.eye(points.shape[1]).to(points)
    c = a / 2 * points.square().sum(1)
    return Groups(a[:, None, None] * eye, a[:, None] * points, c, points.new_full((len(points),), 1 / len(points)))


def squares(x: Tensor, y: Tensor, group: Tensor, count: int, μ: float = 0.0, P: Tensor | None = None) -> Groups:
    """f_g = the mean of (y - wᵀx)² over the rows of a group.

    Args:
        x: (n, d).
        y: (n,).
        group: (n,), 0 to count - 1.
        count: how many groups there are.
        μ: of `Groups`.
        P: of `Groups`.

    Raises:
        ValueError: a group without rows.
    """
    sizes = torch.bincount(group, minlength=count)
    if len(sizes) > count or bool((sizes == 0).any()):
        empty = [g for g, size in enumerate(sizes.tolist()) if size == 0]
        what = f"groups {empty} have no rows" if empty else f"there are rows of group {len(sizes) - 1}"
        raise ValueError(f"{what} of the {count} groups: leave empty groups out, and count all others from 0.")
    rows = [(x[group == g], y[group == g]) for g in range(count)]
    A, b, c = zip(*((2 * X.T @ X / len(t), 2 * X.T @ t / len(t), t.square().mean()) for X, t in rows), strict=True)
    return Groups(torch.stack(A), torch.stack(b), torch.stack(c), sizes.to(x) / len(x), μ, P)


class GroupDRO(Valued):
    """The point with the least greatest squared distance of (0, 0), (4, 0), (1, 3): (2, 1), q = (1/4, 5/12, 1/3).

    Source: Sagawa, Koh, Hashimoto & Liang, Distributionally Robust Neural Networks for Group Shifts, 2020, of whose
    game this is the simplest; the opponent is projected on the simplex here.
    """

    name = "group-dro"
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.05))
    others: ClassVar[tuple[Metric, ...]] = (
        Metric("worst", range=(0, math.inf)),
        Metric("mean", range=(0, math.inf)),
    )

    def build(self) -> Instance:
        return around(double([[0, 0], [4, 0], [1, 3]]))


class GroupDRODiabetes(Valued):
    """Regression of the diabetes data, its worst of four groups by sex and age: .5232, where the mean's is .5828.

    The penalty is .01|w|², the intercept's left out.

    Source: as for `group-dro`.
    """

    name = "group-dro-diabetes"
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.05))
    others = GroupDRO.others
    target = 1e-3

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare_table("diabetes")

    def build(self) -> Instance:
        x, y = diabetes(self.device)
        group = 2 * (x[:, 1] > 0).long() + (x[:, 0] > 0).long()
        rows = torch.cat((x, x.new_ones(len(x), 1)), 1)
        only = torch.ones(rows.shape[1]).to(x).index_fill(0, torch.tensor(rows.shape[1] - 1, device=x.device), 0.0)
        return squares(rows, y, group, 4, μ=0.02, P=only.diag())
