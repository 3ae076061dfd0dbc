from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

import minimax as mm
from benchmarks import data as sets
from benchmarks.networks import seeded
from benchmarks.pictures import Picture
from benchmarks.problem import Floor, Memory, Metric, Pictures, Preset, Problem, Recipe, View
from benchmarks.problems.bilevel._by_value import drawn, lowest
from minimax.projections import box
from minimax.transforms import bilevel

BOUNDS = -10.0, 6.0  # of log λ
FEATURES = 10


class Ridge(Problem):
    """The weight of ridge regression, on diabetes: log λ = θ leads, the regression w follows.

    θ in [-10, 6] minimises V = |X_v w - y_v|²/2n_v on the odd rows, and does not occur in it; w minimises |X w -
    y|²/2n + e^θ |w|²/2 on the even ones. `value` is V at the exact answer w(θ), whatever w was played: the best is
    .240801083026, at θ = -2.0256, and least squares have .243095.

    Source: Bengio, Gradient-Based Optimization of Hyperparameters, 2000, for the task.
    """

    name = "ridge"
    weights: ClassVar[int] = 1
    """How many weights λ there are."""
    optimizers: ClassVar[tuple[str, ...]] = (
        "stackelberg[iterations=20;steps=5]",
        "unrolled[steps=20]",
        "value-function[lr=0.3;steps=5]",
    )
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, evaluations=1),
        **dict.fromkeys(("cpu", "gpu"), Preset(20_000, evaluations=20)),
    }
    recipe: ClassVar[Recipe] = Recipe((mm.sgd(10.0), mm.sgd(0.3)))
    best: ClassVar[float] = 0.240801083026

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (
            Metric("value", range=(0, math.inf), headline=True, target=self.best + 1e-6),
            Metric("gap", range=(0, math.inf)),
            Metric("theta", better=None),
        )

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare_table("diabetes")

    @cached_property
    def rows(self) -> Halves:
        """The data, features of unit variance and a standardised target, in double precision."""
        table = sets.load_table("diabetes", self.device)
        x, y = table.x.double() * math.sqrt(len(table.x)), table.y.double()
        y = (y - y.mean()) / y.std(correction=0)
        return Halves(x[::2], y[::2], x[1::2], y[1::2])

    def players(self, seed: int) -> tuple[Any, ...]:
        leader = torch.zeros(()) if self.weights == 1 else torch.zeros(self.weights)
        return leader.to(self.device), seeded(seed, lambda: 0.1 * torch.randn(FEATURES)).to(self.device)

    def game(self) -> mm.Game:
        x, y, x_valid, y_valid = (part.to(torch.get_default_dtype()) for part in self.rows)

        def outer(θ: Tensor, w: Tensor) -> Tensor:
            return (x_valid @ w - y_valid).square().mean() / 2

        def inner(θ: Tensor, w: Tensor) -> Tensor:
            return (x @ w - y).square().mean() / 2 + (θ.exp() * w.square()).sum() / 2

        return bilevel(outer, inner, constraints=(box(*BOUNDS), None))

    def memory(self, seed: int) -> Memory:
        """Where θ has been."""
        return {"path": self.players(seed)[0].reshape(1, -1)}

    def remember(self, memory: Memory, players: tuple[Any, ...], batch: Any) -> Memory:
        assert memory is not None
        return {"path": torch.cat([memory["path"], players[0].detach().reshape(1, -1)])}

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        θ, w = (player.double() for player in view.players)
        answer = self.rows.answer(θ)
        return {
            "value": float(self.rows.error(answer)),
            "gap": float((w - answer).norm()),
            "theta": float(θ.reshape(-1)[0]),
        }

    @cached_property
    def optimum(self) -> Tensor:
        """The best θ."""
        return lowest(lambda θ: self.rows.error(self.rows.answer(θ)), self.players(0)[0].double() - 2, *BOUNDS)

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """The best θ and its answer."""
        return tuple(player.to(torch.get_default_dtype()) for player in (self.optimum, self.rows.answer(self.optimum)))

    def floors(self) -> Iterable[Floor]:
        none = torch.tensor(-math.inf, dtype=torch.float64, device=self.device)
        for what, θ in (("least-squares", none), ("lambda-1", 0 * none.exp()), ("optimum", self.optimum)):
            yield Floor("value", what, float(self.rows.error(self.rows.answer(θ))))

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        """V of one λ for all, and the path of θ's mean on it, its end in red."""
        assert view.memory is not None
        θ = torch.linspace(-8, 4, 97, dtype=torch.float64, device=self.device)
        path = view.memory["path"].double().mean(1)
        curve, walked = (
            [(float(t), float(self.rows.error(self.rows.answer(t)))) for t in each] for each in (θ, path[::20])
        )
        end = float(path[-1]), float(self.rows.error(self.rows.answer(view.players[0].double())))
        about = "V over the log of one weight for all in grey, where θ went on average in black, its end in red"
        return {"path": Picture(drawn([curve, walked], [end]), about=about)}


class RidgeFeatures(Ridge):
    """A weight of ridge regression for every feature, as `Ridge` with e^θ_j w_j²: V .2304179931 at best.

    Source: Bengio, Gradient-Based Optimization of Hyperparameters, 2000, for the task.
    """

    name = "ridge-features"
    weights = FEATURES
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, evaluations=1),
        **dict.fromkeys(("cpu", "gpu"), Preset(40_000, evaluations=20)),
    }
    recipe: ClassVar[Recipe] = Recipe((mm.adam(1.0), mm.adam(0.02)), decay=True)
    optimizers = ("stackelberg[iterations=20;steps=20]", "value-function[lr=(0.05,0.02);steps=20]")
    best = 0.2304179931


class Halves(NamedTuple):
    """Rows to fit on, and rows to validate on."""

    x: Tensor
    y: Tensor
    x_valid: Tensor
    y_valid: Tensor

    def answer(self, θ: Tensor) -> Tensor:
        """w = (XᵀX/n + diag e^θ)⁻¹ Xᵀy/n."""
        system = self.x.T @ self.x / len(self.x) + torch.diag(θ.exp().expand(self.x.shape[1]))
        return torch.linalg.solve(system, self.x.T @ self.y / len(self.x))

    def error(self, w: Tensor) -> Tensor:
        """V."""
        return (self.x_valid @ w - self.y_valid).square().mean() / 2
