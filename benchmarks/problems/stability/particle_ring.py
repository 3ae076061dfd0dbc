"""32 free points against eight points of a ring: a GAN without generator, noise or sampling.

What fails here fails for the critic's sake: every step sees all the data, and the points can go anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.data import Ring
from benchmarks.networks import MLP, seeded
from benchmarks.pictures import MODES
from benchmarks.problem import Floor, Metric, Pictures, Preset, Problem, Recipe, View
from benchmarks.problems.stability._parts import METHODS
from minimax.penalties import r1, r2

EACH = 4  # points that a perfect player puts on each of the ring's


class ParticleRing(Problem):
    """Points x, (32, 2), from a normal distribution, against a critic 2-64-64-1; the ring's radius is 1.

    `w2` is the Wasserstein distance between the points and the ring's, four times each: the best assignment of all.
    """

    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(20, evaluations=2, options={"width": 8}),
        "cpu": Preset(1000, evaluations=20, options={"width": 64}),
        "gpu": Preset(1000, evaluations=20, options={"width": 64}),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-2, betas=(0.0, 0.99)), order=(1, 0), decay=True)
    optimizers: ClassVar[tuple[str, ...]] = METHODS

    @property
    def real(self) -> Tensor:
        """The data, every point as often as a perfect player has it, (32, 2)."""
        return Ring(radius=1.0).means().repeat(EACH, 1).to(self.device)

    def players(self, seed: int) -> tuple[Any, ...]:
        width = self.preset.options["width"]
        x, d = seeded(seed, lambda: (torch.randn(self.real.shape), MLP((2, width, width, 1))))
        return x.to(self.device), d.to(self.device)

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """The points on the ring's."""
        return self.real, self.players(seed)[1]

    @property
    def metrics(self) -> Sequence[Metric]:
        return (
            Metric("w2", range=(0, math.inf), headline=True, target=0.05),
            Metric("modes", "higher", range=(0, 8), coverage=True, gate=4),
        )

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        x = view.players[0]
        near = torch.cdist(x.double(), self.real[:8].double()) < 0.1
        return {"w2": wasserstein(x, self.real), "modes": float(near.any(0).sum())}

    def floors(self) -> Iterable[Floor]:
        one = self.real[:1].expand_as(self.real)
        return Floor("w2", "real", 0.0), Floor("w2", "one mode", wasserstein(one, self.real)), Floor("modes", "real", 8)

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        return {"samples": view.players[0].cpu().numpy()}

    def truths(self) -> Pictures:
        return {"samples": self.real.cpu().numpy(), MODES: self.real[:8].cpu().numpy()}


class PlainParticleRing(ParticleRing):
    """NS-GAN: x minimises E softplus(-D(x)), D minimises E softplus(-D(r)) + E softplus(D(x))."""

    name = "particle-ring"

    def game(self) -> mm.Game:
        real = self.real
        return mm.Game(generator_loss, lambda x, d: critic_loss(x, d, real))


class R1ParticleRing(ParticleRing):
    """The same with R1, ½ E|∇D(r)|², on the critic's loss."""

    name = "particle-ring-r1"

    def game(self) -> mm.Game:
        real = self.real
        return mm.Game(generator_loss, lambda x, d: critic_loss(x, d, real) + r1(d, real) / 2)


class RelativisticParticleRing(ParticleRing):
    """Pairs (r, x) by index, E softplus(D(r) - D(x)) for x and E softplus(D(x) - D(r)) for D, with R1 + R2, ½ each.

    Source: Huang, Gokaslan, Kuleshov & Tompkin, The GAN is dead; long live the GAN! A Modern Baseline GAN, 2024.
    """

    name = "particle-ring-r3"

    def game(self) -> mm.Game:
        real = self.real
        return mm.Game(
            lambda x, d: softplus(d(real) - d(x)).mean(),
            lambda x, d: softplus(d(x) - d(real)).mean() + (r1(d, real) + r2(d, x)) / 2,
        )


def generator_loss(x: Tensor, d: nn.Module) -> Tensor:
    """E softplus(-D(x))."""
    return softplus(-d(x)).mean()


def critic_loss(x: Tensor, d: nn.Module, real: Tensor) -> Tensor:
    """E softplus(-D(r)) + E softplus(D(x))."""
    return softplus(-d(real)).mean() + softplus(d(x)).mean()


def wasserstein(x: Tensor, y: Tensor) -> float:
    """W₂ of as many points x as y, (n, d), each of weight 1/n: the root of the least mean square of an assignment.

    nan where a point is not finite.

    >>> wasserstein(torch.tensor([[0.0], [3.0]]), torch.tensor([[3.0], [1.0]])) ** 2
    0.5000000000000001
    """
    if not bool(x.isfinite().all()):
        return math.nan
    costs = torch.cdist(x.double(), y.double()).square().cpu().numpy()
    return math.sqrt(costs[linear_sum_assignment(costs)].mean())
