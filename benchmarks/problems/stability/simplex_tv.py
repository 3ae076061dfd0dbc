"""A generator of ten atoms by a softmax, against a critic of ten numbers.

With D in [-1, 1] the critic's best answer is the total variation. Next to it: a ridge on D, and a logistic critic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.networks import seeded
from benchmarks.problem import Floor, Metric, Preset, Problem, Recipe, View
from benchmarks.problems.stability._parts import METHODS, with_ridge
from minimax.projections import box

RIDGE = 0.1


class Simplex(Problem):
    """Logits x of q = softmax(x) against D, one number an atom; p_k is proportional to k. `tv` is ½ Σ|p - q|."""

    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(20, evaluations=2, options={"atoms": 4}),
        # Extragradient takes two gradients a step, and 5,000 steps to get there.
        "cpu": Preset(10_000, evaluations=50, options={"atoms": 10}),
        "gpu": Preset(10_000, evaluations=50, options={"atoms": 10}),
    }
    recipe: ClassVar[Recipe] = Recipe((mm.sgd(4.0), mm.sgd(0.4)), order=(1, 0))
    optimizers: ClassVar[tuple[str, ...]] = METHODS

    @property
    def atoms(self) -> Tensor:
        """p, (atoms,)."""
        weights = torch.arange(1.0, self.preset.options["atoms"] + 1, device=self.device)
        return weights / weights.sum()

    def players(self, seed: int) -> tuple[Any, ...]:
        x = seeded(seed, lambda: torch.randn(self.atoms.shape)).to(self.device)
        return x, torch.zeros_like(x)

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """q = p, D = 0."""
        return self.atoms.log(), torch.zeros_like(self.atoms)

    @property
    def metrics(self) -> Sequence[Metric]:
        return (Metric("tv", range=(0, 1), headline=True, target=0.01),)

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        return {"tv": total_variation(self.atoms, view.players[0].softmax(0))}

    def floors(self) -> Iterable[Floor]:
        p = self.atoms
        return Floor("tv", "equilibrium", 0.0), Floor(
            "tv", "uniform", total_variation(p, torch.full_like(p, 1 / len(p)))
        )


class SimplexTV(Simplex):
    """min over x, max over D in [-1, 1] of Σ (p_k - q_k) D_k, whose value is 2 TV."""

    name = "simplex-tv"

    def game(self) -> mm.Game:
        return variation_game(self.atoms)


class RidgeSimplexTV(Simplex):
    """The same with .1 |D|²/2 on the critic's loss."""

    name = "simplex-tv-ridge"

    def game(self) -> mm.Game:
        return with_ridge(variation_game(self.atoms), RIDGE)


class LogisticSimplex(Simplex):
    """min over x, max over D of Σ p_k log σ(D_k) + q_k log σ(-D_k): the curvature of the critic holds it.

    At p uniform on n atoms the eigenvalues are (1 ± i√3)/4n: stable below a step of 2n.
    """

    name = "simplex-logistic"

    def game(self) -> mm.Game:
        return logistic_game(self.atoms)


def variation_game(p: Tensor) -> mm.Game:
    """Σ (p_k - q_k) D_k with D in [-1, 1]."""
    return mm.zero_sum(lambda x, D: (p - x.softmax(0)) @ D, constraints=(None, box(-1.0, 1.0)))


def logistic_game(p: Tensor) -> mm.Game:
    """Σ p_k log σ(D_k) + q_k log σ(-D_k)."""
    return mm.zero_sum(lambda x, D: -p @ softplus(-D) - x.softmax(0) @ softplus(D))


def total_variation(p: Tensor, q: Tensor) -> float:
    """½ Σ|p - q|.

    >>> round(total_variation(torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.1, 0.6, 0.3])), 6)
    0.4
    """
    return float((p - q).abs().sum() / 2)
