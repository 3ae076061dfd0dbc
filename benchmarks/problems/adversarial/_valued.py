"""What games with a known value share: the first player is scored by V(x) = max_y f(x, y), never by its opponent."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

import minimax as mm
from benchmarks import data as sets
from benchmarks.problem import Floor, Metric, Preset, Problem, View

START = -1  # the draw that players are made of


class Instance(ABC):
    """A game of tensors in double precision, of which the answer is known.

    The first player decides, the second one, where there is one, answers.
    """

    @abstractmethod
    def game(self) -> mm.Game:
        """The losses."""

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """V(x) = L_1(x, y(x)), where y(x) is the best answer."""

    @abstractmethod
    def saddle(self) -> tuple[Tensor, ...]:
        """Where V is least, and the answer to it at which play comes to rest."""

    def scores(self, x: Tensor) -> dict[str, float]:
        """What else is exact about the first player."""
        return {}

    def naive(self) -> Mapping[str, Tensor]:
        """Who plays first without a thought of the opponent, by what they are called."""
        return {}


class Valued(Problem):
    """A game with a known value: `excess` V(x) - min V, and the `distance` |x - x*|, of the first player alone."""

    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(10, evaluations=2),
        **dict.fromkeys(("cpu", "gpu"), Preset(3000, evaluations=30)),
    }
    others: ClassVar[tuple[Metric, ...]] = ()
    """What the instance scores beside."""
    target: ClassVar[float | None] = 1e-4
    """The excess that a good run ends with."""
    spread: ClassVar[float] = 0.5
    """Players start as far around the answer, in every coordinate, and are projected on what they may be."""

    @abstractmethod
    def build(self) -> Instance:
        """The instance."""

    @cached_property
    def instance(self) -> Instance:
        """The instance, on the device."""
        with self.device:
            return self.build()

    @cached_property
    def saddle(self) -> tuple[Tensor, ...]:
        """The answer, on the device."""
        with self.device, torch.no_grad():
            return tuple(z.to(self.device) for z in self.instance.saddle())

    def game(self) -> mm.Game:
        return self.instance.game()

    def players(self, seed: int) -> tuple[Any, ...]:
        stream = self.generator(seed, START)
        drawn = [torch.randn(z.shape, generator=stream, dtype=z.dtype, device=self.device) for z in self.saddle]
        return allowed(self.game(), tuple(z + self.spread * d for z, d in zip(self.saddle, drawn, strict=True)))

    def perfect(self, seed: int) -> tuple[Any, ...] | None:
        """The answer."""
        return tuple(z.clone() for z in self.saddle)

    @property
    def metrics(self) -> Sequence[Metric]:
        least = Metric("excess", range=(0, math.inf), headline=True, target=self.target)
        return least, Metric("distance", range=(0, math.inf)), *self.others

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        return self.judge(view.players[0])

    def judge(self, x: Tensor) -> dict[str, float]:
        """The metrics of a first player."""
        best = self.saddle[0]
        excess = float(self.instance.value(x) - self.instance.value(best))
        return {"excess": excess, "distance": float((x - best).norm()), **self.instance.scores(x)}

    @torch.no_grad()
    def floors(self) -> Iterable[Floor]:
        """What those score who play without a thought of the opponent, and the answer."""
        for what, x in {**self.instance.naive(), "answer": self.saddle[0]}.items():
            for name, value in self.judge(x.to(self.device)).items():
                yield Floor(name, what, value)


def allowed(game: mm.Game, players: tuple[Any, ...]) -> tuple[Any, ...]:
    """The nearest players who keep their constraints."""
    oracle, z = game.enter(players)
    nearest: tuple[Any, ...] = oracle.leave(tuple(oracle.project(i, z_i) for i, z_i in enumerate(z)))
    return nearest


def least(f: Callable[[Tensor], Tensor], start: Tensor, low: Tensor | None = None) -> Tensor:
    """Where a smooth function of a vector is least, by L-BFGS-B from a start, all of it at least `low`.

    >>> least(lambda x: (x - 1).square().sum(), torch.zeros(2, dtype=torch.float64))
    tensor([1., 1.], dtype=torch.float64)
    """

    def both(x: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.from_numpy(x).to(start).requires_grad_()
        with torch.enable_grad():
            value = f(at)
            (slope,) = torch.autograd.grad(value, at)
        return float(value.detach()), slope.cpu().numpy()

    bounds = None if low is None else [(float(a), None) for a in low]
    tight = {"ftol": 1e-16, "gtol": 1e-11, "maxiter": 20_000, "maxfun": 100_000, "maxcor": 30}
    end = minimize(both, start.cpu().numpy(), jac=True, method="L-BFGS-B", bounds=bounds, options=tight)
    return torch.from_numpy(end.x).to(start)


def double(rows: Any) -> Tensor:
    """Numbers as a tensor in double precision."""
    return torch.as_tensor(rows, dtype=torch.float64)


def standardised(x: Tensor) -> Tensor:
    """Columns of mean 0 and variance 1, the population's."""
    return (x - x.mean(0)) / x.std(0, correction=0)


def diabetes(device: sets.Device) -> tuple[Tensor, Tensor]:
    """The diabetes data, standardised, in double precision: features (442, 10) and the disease's progress (442,)."""
    table = sets.load_table("diabetes", device, torch.float64)
    return standardised(table.x), standardised(table.y.to(table.x))
