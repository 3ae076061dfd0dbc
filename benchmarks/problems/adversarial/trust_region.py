from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from scipy.optimize import brentq
from torch import Tensor

import minimax as mm
from benchmarks.problem import Floor, Metric, Recipe
from benchmarks.problems.adversarial._valued import Instance, Valued, allowed, double
from minimax.projections import ball


@dataclass(frozen=True, eq=False)
class Quadratic(Instance):
    """One player, the attack: -½|Aδ + r|², |δ| <= 1. It is concave, and may have two minima, one of them false.

    The least is on the sphere, at (μI - AᵀA)δ = Aᵀr with μ above the top eigenvalue of AᵀA, where |δ| = 1.

    Args:
        A: (n, d).
        r: (n,), with Aᵀr not orthogonal to the top eigenvectors of AᵀA.

    Raises:
        ValueError: where it is, and two attacks are equally strong.
    """

    A: Tensor
    r: Tensor

    def game(self) -> mm.Game:
        return mm.Game(self.value, constraints=(ball(1.0),))

    def value(self, δ: Tensor) -> Tensor:
        return -(self.A @ δ + self.r).square().sum() / 2

    def saddle(self) -> tuple[Tensor, ...]:
        values, vectors = torch.linalg.eigh(self.A.T @ self.A)
        toward = vectors.T @ (self.A.T @ self.r)
        top = float(values[-1])
        if float(toward[values > top * (1 - 1e-12)].norm()) < 1e-12 * float(toward.norm() + 1):
            raise ValueError("Aᵀr is orthogonal to the top eigenvectors of AᵀA: δ and its mirror image are as strong.")

        def length(gap: float) -> float:  # in the distance from the top eigenvalue, so that none of it is rounded off
            return 1 / float((toward / (top - values + gap)).norm()) - 1

        gap = brentq(length, 1e-14, float(toward.norm()) + 1, xtol=1e-16, rtol=1e-15)
        return (vectors @ (toward / (top - values + gap)),)

    def scores(self, δ: Tensor) -> dict[str, float]:
        return {"damage": -float(self.value(δ))}


class TrustRegion(Valued):
    """The strongest attack of length 1 on a linear regression does 3.957; from the other side ascent ends at 1.780.

    Runs start around (-.8, -.5), in the basin of the false maximum. `k-beam[candidates=5;spread=1]` leaves it.

    Source: Moré & Sorensen, Computing a Trust Region Step, 1983, for the answer.
    """

    name = "trust-region"
    optimizers = ("simultaneous", "extragradient", "optimistic", "k-beam[candidates=5;spread=1.0]")
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.05))
    others: ClassVar[tuple[Metric, ...]] = (Metric("damage", "higher", range=(0, float("inf"))),)

    def build(self) -> Instance:
        return Quadratic(double([[2, 1], [0, 1], [1, -1]]), double([0.5, -0.2, 0.1]))

    def players(self, seed: int) -> tuple[Any, ...]:
        stream = self.generator(seed, 0)
        aside = torch.rand(2, generator=stream, dtype=torch.float64, device=self.device) - 0.5
        return allowed(self.game(), (double([-0.8, -0.5]).to(self.device) + 0.2 * aside,))

    def false(self) -> Tensor:
        """Where ascent ends that starts on the wrong side."""
        start = (double([-0.8, -0.5]).to(self.device),)
        end: Tensor = mm.solve(self.game(), start, mm.SimultaneousGDA(mm.sgd(0.05)), steps=1000).players[0]
        return end

    @torch.no_grad()
    def floors(self) -> Iterable[Floor]:
        yield from super().floors()
        for name, value in self.judge(self.false()).items():
            yield Floor(name, "false-maximum", value)
