from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

import minimax as mm
from benchmarks import data as sets
from benchmarks.networks import seeded
from benchmarks.problem import Floor, Metric, Preset, Problem, Recipe, View
from benchmarks.problems.bilevel._by_value import lowest
from benchmarks.quality.labels import share
from minimax.projections import box
from minimax.transforms import bilevel

ROWS, RIDGE, BOX = 600, 0.01, (-6.0, 6.0)


class HyperClean(Problem):
    """Hyperparameter cleaning: weights σ(θ_i) of 600 digits, half of them with wrong labels, chosen on 600 others.

    The leader θ in [-6, 6] minimises V = |X_v W - Y_v|²/2n_v, the follower W, a linear classifier of one-hot labels,
    Σ_i σ(θ_i) |Wᵀx_i - y_i|²/2n + .01/2 |W|². V does not name θ. `value` is V at the exact answer W*(θ), and so is
    `test_accuracy`, on the other 597 digits.

    Source: Shaban, Cheng, Hatch & Boots, Truncated Back-propagation for Bilevel Optimization, 2019, for the task.
    """

    name = "hyperclean"
    optimizers = ("stackelberg", "unrolled")
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, evaluations=1),
        **dict.fromkeys(("cpu", "gpu"), Preset(16_000, evaluations=10)),  # seventeen gradients a step
    }
    recipe: ClassVar[Recipe] = Recipe((mm.adam(0.1), mm.sgd(0.2)))
    metrics = (
        Metric("value", range=(0, math.inf), headline=True, target=0.1711),
        Metric("test_accuracy", "higher", range=(0, 1), target=0.87),
    )

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare_table("digits-rows")

    @cached_property
    def rows(self) -> Rows:
        """The data."""
        table = sets.load_table("digits-rows", self.device)
        x, wrong = pad(table.x / 16, (0, 1), value=1.0), table.y[:ROWS].clone()
        wrong[::2] = (wrong[::2] + 1) % 10
        y = one_hot(torch.cat((wrong, table.y[ROWS:])), 10).to(x)
        return Rows(x[:ROWS], y[:ROWS], x[ROWS : 2 * ROWS], y[ROWS : 2 * ROWS], x[2 * ROWS :], table.y[2 * ROWS :])

    def players(self, seed: int) -> tuple[Any, ...]:
        x, y = self.rows.x, self.rows.y
        follower = seeded(seed, lambda: 0.01 * torch.randn(x.shape[1], y.shape[1]))
        return torch.zeros(ROWS, device=self.device), follower.to(x)

    def game(self) -> mm.Game:
        x, y = self.rows.x, self.rows.y

        def outer(θ: Tensor, w: Tensor) -> Tensor:
            return self.rows.error(w)

        def inner(θ: Tensor, w: Tensor) -> Tensor:
            return (θ.sigmoid() @ (x @ w - y).square().sum(1)) / (2 * ROWS) + RIDGE / 2 * w.square().sum()

        return bilevel(outer, inner, constraints=(box(*BOX), None))

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        return self.rows.judge(view.players[0].sigmoid())

    def perfect(self, seed: int) -> tuple[Any, ...]:
        """The best θ, by L-BFGS-B on the exact value; it takes a second."""
        best = lowest(lambda θ: self.rows.error(self.rows.answer(θ.to(self.rows.x).sigmoid())), torch.zeros(ROWS), *BOX)
        return best.to(self.rows.x), self.players(seed)[1]

    def floors(self) -> Iterable[Floor]:
        for what, weights in (("all-rows", torch.ones(ROWS)), ("optimum", self.perfect(0)[0].sigmoid().cpu())):
            for name, value in self.rows.judge(weights.to(self.rows.x)).items():
                yield Floor(name, what, value)
        x, y, x_valid, y_valid = self.rows[:4]
        others = {"right-rows": (x[1::2], y[1::2]), "validation-rows": (x_valid, y_valid)}
        others["with-validation"] = torch.cat((x, x_valid)), torch.cat((y, y_valid))
        for what, rows in others.items():
            yield Floor("test_accuracy", what, self.rows.accuracy(ridge(*rows, torch.ones_like(rows[0][:, 0]))))


class Rows(NamedTuple):
    """Digits with an intercept, one-hot labels; of the test rows the classes."""

    x: Tensor
    y: Tensor
    x_valid: Tensor
    y_valid: Tensor
    x_test: Tensor
    test: Tensor

    def answer(self, weights: Tensor) -> Tensor:
        """W* = (XᵀDX/n + .01 I)⁻¹ XᵀDY/n, D the weights."""
        return ridge(self.x, self.y, weights)

    def error(self, w: Tensor) -> Tensor:
        """V = |X_v W - Y_v|²/2n_v."""
        return (self.x_valid @ w - self.y_valid).square().sum() / (2 * len(self.x_valid))

    def judge(self, weights: Tensor) -> dict[str, float]:
        """The metrics of weights of the rows."""
        w = self.answer(weights)
        return {"value": float(self.error(w)), "test_accuracy": self.accuracy(w)}

    def accuracy(self, w: Tensor) -> float:
        """On the test rows."""
        return share((self.x_test @ w).argmax(1) == self.test)


def ridge(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """The classifier of weighted rows."""
    weighted = x * weights[:, None] / len(x)
    return torch.linalg.solve(weighted.T @ x + RIDGE * torch.eye(x.shape[1]).to(x), weighted.T @ y)
