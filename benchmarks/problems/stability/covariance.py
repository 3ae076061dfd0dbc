"""A WGAN with a quadratic critic learns a covariance: what it takes to end a rotation.

Source: Daskalakis, Ilyas, Syrgkanis & Zeng, Training GANs with Optimism, 2018.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

import minimax as mm
from benchmarks.networks import seeded
from benchmarks.problem import Floor, Metric, Preset, Problem, Recipe, View
from benchmarks.problems.stability._parts import METHODS, with_ridge
from minimax import games
from minimax.games import ClosedForm

RIDGE = 0.5


class CovarianceGame(Problem):
    """tr W(Σ - VVᵀ) from V = N/√d with normal N, and W = 0; `error` is |VVᵀ - Σ| / |Σ|."""

    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(20, evaluations=2, options={"dim": 2}),
        "cpu": Preset(3000, evaluations=60, options={"dim": 3}),
        "gpu": Preset(3000, evaluations=60, options={"dim": 10}),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.1), order=(1, 0))
    optimizers: ClassVar[tuple[str, ...]] = (
        *METHODS,
        "alternating[steps=(1,5)]",
        "alternating[momentum=-0.5]",
        "alternating[rule=adam;betas=(0.5,0.999)]",
    )

    @cached_property
    def closed(self) -> ClosedForm:
        """The game and one of its equilibria, on the device."""
        with self.device:
            return games.covariance_gan(self.preset.options["dim"])

    @property
    def covariance(self) -> Tensor:
        """Σ, (dim, dim)."""
        root: Tensor = self.closed.equilibrium[0]
        return root @ root.T

    def players(self, seed: int) -> tuple[Any, ...]:
        dim = self.preset.options["dim"]
        V = seeded(seed, lambda: torch.randn(dim, dim)) / math.sqrt(dim)
        return V.to(self.device), torch.zeros(dim, dim, device=self.device)

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """An equilibrium."""
        return tuple(self.closed.equilibrium)

    @property
    def metrics(self) -> Sequence[Metric]:
        return Metric("error", range=(0, math.inf), headline=True, target=0.05), Metric("critic", range=(0, math.inf))

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        V, W = view.players
        return {
            "error": float((V @ V.T - self.covariance).norm() / self.covariance.norm()),
            "critic": float(W.norm()),
        }

    def floors(self) -> Iterable[Floor]:
        return Floor("error", "equilibrium", 0.0), Floor("error", "V = 0", 1.0), Floor("critic", "equilibrium", 0.0)


class Covariance(CovarianceGame):
    """min over V, max over W of tr W(Σ - VVᵀ): eigenvalues ±i√(2(λ_j + λ_k)), and it rotates for ever."""

    name = "covariance"

    def game(self) -> mm.Game:
        return self.closed.game


class RidgeCovariance(CovarianceGame):
    """The same with .5 |W|²/2 on the critic's loss: alternating play converges."""

    name = "covariance-ridge"
    optimizers: ClassVar[tuple[str, ...]] = METHODS

    def game(self) -> mm.Game:
        return with_ridge(self.closed.game, RIDGE)
