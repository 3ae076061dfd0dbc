from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

import minimax as mm
from benchmarks import data as sets
from benchmarks.networks import seeded
from benchmarks.pictures import Picture
from benchmarks.problem import Floor, Metric, Pictures, Preset, Problem, Recipe, View
from benchmarks.problems.bilevel._by_value import lowest
from benchmarks.quality.labels import share
from minimax.projections import box
from minimax.transforms import bilevel

TRAIN, VALID, POISONED, RIDGE = 150, 100, 8, 1.0
CLASSES = 1, 7


class PoisonDigits(Problem):
    """Eight poisoned images with wrong labels among 150 of ones and sevens: V of a ridge classifier .0358 -> .4284.

    The leader moves pixels within [0, 1], from those of rows 0-7, whose labels are flipped, and maximises V = |X_v w -
    y_v|²/2n_v on 100 clean rows; the follower fits y = ±1 to all, |X w - y|²/2 + |w|²/2 with an intercept, here over
    n. `value` and `accuracy`, on 111 other rows, are those of the exact answer. What flipping labels alone does is a
    floor.

    Source: Biggio, Nelson & Laskov, Poisoning Attacks against Support Vector Machines, 2012, for the task.
    """

    name = "poison-digits"
    optimizers = ("stackelberg[iterations=30;steps=10]", "unrolled[steps=10]")
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, evaluations=1),
        **dict.fromkeys(("cpu", "gpu"), Preset(15_000, evaluations=10)),
    }
    recipe: ClassVar[Recipe] = Recipe((mm.adam(0.1), mm.sgd(0.15)), decay=True)
    metrics = (
        Metric("value", "higher", range=(0, math.inf), headline=True, target=0.424),
        Metric("accuracy", "lower", range=(0, 1)),
    )

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare_table("digits-rows")

    @cached_property
    def rows(self) -> Rows:
        """The data, in double precision."""
        table = sets.load_table("digits-rows", self.device)
        kept = (table.y == CLASSES[0]) | (table.y == CLASSES[1])
        x, y = table.x[kept].double() / 16, 2.0 * (table.y[kept] == CLASSES[0]).double() - 1
        return Rows(*(part for ends in PARTS for part in (x[ends], y[ends])))

    def players(self, seed: int) -> tuple[Any, ...]:
        follower = seeded(seed, lambda: 0.01 * torch.randn(self.rows.x.shape[1] + 1))
        return self.rows.x[:POISONED].to(follower.dtype), follower.to(self.device)

    def game(self) -> mm.Game:
        x, y, x_valid, y_valid, *_ = (part.to(torch.get_default_dtype()) for part in self.rows)
        wrong = -y[:POISONED]

        def outer(poison: Tensor, w: Tensor) -> Tensor:
            return -(intercepted(x_valid) @ w - y_valid).square().mean() / 2

        def inner(poison: Tensor, w: Tensor) -> Tensor:
            clean, added = (intercepted(x) @ w - y).square().sum(), (intercepted(poison) @ w - wrong).square().sum()
            return (clean + added + RIDGE * w.square().sum()) / (2 * (TRAIN + POISONED))

        return bilevel(outer, inner, constraints=(box(0.0, 1.0), None))

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        return self.rows.judge(view.players[0].double())

    @cached_property
    def optimum(self) -> Tensor:
        """The worst images that L-BFGS-B finds; from random images it finds others that are as bad to six digits."""
        return lowest(lambda x: -self.rows.error(self.rows.answer(x)), self.rows.x[:POISONED], 0.0, 1.0)

    def perfect(self, seed: int) -> tuple[Any, ...]:
        worst = self.optimum
        return tuple(part.to(torch.get_default_dtype()) for part in (worst, self.rows.answer(worst)))

    def floors(self) -> Iterable[Floor]:
        kept = self.rows.x[:POISONED]
        for what, poison in (("clean", kept[:0]), ("flipped-labels", kept), ("optimum", self.optimum)):
            for name, value in self.rows.judge(poison).items():
                yield Floor(name, what, value)

    def pictures(self, view: View) -> Pictures:
        """The poisoned images, below what they were."""
        rows = [_row(images) for images in (self.rows.x[:POISONED], view.players[0])]
        return {"poison": Picture(torch.cat(rows).cpu().numpy(), rows=("before", "poisoned"))}


PARTS = slice(0, TRAIN), slice(TRAIN, TRAIN + VALID), slice(TRAIN + VALID, None)


def intercepted(x: Tensor) -> Tensor:
    """A constant beside the pixels."""
    return pad(x, (0, 1), value=1.0)


def _row(images: Tensor) -> Tensor:
    grey = (255 * images.double().nan_to_num().clamp(0, 1)).to(torch.uint8).reshape(-1, 8, 8)
    return torch.cat(list(pad(grey, (1, 1, 1, 1)).repeat_interleave(3, 1).repeat_interleave(3, 2)), 1)


class Rows(NamedTuple):
    """Images as rows of pixels, labels ±1: to fit on, to validate on, to test on."""

    x: Tensor
    y: Tensor
    x_valid: Tensor
    y_valid: Tensor
    x_test: Tensor
    y_test: Tensor

    def answer(self, poison: Tensor) -> Tensor:
        """The ridge classifier of all rows and the poison, which bears the labels of the first rows, flipped."""
        x = intercepted(torch.cat([self.x, poison]))
        y = torch.cat([self.y, -self.y[: len(poison)]])
        return torch.linalg.solve(x.T @ x + RIDGE * torch.eye(x.shape[1]).to(x), x.T @ y)

    def error(self, w: Tensor) -> Tensor:
        """V = |X_v w - y_v|²/2n_v."""
        return (intercepted(self.x_valid) @ w - self.y_valid).square().mean() / 2

    def judge(self, poison: Tensor) -> dict[str, float]:
        """The metrics of poisoned images."""
        w = self.answer(poison)
        right = (intercepted(self.x_test) @ w > 0) == (self.y_test > 0)
        return {"value": float(self.error(w)), "accuracy": share(right)}
