"""Two numbers in boxes, min over u of the *global* max over v: where that max jumps, gradient play is led astray.

The headline is by how much max_v f(u, v) exceeds its least value over u.

Source: Hamm & Noh, K-Beam Minimax: Efficient Optimization for Deep Adversarial Learning, 2018, and its experiments.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

import minimax as mm
from benchmarks.networks import seeded
from benchmarks.problem import Floor, Metric, Preset, Problem, Recipe, View
from minimax.projections import box

GRID = 10_001  # points v at which the maximum is looked for: what is missed is below 1e-6 on these surfaces
FAR = 0.05  # the least excess to start from


class Surface(Problem):
    """A surface on a box around 0, from a point that the seed draws evenly among those that are no solution yet.

    `excess` is max_v f(u, v) - min_u max_v f; u and v are the players.
    """

    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(10, evaluations=2),
        **dict.fromkeys(("cpu", "gpu"), Preset(4000, evaluations=50)),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.01), decay=True)  # a step that stays crosses the kinks for ever
    optimizers: ClassVar[tuple[str, ...]] = (
        *("simultaneous", "alternating", "extragradient", "optimistic"),
        "k-beam[spread=1]",
    )
    side: ClassVar[float] = 0.5
    """Half the side of the box."""
    value: ClassVar[float]
    """min_u max_v f."""
    solution: ClassVar[tuple[float, float]]
    """A u that reaches it, and a best v."""
    metrics = (
        Metric("excess", range=(0, math.inf), headline=True, target=0.01),
        Metric("u", better=None),
        Metric("v", better=None),
    )

    @staticmethod
    @abstractmethod
    def f(u: Tensor, v: Tensor) -> Tensor:
        """The surface."""

    def players(self, seed: int) -> tuple[Any, ...]:
        draws = seeded(seed, lambda: self.side * (2 * torch.rand(100, 2) - 1))
        u, v = next(draw for draw in draws if self.outer(draw[0]) - self.value > FAR)
        return u.clone().to(self.device), v.clone().to(self.device)

    def game(self) -> mm.Game:
        return mm.zero_sum(self.f, constraints=(box(-self.side, self.side),) * 2)

    def outer(self, u: Tensor) -> float:
        """max_v f(u, v), in double precision."""
        v = torch.linspace(-self.side, self.side, GRID, dtype=torch.float64)
        return float(self.f(u.detach().double().cpu(), v).max())

    def evaluate(self, view: View) -> dict[str, float]:
        u, v = view.players
        return {"excess": self.outer(u) - self.value, "u": float(u), "v": float(v)}

    def floors(self) -> Iterable[Floor]:
        yield Floor("excess", "minimax", 0.0)
        yield Floor("excess", "corner", self.outer(torch.tensor(self.side)) - self.value)

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """A global minimax point."""
        return tuple(torch.tensor(z, device=self.device) for z in self.solution)


class Seesaw(Surface):
    """-v sin(πu): max_v is |sin πu|/2, least at u = 0, where every v is as good; eigenvalues ±iπ."""

    name = "seesaw"
    value, solution = 0.0, (0.0, 0.0)

    @staticmethod
    def f(u: Tensor, v: Tensor) -> Tensor:
        return -v * (math.pi * u).sin()


class RotatedMonkeySaddle(Surface):
    """v³ - 3vu²: v = ½ and v = -|u| are as high where 1/8 - 3/2 u² = 2|u|³, at u = ±¼; max_v is 1/32 there."""

    name = "rotated-monkey-saddle"
    value, solution = 1 / 32, (0.25, 0.5)

    @staticmethod
    def f(u: Tensor, v: Tensor) -> Tensor:
        return v**3 - 3 * v * u**2


class AntiSaddle(Surface):
    """-u² + v² + 2uv: max_v is ¼ + |u| - u² at v = ±½, least at u = 0, where both are as high and f_uu < 0."""

    name = "anti-saddle"
    value, solution = 0.25, (0.0, 0.5)

    @staticmethod
    def f(u: Tensor, v: Tensor) -> Tensor:
        return -(u**2) + v**2 + 2 * u * v


class Weapons(Surface):
    """Two targets, weapons ½ ± u against defences ½ ± v: -Σ(1 - exp(-10 (½ ± u) e^(-½ ∓ v))).

    Even weapons are safest, -1.834349 whichever target is defended. Max and min do not commute: where v moves first the
    best is -1.88, at u = .158.
    """

    name = "weapons"
    value, solution = math.exp(-5 / math.e) + math.exp(-5) - 2, (0.0, 0.5)

    @staticmethod
    def f(u: Tensor, v: Tensor) -> Tensor:
        left = 10 * (0.5 + u) * (-0.5 - v).exp()
        right = 10 * (0.5 - u) * (v - 0.5).exp()
        return (-left).exp() + (-right).exp() - 2


class Demyanov(Surface):
    """cos(3πu(1 + 3v/2))/3: at u = ±⅓ both ends of v, where the cosine's argument is π/4 and 7π/4, reach √2/6."""

    name = "demyanov"
    value, solution = 2**0.5 / 6, (1 / 3, 0.5)

    @staticmethod
    def f(u: Tensor, v: Tensor) -> Tensor:
        return (3 * math.pi * u * (1 + 1.5 * v)).cos() / 3


class NoSaddle(Surface):
    """(u - v)² on [-1, 1]²: max_v is (1 + |u|)², least at u = 0, and gradient play ends in a corner, at 4."""

    name = "no-saddle"
    side = 1.0
    value, solution = 1.0, (0.0, 1.0)

    @staticmethod
    def f(u: Tensor, v: Tensor) -> Tensor:
        return (u - v) ** 2
