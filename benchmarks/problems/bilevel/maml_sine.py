"""Sinusoids of ten points each: networks that learn a new one in a few steps, by MAML and three of its kin."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

import minimax as mm
from benchmarks.pictures import Picture
from benchmarks.problem import Batch, Floor, Memory, Metric, Pictures, Preset, Problem, Recipe, View
from benchmarks.problems.bilevel._adaptation import Weights, adapt, initial, maml, network, reptile, tasks, zeros
from benchmarks.problems.bilevel._by_value import drawn

AMPLITUDE, PHASE, REACH, SHOTS = (0.1, 5.0), (0.0, math.pi), 5.0, 10
RULE = mm.sgd(0.01)


def error(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """The mean squared error of every task."""
    return (network(weights, x) - y).square().mean((1, 2))


class MamlSine(Problem):
    """Learning to fit y = a sin(x - φ), a in [.1, 5], φ in [0, π], from ten points x in [-5, 5], by a step of .01.

    One player, the weights of a 1-40-40-1 network, pays for what each of 25 tasks' own copy errs on ten more points
    after a step along the gradient of ten, and is differentiated through that step. `mse_k` is the error on new tasks
    after k steps. Nothing that does not adapt has less than 3.0056694.

    Source: Finn, Abbeel & Levine, Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks, 2017.
    """

    name = "maml-sine"
    optimizers: ClassVar[tuple[str, ...]] = ("simultaneous",)
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, 4, evaluations=1, samples=8, options={"width": 8}),
        **dict.fromkeys(("cpu", "gpu"), Preset(10_000, 25, evaluations=10, samples=200, options={"width": 40})),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.adam(2e-3))
    steps: ClassVar[tuple[int, ...]] = (0, 1, 5, 10)
    """Of adaptation, after which it is scored."""
    metrics = (
        Metric("mse_1", range=(0, math.inf), headline=True, target=0.8),
        Metric("mse_5", range=(0, math.inf), target=0.4),
        Metric("mse_10", range=(0, math.inf)),
        Metric("mse_0", None, range=(0, math.inf)),
    )

    def players(self, seed: int) -> tuple[Any, ...]:
        width = self.preset.options["width"]
        return (initial(seed, (1, width, width, 1), self.device),)

    def game(self) -> mm.Game:
        return maml(error, RULE, 1, self.start)

    def start(self, batch: Batch) -> Weights:
        """Nothing added yet."""
        return zeros(self.players(0)[0], len(batch["x"]))

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        return self.sinusoids(self.generator(seed, draw), self.preset.batch, SHOTS)

    def sinusoids(self, stream: torch.Generator, count: int, queries: int) -> Batch:
        """Tasks: shots and queries, (tasks, n, 1)."""

        def uniform(low: float, high: float, n: int) -> Tensor:
            return low + (high - low) * torch.rand(count, n, 1, generator=stream, device=self.device)

        a, φ, x, q = (
            uniform(*AMPLITUDE, 1),
            uniform(*PHASE, 1),
            uniform(-REACH, REACH, SHOTS),
            uniform(-REACH, REACH, queries),
        )
        return {"x": x, "y": a * (x - φ).sin(), "x_query": q, "y_query": a * (q - φ).sin()}

    @cached_property
    def fresh(self) -> Batch:
        """The tasks that adaptation is scored on, of a hundred queries each."""
        return self.sinusoids(self.generator(10_000, 0), self.preset.samples, 100)

    def evaluate(self, view: View) -> dict[str, float]:
        return self.judge(view.players[0])

    @torch.no_grad()
    def judge(self, θ: Weights) -> dict[str, float]:
        """The metrics of initial weights."""
        x, y = (self.fresh[f"{name}_query"] for name in ("x", "y"))
        return {f"mse_{k}": float(error(self.after(θ, k), x, y).mean()) for k in self.steps}

    def after(self, θ: Weights, steps: int) -> Weights:
        """θ adapted to the fresh tasks."""
        return adapt(error, θ, self.fresh, self.start, RULE, steps)

    def floors(self) -> Iterable[Floor]:
        yield from (Floor(f"mse_{k}", "without-adaptation", unadapted()) for k in self.steps)
        for name, value in self.judge(self.players(0)[0]).items():
            yield Floor(name, "untrained", value)

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        """A new sinusoid, and the network before, after some steps on a few points of it, and after the most."""
        x = torch.linspace(-REACH, REACH, 120, device=self.device)[:, None]
        order = self.fresh["x_query"][0, :, 0].argsort()
        true = torch.cat([self.fresh["x_query"][0], self.fresh["y_query"][0]], 1)[order].tolist()
        shots = torch.cat([self.fresh["x"][0], self.fresh["y"][0]], 1).tolist()
        panels = []
        shown = (*self.steps[:2], self.steps[-1])
        for k in shown:
            curve = network(self.after(view.players[0], k), x.expand(len(self.fresh["x"]), *x.shape))[0]
            panels.append(torch.from_numpy(drawn([true, torch.cat([x, curve], 1).tolist()], shots)))
        about = "a new sinusoid in grey, the points to learn from in red, the network before and after it has in black"
        return {
            "adaptation": Picture(
                torch.cat(panels).numpy(), tuple(f"{k} step{'s' * (k != 1)}" for k in shown), about=about
            )
        }


class FirstOrderSine(MamlSine):
    """First-order MAML on sinusoids: the gradient at the adapted weights, as if adaptation did not depend on θ.

    Source: Finn, Abbeel & Levine, Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks, 2017.
    """

    name = "maml-sine-first-order"
    leaves_out = "how the adapted weights depend on where they start"
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": MamlSine.presets["smoke"],
        **dict.fromkeys(("cpu", "gpu"), Preset(5000, 25, evaluations=10, samples=200, options={"width": 40})),
    }

    def game(self) -> mm.Game:
        return maml(error, RULE, 1, self.start, whole=False)


class ReptileSine(MamlSine):
    """Reptile on sinusoids: the weights move towards those that ten steps adapt to each of 25 tasks.

    Source: Nichol, Achiam & Schulman, On First-Order Meta-Learning Algorithms, 2018.
    """

    name = "reptile-sine"
    leaves_out = "how the adapted weights depend on where they start"
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": MamlSine.presets["smoke"],
        **dict.fromkeys(("cpu", "gpu"), Preset(20_000, 25, evaluations=10, samples=200, options={"width": 40})),
    }

    def game(self) -> mm.Game:
        return reptile(error, RULE, 10, self.start)


class ImamlSine(MamlSine):
    """Implicit MAML on sinusoids: every task's weights are a follower that fits its shots from θ on and stays near.

    The follower δ moves 24 times by .0025 down Σ_t mse_t(θ + δ_t) + λ|δ_t|²/2 on the shots, λ = 2, from δ = 0 on tasks
    that are drawn anew, and the leader θ pays for the error on the queries, through the follower's answer and not
    through its moves. `mse_k` is the error on new tasks after k such moves; 24 are as long as six of `maml-sine`. Early
    on mse_t is bent down to -6.6, more than λ makes up for: it takes the damping of the leader's system, 10, for
    conjugate gradients to have a definite one. The largest curvature grows to 500, below the 2/.0025 that the follower
    can follow.

    Source: Rajeswaran, Finn, Kakade & Levine, Meta-Learning with Implicit Gradients, 2019.
    """

    name = "imaml-sine"
    version = 2
    optimizers = ("stackelberg[anew=true;damping=10;iterations=5;steps=24]",)
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": MamlSine.presets["smoke"],
        # steps of fifty gradients: 1,200
        **dict.fromkeys(("cpu", "gpu"), Preset(60_000, 25, evaluations=10, samples=200, options={"width": 40})),
    }
    follower: ClassVar[mm.Rule] = mm.sgd(0.0025)
    recipe: ClassVar[Recipe] = Recipe((mm.clipped(mm.adam(mm.schedules.cosine(2e-3, 1e-4, 1200)), 10.0), follower))
    steps = (0, 1, 24, 64)
    metrics = (
        Metric("mse_24", range=(0, math.inf), headline=True, target=0.4),  # that of maml-sine after five
        Metric("mse_64", range=(0, math.inf)),
        Metric("mse_1", range=(0, math.inf)),
        Metric("mse_0", None, range=(0, math.inf)),
    )
    proximal: ClassVar[float] = 2.0

    def players(self, seed: int) -> tuple[Any, ...]:
        (θ,) = super().players(seed)
        return θ, zeros(θ, self.preset.batch)

    def game(self) -> mm.Game:
        return tasks(error, self.proximal)

    def after(self, θ: Weights, steps: int) -> Weights:
        return adapt(error, θ, self.fresh, self.start, self.follower, steps, self.proximal)


def unadapted() -> float:
    """The least error without adaptation, of E[a] E[sin(x - φ)] = -(2/π) E[a] cos x.

    >>> round(unadapted(), 7)
    3.0056694
    """
    low, high = AMPLITUDE
    mean, square = (low + high) / 2, (high**3 - low**3) / (3 * (high - low))
    cosine = (1 + math.sin(2 * REACH) / (2 * REACH)) / 2  # the mean of cos² over [-5, 5]
    return square / 2 - (2 / math.pi * mean) ** 2 * cosine
