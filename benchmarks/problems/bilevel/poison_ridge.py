from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

import minimax as mm
from benchmarks.networks import seeded
from benchmarks.problem import Floor, Metric, Preset, Problem, Recipe, View
from minimax.projections import box, each
from minimax.transforms import bilevel

X, Y = (1.0, 2.0, -1.0, 0.5), (1.0, 2.2, -0.8, 0.3)
VALID = (1.5, -0.5, 1.0)  # y = x there
RIDGE, REACH_X, REACH_Y = 0.5, 2.0, 1.0


class PoisonRidge(Problem):
    """One poisoned point (x, y), |x| <= 2 and |y| <= 1, among four of a regression through 0: V .00205 becomes .20676.

    The leader maximises V = |X_v w - y_v|²/2n_v on three clean points, the follower minimises Σ (x_i w - y_i)²/2 +
    w²/4 over all five, here over their number. The two worst points are ±(2, -1). `value` is V at the exact answer.

    Source: Biggio, Nelson & Laskov, Poisoning Attacks against Support Vector Machines, 2012, for the task.
    """

    name = "poison-ridge"
    optimizers = ("stackelberg", "unrolled[steps=5]", "value-function[gamma=30.0;steps=5]")
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, evaluations=1),
        **dict.fromkeys(("cpu", "gpu"), Preset(4000, evaluations=20)),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.2))
    metrics = (
        Metric("value", "higher", range=(0, math.inf), headline=True, target=0.2067),
        Metric("x", better=None),
        Metric("y", better=None),
    )

    def players(self, seed: int) -> tuple[Any, ...]:
        x, y, w = seeded(seed, lambda: torch.rand(3) * torch.tensor([1.0, -0.5, 0.5]) + torch.tensor([0.5, 0.0, 0.0]))
        return {"x": x.to(self.device), "y": y.to(self.device)}, w.to(self.device)

    def game(self) -> mm.Game:
        x, y, valid = (torch.tensor(values, device=self.device) for values in (X, Y, VALID))

        def inner(poison: dict[str, Tensor], w: Tensor) -> Tensor:
            fit = (x * w - y).square().sum() + (poison["x"] * w - poison["y"]).square() + RIDGE * w.square()
            return fit / (2 * (len(X) + 1))

        def outer(poison: dict[str, Tensor], w: Tensor) -> Tensor:
            return -(valid * w - valid).square().mean() / 2

        return bilevel(outer, inner, constraints=(each(box(-REACH_X, REACH_X), box(-REACH_Y, REACH_Y)), None))

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        x, y = (float(view.players[0][name]) for name in ("x", "y"))
        return {"value": value(x, y), "x": x, "y": y}

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """One of the two worst points."""
        worst = {"x": torch.tensor(REACH_X, device=self.device), "y": torch.tensor(-REACH_Y, device=self.device)}
        return worst, torch.tensor(answer(REACH_X, -REACH_Y), device=self.device)

    def floors(self) -> Iterable[Floor]:
        return Floor("value", "clean", value(0.0, 0.0)), Floor("value", "optimum", value(REACH_X, -REACH_Y))


def answer(x: float, y: float) -> float:
    """The regression with the poison in it; a point at (0, 0) changes nothing."""
    curved = sum(x_i * x_i for x_i in X) + x * x + RIDGE
    return (sum(x_i * y_i for x_i, y_i in zip(X, Y, strict=True)) + x * y) / curved


def value(x: float, y: float) -> float:
    """V at the exact answer."""
    w = answer(x, y)
    return sum((v * w - v) ** 2 for v in VALID) / (2 * len(VALID))
